"""Next to correct in a real window, by real keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mouse import press_key
from test_correct_window import Window
from test_review import DOUBT, predict, row_of_objects

from napari_seg.gui.layers import METADATA_KEY

pytestmark = pytest.mark.gui


class ReviewWindow(Window):
    """The Correct tab on labels that a network made."""

    def open_predicted(self, labels: np.ndarray, doubt: dict[int, float]) -> None:
        self.open(np.zeros(labels.shape, np.float32), labels)
        predict(self.layer, doubt)
        self.layer.metadata[METADATA_KEY]["image"] = "cells"
        self.widget.controller.run_ended.emit(None)
        self.rest()

    def key(self, name: str) -> None:
        press_key(self.viewer.window._qt_viewer.canvas.native, name)
        self.qtbot.wait(50)
        self.rest()

    def rest(self) -> None:
        super().rest()
        reviewer = self.widget.reviewer
        self.qtbot.waitUntil(
            lambda: reviewer._ranking is None and not reviewer._jobs.is_busy,
            timeout=20_000,
        )
        super().rest()

    @property
    def note(self) -> str:
        return self.widget.correct_panel.review.note.text()

    @property
    def object_id(self) -> int:
        return self.controller.desk.object_id

    def pixel_in_the_middle(self) -> tuple[int, ...]:
        """Return the pixel of the labels under the middle of the canvas."""
        world = list(self.viewer.dims.point)
        world[-2:] = self.viewer.scene.camera.center[-2:]
        return tuple(round(float(i)) for i in self.layer.world_to_data(world))


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any], tmp_path: Path, qtbot: Any) -> Any:
    return ReviewWindow(make_napari_viewer(show=True), tmp_path, qtbot)


def test_keys_lead_from_object_to_object_past_the_locked(window) -> None:
    window.open_predicted(row_of_objects(), DOUBT)
    window.key(".")
    assert window.note == "Object 2 · doubt 1.00 · 1 of 4"
    assert window.layer.data[window.pixel_in_the_middle()] == 2
    assert window.layer.selected_label == 2
    window.key("Shift+A")
    assert window.layer.metadata[METADATA_KEY]["locked"] == [2]
    assert window.layer.data[window.pixel_in_the_middle()] == 4
    window.key(".")
    assert window.object_id == 1
    window.key(",")
    window.key(",")
    assert window.object_id == 4
    assert window.note == "Nothing more doubtful is left (1 locked)."


def test_keys_lead_to_the_worst_plane_of_a_stack(window) -> None:
    labels = row_of_objects((6, 40, 200))
    window.open_predicted(labels, dict.fromkeys(range(1, 5), 0.02))
    kept = window.layer.metadata[METADATA_KEY]["segmentation"]
    kept.network_probabilities[:, 4][:, labels[4] == 3] = 0.5
    window.key(".")
    assert window.object_id == 3
    assert window.viewer.dims.current_step[0] == 4
    assert window.layer.data[window.pixel_in_the_middle()] == 3
    window.viewer.dims.set_point(0, 0)
    window.key("Shift+P")
    assert window.viewer.dims.current_step[0] == 4
    assert window.note.startswith("Plane 4 · doubt")


def test_a_mended_object_is_not_offered_again(window) -> None:
    window.open_predicted(row_of_objects(), DOUBT)
    window.key(".")
    window.key(".")
    window.key("Shift+D")
    assert not (window.ids == 4).any()
    window.key(",")
    assert window.object_id == 2
    window.key(".")
    assert window.object_id == 1


def test_removed_labels_leave_a_clear_message(window) -> None:
    window.open_predicted(row_of_objects(), DOUBT)
    window.key(".")
    window.viewer.layers.remove(window.layer)
    window.qtbot.wait(50)
    panel = window.widget.correct_panel
    assert not panel.review.isVisible()
    assert panel.hint.isVisible()
    assert "Open an image and labels for it" in panel.hint.text()


def test_the_keys_are_the_fields_while_somebody_types(window) -> None:
    window.open_predicted(row_of_objects((3, 40, 200)), DOUBT)
    window.key(".")
    editor = window.widget.correct_panel.planes.first
    assert editor.isVisible()
    editor.setFocus()
    press_key(editor, ".")
    window.rest()
    assert window.object_id == 2


def test_a_run_gives_the_tools_its_probabilities(window) -> None:
    labels = row_of_objects()
    window.open(np.zeros(labels.shape, np.float32), labels)
    assert window.controller.desk.target.probabilities is None
    predict(window.layer, DOUBT)
    window.widget.controller.run_ended.emit(None)
    kept = window.layer.metadata[METADATA_KEY]["segmentation"]
    assert window.controller.desk.target.probabilities.segmentation is kept
    assert window.controller.desk.session.network is not None
