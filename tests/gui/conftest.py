"""Fixtures of the GUI tests: a controller without Qt, panels, a docked widget."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.gui.controller import SegmentController
from napari_seg.gui.jobs import Jobs
from napari_seg.state import JobState, Remembered

# pytest's importlib mode leaves the folder of a test off the path.
sys.path.insert(0, str(Path(__file__).parent))
from fakes import FakeEngine, FakePanel, pump_until


class Session:
    """A controller with its collaborators, driven without Qt."""

    def __init__(self, folder: Path, engine: FakeEngine) -> None:
        self.viewer = ViewerModel()
        self.engine = engine
        self.panel = FakePanel()
        self.jobs = Jobs()
        self.reported: list[BaseException] = []
        self.path = folder / "settings.json"
        self.controller = SegmentController(
            self.viewer,
            self.panel,
            engine,
            self.jobs,
            Remembered(self.path),
            report=self.reported.append,
        )

    def add_image(self, shape: tuple[int, ...] = (64, 96), **kwargs: object) -> object:
        data = np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)
        return self.viewer.add_image(data, **{"name": "cells", **kwargs})

    def pump_until(self, condition: Callable[[], bool]) -> None:
        pump_until(self.jobs, condition)

    def run(self) -> None:
        """Press Run and wait for the end."""
        self.panel.run_requested.emit()
        assert self.state is JobState.RUNNING
        self.pump_until(lambda: not self.state.is_active)

    @property
    def state(self) -> JobState:
        return self.controller.status.state

    @property
    def message(self) -> str:
        return self.controller.status.message

    @property
    def labels(self) -> list[Labels]:
        return [x for x in self.viewer.layers if isinstance(x, Labels)]


@pytest.fixture
def make_session(tmp_path: Path) -> Iterator[Callable[..., Session]]:
    made: list[Session] = []

    def make(**kwargs: object) -> Session:
        made.append(Session(tmp_path, FakeEngine(**kwargs)))
        return made[-1]

    yield make
    for session in made:
        session.engine.step(1000)
        session.controller.close()


@pytest.fixture
def session(make_session: Callable[..., Session]) -> Session:
    """Return a session whose tiles come at once, with one image open."""
    made = make_session()
    made.add_image()
    return made
