"""A folder of small images, and a session that works through it without Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from fakes import FakeEngine, FakePanel, pump_until
from napari.components import ViewerModel
from psygnal import Signal

from napari_seg.gui.autosave.controller import AutosaveController
from napari_seg.gui.controller import SegmentController
from napari_seg.gui.folder.controller import FolderController
from napari_seg.gui.jobs import Jobs
from napari_seg.state import Remembered


class FakeFolderPanel:
    """Has the panel's signals, and remembers the last call of every setter."""

    open_requested = Signal(str)
    resume_requested = Signal()
    out_requested = Signal(str)
    select_requested = Signal(str)
    step_requested = Signal(int)
    verify_requested = Signal()
    ahead_requested = Signal(bool)
    stop_requested = Signal()
    filter_requested = Signal(object)

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}
        self.pictures: dict[str, np.ndarray] = {}
        self.ahead: list[tuple[str, float | None]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("set_"):
            raise AttributeError(name)

        def setter(*args: Any) -> None:
            self.shown[name[4:]] = args[0] if len(args) == 1 else args

        return setter

    def set_thumbnail(self, name: str, picture: np.ndarray) -> None:
        self.pictures[name] = picture

    def set_ahead_progress(self, name: str, share: float | None) -> None:
        self.ahead.append((name, share))


class FakeStrip:
    recover_requested = Signal()
    discard_requested = Signal()
    on_requested = Signal(bool)

    def set_offer(self, text: str) -> None: ...

    def set_on(self, is_on: bool, folder: str) -> None: ...


class FakeCorrector:
    """Has labels in hand when a test says so."""

    desk_changed = Signal()

    def __init__(self) -> None:
        self.desk: Any = None

    def commit(self) -> None: ...

    def look_again(self) -> None: ...


class FolderSession:
    """A viewer without a window, with all that folder work needs."""

    def __init__(self, settings: Path, **engine: Any) -> None:
        self.viewer = ViewerModel()
        self.engine = FakeEngine(**engine)
        self.panel = FakeFolderPanel()
        self.jobs = [Jobs() for _ in range(4)]
        remembered = Remembered(settings)
        self.segmenter = SegmentController(
            self.viewer, FakePanel(), self.engine, self.jobs[0], remembered
        )
        self.corrector = FakeCorrector()
        self.autosave = AutosaveController(
            self.viewer, FakeStrip(), self.jobs[1], remembered
        )
        self.controller = FolderController(
            self.viewer,
            self.panel,
            self.segmenter,
            self.corrector,
            self.autosave,
            self.jobs[2],
            self.jobs[3],
            remembered,
        )

    def close(self) -> None:
        """End as when the window is closed."""
        self.engine.step(1000)
        for part in (self.controller, self.segmenter, self.autosave):
            part.close()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Deliver news until a condition holds."""

        class All:
            pump = staticmethod(lambda: [jobs.pump() for jobs in self.jobs])

        pump_until(All, condition, 30)

    def open(self, folder: Path) -> None:
        """Open a folder, and wait for its first image."""
        self.panel.open_requested.emit(str(folder))
        self.wait(lambda: self.bench is not None)

    def go(self, way: int) -> None:
        """Go on, and wait for the next image."""
        before = self.bench
        self.panel.step_requested.emit(way)
        self.wait(lambda: self.bench not in (None, before))

    def settle(self) -> None:
        """Wait until nothing goes on."""
        self.wait(
            lambda: (
                not any(jobs._running or jobs._slices for jobs in self.jobs)
                and "labels" not in self.jobs[2]._timed
            )
        )

    @property
    def bench(self) -> Any:
        return self.controller.bench

    @property
    def at(self) -> str:
        return "" if self.bench is None else self.bench.name

    @property
    def layers(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]


def make_folder(folder: Path, count: int = 3) -> Path:
    """Write images that the fake network cuts into six objects each."""
    folder.mkdir()
    for number in range(1, count + 1):
        image = np.full((64, 96), 10 * number, np.uint8)
        image[:8, :8] = 0
        tifffile.imwrite(folder / f"c{number}.tif", image)
    return folder
