"""The Refine section in a real viewer: seen, tried, kept as one step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from scipy import ndimage

from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.inference.reader import open_image
from napari_seg.inference.result import Segmentation
from napari_seg.refine.crf import CRF_PRESETS
from napari_seg.state import RefineScope, Remembered

pytestmark = pytest.mark.gui


def scene(planes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with two squares a plane, and unsteady probabilities of them."""
    image = np.full((planes, 64, 80), 20.0)
    for z in range(planes):
        image[z, 10:30, 10:30] = image[z, 36:56, 44:70] = 200
    rng = np.random.default_rng(0)
    inside = ndimage.gaussian_filter(image > 100, (0, 1.5, 1.5), output=float)
    foreground = np.clip(inside + rng.normal(0, 0.25, image.shape), 0.02, 0.98)
    probabilities = np.stack([1 - foreground, foreground]).astype(np.float32)
    return image.astype(np.uint8), probabilities


class Window:
    """A viewer with labels of a network that was not too sure."""

    def __init__(self, viewer, folder, planes: int = 1):
        image, probabilities = scene(planes)
        axes = "ZYX" if planes > 1 else "YX"
        if planes == 1:
            image, probabilities = image[0], probabilities[:, 0]
        labels = np.zeros(image.shape, np.int32)
        for z, plane in enumerate(probabilities[1].reshape(planes, 64, 80)):
            found, _ = ndimage.label(ndimage.binary_opening(plane > 0.5))
            labels.reshape(planes, 64, 80)[z] = found
        self.viewer = viewer
        self.image = viewer.add_image(image, name="cells")
        self.segmentation = Segmentation(
            labels,
            ("background", "foreground"),
            axes,
            20.0,
            {"parameters": {}},
            probabilities,
            smallest_px=40,
            reader=open_image(image, axes),
        )
        own = {"image": "cells", "axes": axes, "segmentation": self.segmentation}
        self.labels = viewer.add_labels(
            labels, name="found", metadata={METADATA_KEY: own}
        )
        self.widget = SegmentationWidget(
            viewer, remembered=Remembered(folder / "settings.json")
        )
        viewer.window.add_dock_widget(self.widget, name="napari-seg")
        self.box = self.widget.segment_panel.refine
        self.refiner = self.widget.refiner
        self.widget.segment_panel.refine_fold.set_open(True)
        viewer.reset_view()

    @property
    def previews(self) -> list[Labels]:
        return [x for x in self.viewer.layers if x.name.endswith("(preview)")]

    def is_idle(self) -> bool:
        return not self.refiner._jobs.is_busy


@pytest.fixture
def make_window(make_napari_viewer, tmp_path) -> Callable[..., Window]:
    return lambda **kwargs: Window(make_napari_viewer(), tmp_path, **kwargs)


@pytest.fixture
def preview(qtbot) -> Callable[[Window], Labels]:
    """Tick the box and return the layer that comes."""

    def tick(window: Window) -> Labels:
        window.box.preview.setChecked(True)
        qtbot.waitUntil(lambda: bool(window.previews), timeout=60_000)
        return window.previews[0]

    return tick


@pytest.fixture
def apply(qtbot) -> Callable[[Window, RefineScope], None]:
    """Choose a scope, press Apply and wait."""

    def press(window: Window, scope: RefineScope) -> None:
        window.box.scope.setCurrentIndex(list(RefineScope).index(scope))
        window.box.apply.click()
        qtbot.waitUntil(
            lambda: not window.refiner.applier.is_busy and window.is_idle(),
            timeout=60_000,
        )

    return press


def test_a_preview_changes_nothing_and_a_key_shows_before(make_window, preview, qtbot):
    window = make_window()
    before = window.labels.data.copy()
    layer = preview(window)
    assert not window.labels.visible
    assert layer.visible
    assert (layer.data != before).any()
    assert np.array_equal(window.labels.data, before)
    assert "would change" in window.box.note.text()
    assert window.viewer.layers.selection.active is window.labels
    window.viewer.window._qt_window.activateWindow()
    canvas = window.viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    QTest.keyPress(canvas, Qt.Key.Key_0)
    qtbot.waitUntil(lambda: window.labels.visible and not layer.visible)
    QTest.keyRelease(canvas, Qt.Key.Key_0)
    qtbot.waitUntil(lambda: layer.visible and not window.labels.visible)
    window.box.preview.setChecked(False)
    assert window.labels.visible
    assert not window.previews


def test_sliders_act_without_the_network(make_window, preview, qtbot):
    window = make_window()
    layer = preview(window)
    first = layer.data.copy()
    window.box.sliders["smoothness_weight"].setValue(9.0)
    qtbot.waitUntil(lambda: (layer.data != first).any(), timeout=60_000)
    assert window.previews == [layer]
    assert window.box.preset.currentData() == ""
    window.box.preset.setCurrentIndex(0)
    qtbot.waitUntil(lambda: np.array_equal(layer.data, first), timeout=60_000)
    assert window.refiner.params == next(iter(CRF_PRESETS.values()))


def test_applying_is_one_step_and_spares_locked_objects(make_window, preview, apply):
    window = make_window()
    labels = window.labels
    before = labels.data.copy()
    locked, other = int(before[20, 20]), int(before[46, 56])
    labels.metadata[METADATA_KEY]["locked"] = [locked]
    expected = preview(window).data
    apply(window, RefineScope.PLANE)
    assert not window.previews
    assert labels.visible
    assert np.array_equal(labels.data == locked, before == locked)
    assert (labels.data == other).sum() > (before == other).sum()
    assert np.array_equal(labels.data, expected)
    assert "Ctrl+Z" in window.box.note.text()
    provenance = labels.metadata[METADATA_KEY]["provenance"]
    assert provenance["crf"]["iterations"] == window.refiner.params.iterations
    labels.undo()
    assert np.array_equal(labels.data, before)
    labels.redo()
    assert np.array_equal(labels.data, expected)


def test_a_plane_the_stack_or_one_object(make_window, apply):
    window = make_window(planes=3)
    labels = window.labels
    window.viewer.dims.set_current_step(0, 1)
    before = labels.data.copy()
    apply(window, RefineScope.PLANE)
    changed = [(labels.data[z] != before[z]).any() for z in range(3)]
    assert changed == [False, True, False]
    labels.undo()
    apply(window, RefineScope.STACK)
    assert all((labels.data[z] != before[z]).any() for z in range(3))
    labels.undo()
    assert np.array_equal(labels.data, before)
    chosen = int(before[1, 46, 56])
    labels.selected_label = chosen
    apply(window, RefineScope.OBJECT)
    touched = labels.data != before
    assert touched.any()
    assert set(np.unique(labels.data[touched])) <= {0, chosen}
    assert set(np.unique(before[touched])) <= {0, chosen}


def test_another_plane_is_shown_as_it_is_until_it_is_refined(
    make_window, preview, qtbot
):
    window = make_window(planes=3)
    window.viewer.dims.set_current_step(0, 0)
    preview(window)
    window.viewer.dims.set_current_step(0, 2)
    assert window.labels.visible
    qtbot.waitUntil(lambda: bool(window.previews), timeout=60_000)
    assert window.previews[0].translate[0] == 2
    window.widget.tabs.setCurrentWidget(window.widget.correct_panel)
    assert window.labels.visible
    assert not window.previews


def test_removed_labels_end_their_preview(make_window, preview):
    window = make_window()
    preview(window)
    window.viewer.layers.remove(window.labels)
    assert not window.previews
    assert not window.box.apply.isEnabled()
    assert "Run a network" in window.box.note.text()


def test_a_killed_helper_is_one_message_and_nothing_is_lost(
    make_window, preview, qtbot
):
    window = make_window()
    before = window.labels.data.copy()
    helpers = window.refiner._engine._workers.helpers
    window.box.sliders["smoothness_weight"].setValue(2.0)
    window.refiner.set_on(True)

    def kill() -> bool:
        for helper in helpers:
            if helper.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(helper.pid, signal.SIGKILL)
        return "helper process ended" in window.box.note.text()

    qtbot.waitUntil(kill, timeout=60_000)
    assert window.labels.visible
    assert np.array_equal(window.labels.data, before)
    window.refiner.set_on(False)
    assert preview(window).visible


def test_without_pydensecrf_the_section_says_so_and_works(
    make_window, preview, monkeypatch
):
    for module in ("inference.crf", "gui.refine.engine"):
        monkeypatch.setattr(f"napari_seg.{module}.is_installed", lambda: False)
    window = make_window()
    assert "pip install pydensecrf2" in window.box.engine.text()
    assert preview(window).visible
    assert all(h.pid is None for h in window.refiner._engine._workers.helpers)


def test_settings_are_remembered(make_window, make_napari_viewer, tmp_path):
    window = make_window()
    window.box.sliders["appearance_sigma"].setValue(12.0)
    window.refiner.close()
    again = Window(make_napari_viewer(), tmp_path)
    assert again.refiner.params.appearance_sigma == 12.0
    assert again.box.sliders["appearance_sigma"].value() == 12.0
