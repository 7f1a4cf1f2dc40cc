"""The Correct tab in a real window: real mouse, real keys, real undo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from fakes import FakeEngine
from mouse import Mouse, press_key
from napari.layers import Labels

from napari_seg.gui.correction.tools import Tool
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import Remembered

pytestmark = pytest.mark.gui


class Window:
    """A shown viewer with the Correct tab open on an image and its labels."""

    def __init__(self, viewer: Any, folder: Path, qtbot: Any) -> None:
        self.viewer = viewer
        self.qtbot = qtbot
        viewer.window.resize(1300, 900)
        remembered = Remembered(folder / "settings.json")
        self.widget = SegmentationWidget(viewer, FakeEngine(), remembered)
        viewer.window.add_dock_widget(self.widget, name="napari-seg")
        self.widget.tabs.setCurrentWidget(self.widget.correct_panel)
        self.controller = self.widget.corrector

    def open(self, image: Any, labels: Any, **kwargs: Any) -> None:
        rgb = kwargs.pop("rgb", None)
        self.viewer.add_image(image, name="cells", rgb=rgb, **kwargs)
        self.viewer.add_labels(labels, name="ids", **kwargs)
        self.viewer.reset_view()
        self.rest()
        self.viewer.window._qt_window.activateWindow()
        self.qtbot.wait(100)
        self.mouse = Mouse(self.viewer, self.layer)

    @property
    def layer(self) -> Labels:
        return self.viewer.layers["ids"]

    @property
    def ids(self) -> np.ndarray:
        return np.asarray(self.layer.data[:])

    def key(self, name: str) -> None:
        """Press a key while the canvas has the focus."""
        press_key(self.viewer.window._qt_viewer.canvas.native, name)
        self.qtbot.wait(20)
        self.rest()

    def tool(self, tool: Tool) -> None:
        self.widget.correct_panel.tool_requested.emit(tool)
        self.qtbot.wait(20)

    def drag(self, *path: tuple[float, ...], keys: tuple[str, ...] = ()) -> None:
        self.mouse.drag(path, keys)
        self.rest()

    def rest(self) -> None:
        jobs = self.controller._jobs
        self.qtbot.waitUntil(lambda: not jobs.is_busy, timeout=20_000)


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any], tmp_path: Path, qtbot: Any) -> Any:
    return Window(make_napari_viewer(show=True), tmp_path, qtbot)


def discs(shape: tuple[int, int] = (60, 80)) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of two discs; only the left one has an id, 17."""
    y, x = np.indices(shape)
    left = (y - 30) ** 2 + (x - 25) ** 2 < 12**2
    right = (y - 30) ** 2 + (x - 52) ** 2 < 12**2
    noise = 0.1 * np.random.default_rng(0).standard_normal(left.shape)
    image = ((left | right) + noise).astype(np.float32)
    return image, np.where(left, 17, 0).astype(np.int32)


def disc_share(mask: np.ndarray, centre: tuple[int, int] = (30, 52)) -> float:
    """Return the IoU of a mask with one of the discs."""
    y, x = np.indices(mask.shape)
    true = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 12**2
    return float((mask & true).sum() / (mask | true).sum())


def test_click_and_enter_add_an_object_and_one_undo_takes_it_back(window) -> None:
    window.open(*discs())
    before = window.ids.copy()
    window.tool(Tool.OBJECT)
    window.mouse.click((30, 52))
    window.rest()
    np.testing.assert_array_equal(window.ids, before)
    window.key("Return")
    assert disc_share(window.ids == 18) > 0.8
    window.key("Ctrl+Z")
    np.testing.assert_array_equal(window.ids, before)
    window.key("Ctrl+Shift+Z")
    assert disc_share(window.ids == 18) > 0.8


def test_the_camera_rests_while_a_tool_is_on(window) -> None:
    window.open(*discs())
    centre = window.viewer.scene.camera.center
    window.tool(Tool.OBJECT)
    window.drag((30, 45), (30, 50), (34, 55))
    assert window.viewer.scene.camera.center == pytest.approx(centre)
    window.key("Escape")
    assert not window.controller.has_pending
    assert not (window.ids == 18).any()


def test_shift_drag_trims(window) -> None:
    image, labels = discs()
    labels[26:34, 64:76] = 17
    window.open(image, labels)
    window.tool(Tool.OBJECT)
    window.drag((30, 67), (30, 72), keys=("Shift",))
    window.key("Return")
    assert window.ids[30, 70] == 0
    assert disc_share(window.ids == 17, (30, 25)) > 0.8


def test_split_and_merge_are_each_other_s_inverse(window) -> None:
    image, labels = discs()
    labels[(image > 0.5) & (labels == 0)] = 17
    labels[28:32, 36:42] = 17
    window.open(image, labels)
    before = window.ids.copy()
    window.tool(Tool.SPLIT)
    window.drag((25, 22), (35, 22))
    window.drag((25, 55), (35, 55))
    window.key("Return")
    assert window.ids[30, 22] != window.ids[30, 55]
    np.testing.assert_array_equal(window.ids > 0, before > 0)
    window.tool(Tool.MERGE)
    window.drag((30, 25), (30, 40), (30, 52))
    assert len(np.unique(window.ids)) == 2
    window.key("Ctrl+Z")
    assert window.ids[30, 22] != window.ids[30, 55]
    window.key("Ctrl+Z")
    np.testing.assert_array_equal(window.ids, before)


def test_delete_by_rectangle_spares_locked_objects(window) -> None:
    image, labels = discs()
    labels[2:6, 2:6] = 4
    window.open(image, labels)
    window.tool(Tool.LOCK)
    window.mouse.click((30, 25))
    window.rest()
    window.tool(Tool.DELETE)
    window.drag((1, 1), (20, 40), (55, 70))
    assert np.unique(window.ids).tolist() == [0, 17]


def test_a_volume_is_carried_on_plane_by_plane(window) -> None:
    z, y, x = np.indices((5, 48, 48))
    ball = ((z - 2) * 5) ** 2 + (y - 24) ** 2 + (x - 22) ** 2 < 14**2
    noise = 0.1 * np.random.default_rng(0).standard_normal(ball.shape)
    window.open((ball + noise).astype(np.float32), np.zeros(ball.shape, np.int32))
    window.viewer.dims.set_point(0, 2)
    window.tool(Tool.OBJECT)
    window.mouse.click((2, 24, 22))
    window.rest()
    window.key("Return")
    window.mouse.click((2, 24, 22), ("Control",))
    window.rest()
    window.widget.correct_panel.propagate_requested.emit("through")
    window.rest()
    found = window.ids == 1
    assert (found & ball).sum() / (found | ball).sum() > 0.85
    window.key("Ctrl+Z")
    assert not window.ids[[0, 1, 3, 4]].any()


def test_a_scaled_and_translated_layer_is_hit_where_the_mouse_is(window) -> None:
    image, labels = discs()
    window.open(image, labels, scale=(0.3, 0.3), translate=(50, -20))
    window.tool(Tool.OBJECT)
    window.mouse.click((30, 52))
    window.rest()
    window.key("Return")
    assert disc_share(window.ids == 18) > 0.8


def test_a_colour_image_is_cut_by_its_colours(window) -> None:
    image, labels = discs()
    grey = np.clip(120 + 60 * (image - 0.5) * 0, 0, 255)
    colour = np.stack([grey + 80 * (image > 0.5), grey, grey - 60 * (image > 0.5)], -1)
    noise = np.random.default_rng(1).normal(0, 6, colour.shape)
    window.open(np.clip(colour + noise, 0, 255).astype(np.uint8), labels, rgb=True)
    window.tool(Tool.OBJECT)
    window.mouse.click((30, 52))
    window.rest()
    window.key("Return")
    assert disc_share(window.ids == 18) > 0.8


def test_a_lazy_image_and_zarr_labels_are_corrected(window) -> None:
    image, labels = discs((200, 220))
    lazy = da.from_array(image, chunks=(50, 50))
    window.open(lazy, zarr.array(labels, chunks=(64, 64)))
    window.tool(Tool.OBJECT)
    window.mouse.click((30, 52))
    window.rest()
    window.key("Return")
    assert disc_share(window.ids == 18) > 0.8
    window.key("Ctrl+Z")
    np.testing.assert_array_equal(window.ids, labels)


def test_leaving_the_tab_puts_the_tool_down(window) -> None:
    window.open(*discs())
    window.tool(Tool.OBJECT)
    window.widget.tabs.setCurrentIndex(0)
    assert window.controller.tool is None
    assert window.layer.mouse_pan


def test_naparis_own_brush_puts_the_tool_down_and_shares_undo(window) -> None:
    window.open(*discs())
    before = window.ids.copy()
    window.tool(Tool.OBJECT)
    window.mouse.click((30, 52))
    window.rest()
    window.layer.mode = "paint"
    assert window.controller.tool is None
    added = window.ids.copy()
    assert (added == 18).any()
    window.layer.selected_label = 3
    window.layer.brush_size = 4
    window.drag((8, 8), (8, 20))
    assert (window.ids == 3).any()
    window.key("Ctrl+Z")
    np.testing.assert_array_equal(window.ids, added)
    window.key("Ctrl+Z")
    np.testing.assert_array_equal(window.ids, before)


def test_a_tool_is_on_before_the_preview_is_ready_and_the_first_stroke_is_seen(
    window,
) -> None:
    window.open(*discs())
    before = len(window.viewer.layers)
    window.widget.correct_panel.tool_requested.emit(Tool.OBJECT)
    assert window.controller.tool is Tool.OBJECT
    assert len(window.viewer.layers) == before
    assert window.viewer.layers.selection.active is window.layer
    window.qtbot.waitUntil(lambda: len(window.viewer.layers) == before + 1)
    window.rest()
    assert window.viewer.layers[-1].visible
    assert window.viewer.layers.selection.active is window.layer
    window.mouse.click((30, 52))
    window.rest()
    assert window.viewer.layers[-1].data.any()


def test_fresh_labels_of_a_volume_get_their_memory_before_enter(window) -> None:
    image, _ = discs()
    ids = np.zeros((4, 512, 512), np.int32)
    noise = np.random.default_rng(1).standard_normal(ids.shape)
    stack = (0.1 * noise).astype(np.float32)
    stack[:, :60, :80] = image
    window.open(stack, ids)
    window.widget.correct_panel.volume_requested.emit(True)
    window.tool(Tool.OBJECT)
    here = window.viewer.dims.current_step[0]
    window.mouse.drag([(here, 30, 48), (here, 30, 56)])
    # At once: Enter waits for the answer and the memory, and the window does not.
    window.key("Return")
    assert disc_share(window.ids[here, :60, :80] == 1) > 0.8
    window.key("Ctrl+Z")
    assert not window.ids.any()


def test_labels_in_a_mapped_file_are_corrected(window, tmp_path) -> None:
    image, labels = discs()
    path = tmp_path / "ids.raw"
    mapped = np.memmap(path, labels.dtype, "w+", shape=labels.shape)
    window.open(image, mapped)
    window.tool(Tool.OBJECT)
    window.mouse.click((30, 52))
    window.rest()
    window.key("Return")
    assert disc_share(window.ids == 1) > 0.8
    mapped.flush()
    kept = np.fromfile(path, labels.dtype).reshape(labels.shape)
    assert np.array_equal(kept, window.ids)
