"""The Train tab in a real window, with a real network, though a tiny one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from napari_seg.gui.engine import Engine
from napari_seg.gui.training.settings import TrainState
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import build_from_card, save_checkpoint
from napari_seg.state import JobState, Remembered
from napari_seg.training.curve import read_curve

pytestmark = [pytest.mark.gui, pytest.mark.slow]

TINY = Card(
    name="tiny",
    architecture="unet",
    arguments={"channels": [4, 8], "padding": "same", "norm": "batch"},
    in_channels=1,
    classes=("background", "interior", "border"),
    object_diameter_px=16.0,
)
WAIT_MS = 100_000


class Window:
    """A viewer with a Segment and a Train tab, and a tiny model to start from."""

    def __init__(self, viewer: Any, folder: Path, qtbot: Any) -> None:
        self.viewer = viewer
        self.qtbot = qtbot
        self.models = folder / "models"
        save_checkpoint(self.models / "tiny.safetensors", build_from_card(TINY), TINY)
        remembered = Remembered(folder / "settings.json")
        widget = SegmentationWidget(viewer, Engine(), remembered)
        self.tabs = widget.tabs
        self.segment, self.panel = widget.segment_panel, widget.train_panel
        self.segmenter, self.trainer = widget.controller, widget.trainer
        viewer.window.add_dock_widget(widget, name="napari-seg")
        self.tabs.setCurrentWidget(self.panel)

    def open(self) -> None:
        y, x = np.indices((96, 128))
        labels = np.zeros((96, 128), np.int32)
        for i, (row, column) in enumerate([(24, 24), (24, 70), (66, 40), (66, 100)]):
            labels[(y - row) ** 2 + (x - column) ** 2 < 8**2] = i + 1
        noise = 0.1 * np.random.default_rng(0).standard_normal(labels.shape)
        image = ((labels > 0) + noise).astype(np.float32)
        self.viewer.add_image(image, name="cells")
        self.viewer.add_labels(labels, name="ids")

    def wait(self, condition: Callable[[], bool]) -> None:
        def is_so() -> bool:
            failed = self.trainer.state is TrainState.FAILED
            assert not failed, self.panel.footer.status.text()
            return condition()

        self.qtbot.waitUntil(is_so, timeout=WAIT_MS)

    def choose(self, **advanced: Any) -> None:
        """Start from the tiny model, with small patches."""
        self.panel.start_from.setCurrentText("tiny")
        settings = replace(
            self.trainer.settings.advanced,
            minutes=0.0,
            patch_px=64,
            batch=2,
            rehearse=False,
            **advanced,
        )
        self.panel.advanced_requested.emit(settings)
        self.wait(self.panel.footer.start.isEnabled)


@pytest.fixture
def window(
    make_napari_viewer: Callable[..., Any],
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    monkeypatch.setenv("NAPARI_SEG_MODELS", str(tmp_path / "models"))
    return Window(make_napari_viewer(show=True), tmp_path, qtbot)


def test_train_from_open_layers_stop_and_predict_with_the_new_model(window) -> None:
    window.open()
    window.choose(steps=100_000, validate_every=10)
    name = window.panel.name.text()
    window.panel.footer.start.click()
    assert window.trainer.state is TrainState.RUNNING
    window.wait(lambda: window.panel.plot._curve.last_step >= 20)
    window.wait(lambda: window.panel.picture.isVisible())
    window.panel.footer.stop.click()
    window.wait(lambda: not window.trainer.is_training)
    assert window.trainer.state is TrainState.DONE
    assert name in window.panel.footer.status.text()
    assert "AP" in window.panel.card.text()
    assert len(read_curve(window.models / f"{name}.safetensors")) >= 20

    listed = [window.segment.model.itemText(i) for i in range(10)]
    assert name in listed
    assert window.segment.model.currentText() == name
    assert window.segmenter.settings.model == name
    window.tabs.setCurrentWidget(window.segment)
    window.wait(lambda: window.segment.footer.can_run)
    window.segment.footer.button.click()
    window.wait(lambda: not window.segmenter.status.state.is_active)
    assert window.segmenter.status.state is JobState.DONE
    made = [x for x in window.viewer.layers if isinstance(x, Labels)]
    assert any(name in layer.name for layer in made)


def test_a_training_that_was_broken_off_goes_on_with_its_curve(window) -> None:
    window.open()
    window.choose(steps=40, validate_every=10)
    name = window.panel.name.text()
    out = window.models / f"{name}.safetensors"
    window.panel.footer.start.click()
    window.wait(lambda: window.panel.plot._curve.last_step >= 12)
    window.trainer.cancel()
    window.wait(lambda: not window.trainer.is_training)
    before = read_curve(out)
    assert len(before) < 40
    window.wait(lambda: window.panel.offer.isVisible())
    window.panel.resume.click()
    assert window.trainer.is_training
    window.wait(lambda: not window.trainer.is_training)
    after = read_curve(out)
    assert [point.step for point in after] == list(range(1, 41))
    assert after[: len(before)] == before
    assert window.panel.plot._curve.last_step == 40
    assert len(window.panel.plot._curve.steps) == 40
    assert not window.panel.offer.isVisible()


def test_the_window_can_be_closed_in_mid_training(window) -> None:
    window.open()
    window.choose(steps=100_000, validate_every=1000)
    window.panel.footer.start.click()
    window.wait(lambda: window.panel.plot._curve.last_step >= 2)
    window.panel.footer.pause.click()
    assert window.trainer.state is TrainState.PAUSED
    window.trainer.close()
    states = list(window.models.glob("*.state"))
    assert len(states) == 1  # saved, so that it can be resumed
