"""The mouse on the canvas of a real viewer, as pixels of a labels layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from mouse import Mouse

from napari_seg.gui.correction.gesture import Gesture, StrokeInput
from napari_seg.gui.correction.tools import Tool

pytestmark = pytest.mark.gui


class Desk:
    """A viewer with a labels layer, a mouse, and what the input said."""

    def __init__(self, viewer, labels, **kwargs):
        self.viewer = viewer
        self.labels = viewer.add_labels(labels, **kwargs)
        self.updates: list[Gesture] = []
        self.releases: list[Gesture] = []
        self.messages: list[str] = []
        self.lost = 0
        self.radii: list[float] = []
        self.input = StrokeInput(
            viewer,
            self.labels,
            self.updates.append,
            self.releases.append,
            on_message=self.messages.append,
            on_lost=self._on_lost,
            on_brush=self.radii.append,
        )
        self.mouse = Mouse(viewer, self.labels)

    def _on_lost(self):
        self.lost += 1

    @property
    def camera(self):
        camera = self.viewer.scene.camera
        return (*camera.center, camera.zoom, *camera.angles)


@pytest.fixture
def make_desk(make_napari_viewer, qtbot) -> Callable[..., Desk]:
    desks: list[Desk] = []

    def make(labels: np.ndarray | None = None, **kwargs) -> Desk:
        viewer = make_napari_viewer(show=True)
        data = np.zeros((40, 60), np.int32) if labels is None else labels
        desks.append(Desk(viewer, data, **kwargs))
        qtbot.wait(50)
        return desks[-1]

    yield make
    for desk in desks:
        desk.input.close()


def mask_of(gesture: Gesture) -> np.ndarray:
    mask = np.zeros(gesture.shape, bool)
    mask[tuple(gesture.points.T)] = True
    return mask


def test_a_drag_is_a_line_without_gaps_as_thick_as_the_brush(make_desk):
    desk = make_desk()
    desk.input.set_radius(2.5)
    desk.input.set_tool(Tool.OBJECT)
    before = desk.camera
    desk.mouse.drag([(10, 10), (10, 50), (30, 50)])
    (stroke,) = desk.releases
    mask = mask_of(stroke)
    assert mask[10, 10:51].all()
    assert mask[10:31, 50].all()
    assert mask[8:13, 30].tolist() == [True] * 5
    assert not mask[7, 30]
    assert not mask[13, 30]
    assert stroke.is_final
    assert not stroke.is_click
    assert stroke.modifiers == frozenset()
    assert np.allclose(stroke.path[0], (10, 10), atol=0.6)
    assert desk.camera == before


def test_updates_come_while_dragging_and_grow(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.press((10, 10))
    assert len(desk.updates) == 1
    for x in range(14, 40, 2):
        desk.mouse.move((10, x))
    sizes = [len(gesture.points) for gesture in desk.updates]
    assert len(sizes) > 3
    assert sizes == sorted(sizes)
    assert not any(gesture.is_final for gesture in desk.updates)
    assert not desk.releases
    desk.mouse.release((10, 40))
    assert len(desk.releases[0].points) > sizes[-1]


def test_what_waits_for_its_turn_is_sent_when_the_mouse_rests(make_desk, qtbot):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.press((10, 10))
    desk.mouse.move((10, 30))
    qtbot.waitUntil(lambda: bool(mask_of(desk.updates[-1])[10, 30]), timeout=2000)
    desk.mouse.release((10, 30))


def test_a_line_is_clipped_to_the_labels_and_may_leave_them(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.drag([(20, 50), (20, 75), (30, 50)])
    (stroke,) = desk.releases
    assert stroke.points.min() >= 0
    assert (stroke.points < stroke.shape).all()
    assert stroke.path[:, 1].max() > 60
    assert stroke.start == (20, 50)
    desk.mouse.drag([(-9, 10), (-9, 20)])
    assert len(desk.releases) == 1
    assert "outside" in desk.messages[-1]


def test_on_a_scaled_moved_and_turned_layer_pixels_are_where_they_are_seen(make_desk):
    desk = make_desk(scale=(2, 0.5), translate=(100, -7), rotate=30)
    desk.input.set_radius(0.5)
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.drag([(10, 10), (30, 50)])
    mask = mask_of(desk.releases[0])
    assert mask[10, 10]
    assert mask[20, 30]
    assert mask[30, 50]
    assert not mask[10, 50]


def test_the_brush_is_round_on_the_screen(make_desk):
    desk = make_desk(scale=(3, 1))
    desk.input.set_radius(6.4)
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.click((20, 30))
    mask = mask_of(desk.releases[0])
    rows, columns = np.ptp(np.argwhere(mask), axis=0) + 1
    assert (rows, columns) == (5, 13)


def test_hidden_axes_have_the_index_of_their_slider(make_desk, qtbot):
    desk = make_desk(np.zeros((4, 5, 40, 60), np.uint16), scale=(1, 3, 1, 1))
    desk.viewer.dims.set_point((0, 1), (2, 9))
    qtbot.wait(20)
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.drag([(2, 3, 10, 10), (2, 3, 10, 20)])
    (stroke,) = desk.releases
    assert (stroke.points[:, :2] == (2, 3)).all()
    assert mask_of(stroke)[2, 3, 10, 10:21].all()


def test_a_turned_view_draws_in_its_own_plane(make_desk, qtbot):
    desk = make_desk(np.zeros((30, 40, 60), np.uint8))
    desk.viewer.dims.order = (1, 2, 0)
    desk.viewer.dims.set_point(1, 7)
    desk.viewer.reset_view()
    qtbot.wait(50)
    desk.input.set_radius(0.5)
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.drag([(5, 7, 10), (25, 7, 10), (25, 7, 50)])
    mask = mask_of(desk.releases[0])
    assert mask[5:26, 7, 10].all()
    assert mask[25, 7, 10:51].all()
    assert mask.any(axis=(0, 2)).sum() == 1


def test_a_layer_with_fewer_axes_than_the_image_works(make_desk, qtbot):
    desk = make_desk(np.zeros((40, 60), np.uint8))
    desk.viewer.add_image(np.zeros((6, 40, 60), np.uint8))
    desk.viewer.dims.set_point(0, 4)
    desk.viewer.layers.selection.active = desk.labels
    qtbot.wait(50)
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.drag([(10, 10), (10, 20)])
    assert mask_of(desk.releases[0])[10, 10:21].all()


def test_shift_and_control_are_told(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.drag([(10, 10), (10, 20)], ["Shift"])
    desk.mouse.click((10, 10), ["Control"])
    assert desk.releases[0].modifiers == {"Shift"}
    assert desk.releases[1].modifiers == {"Control"}
    assert len(desk.releases[1].points) == 1
    assert desk.releases[1].is_click


def test_alt_stays_the_key_of_the_zoom_box(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.drag([(10, 10), (20, 20)], ["Alt"])
    assert desk.releases == []


def test_delete_takes_a_click_or_a_rectangle(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.DELETE)
    desk.mouse.click((10, 10))
    desk.mouse.drag([(30, 50), (20, 40), (10, 20)])
    click, drag = desk.releases
    assert click.is_click
    assert click.points.tolist() == [[10, 10]]
    assert not drag.is_click
    assert drag.box == (slice(10, 31), slice(20, 51))
    border = mask_of(drag)
    assert border[10, 20:51].all()
    assert border[10:31, 50].all()
    assert not border[11:30, 21:50].any()


def test_lock_and_pick_take_the_pixel_that_was_pressed(make_desk):
    desk = make_desk()
    for tool in (Tool.LOCK, Tool.PICK):
        desk.input.set_tool(tool)
        desk.mouse.drag([(10, 10), (30, 30)])
    assert [g.points.tolist() for g in desk.releases] == [[[10, 10]], [[10, 10]]]
    assert all(len(update.points) == 1 for update in desk.updates)


def test_quick_clicks_are_all_clicks_and_do_not_zoom(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.LOCK)
    before = desk.camera
    desk.mouse.double_click((10, 10))
    desk.mouse.release((10, 10))
    assert len(desk.releases) == 2
    assert desk.camera == before
    desk.input.set_tool(None)
    desk.mouse.double_click((10, 10))
    desk.mouse.release((10, 10))
    assert desk.viewer.scene.camera.zoom == pytest.approx(2 * before[-4])
    assert len(desk.releases) == 2


def test_a_stroke_can_begin_with_the_second_click(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    before = desk.camera
    desk.mouse.double_click((10, 10))
    desk.mouse.move((10, 40))
    desk.mouse.release((10, 40))
    assert mask_of(desk.releases[-1])[10, 10:41].all()
    assert desk.camera == before


def test_only_the_left_button_is_taken(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    zoom = desk.viewer.scene.camera.zoom
    desk.mouse.drag([(10, 10), (15, 10), (30, 10)], button="right")
    assert desk.releases == []
    assert desk.viewer.scene.camera.zoom != zoom
    desk.input.set_tool(None)
    before = desk.camera
    desk.mouse.drag([(10, 10), (15, 15), (20, 20)])
    assert desk.camera != before


def test_holding_space_pans_and_draws_nothing(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    before = desk.camera
    desk.mouse.key("Space", is_down=True)
    assert desk.viewer.cursor.style == "standard"
    desk.mouse.drag([(10, 10), (15, 15), (20, 20)])
    desk.mouse.key("Space", is_down=False)
    assert desk.releases == []
    assert desk.camera != before
    assert desk.input.tool is Tool.OBJECT
    assert desk.viewer.cursor.style == "circle"
    desk.mouse.drag([(10, 10), (10, 20)])
    assert len(desk.releases) == 1


def test_napari_s_own_tools_and_these_take_turns(make_desk):
    desk = make_desk()
    desk.labels.mode = "paint"
    desk.input.set_tool(Tool.OBJECT)
    assert desk.labels.mode == "pan_zoom"
    assert desk.lost == 0
    desk.labels.mode = "paint"
    assert desk.lost == 1
    assert desk.input.tool is None
    desk.labels.selected_label = 5
    desk.mouse.drag([(10, 10), (10, 20)])
    assert desk.releases == []
    assert desk.labels.data[10, 15] == 5
    assert desk.viewer.cursor.style == "circle"


def test_the_brush_is_napari_s_and_the_cursor_shows_it(make_desk):
    desk = make_desk(scale=(0.5, 0.5))
    desk.input.set_tool(Tool.OBJECT)
    desk.input.set_radius(4)
    assert desk.labels.brush_size == 8
    assert desk.viewer.cursor.style == "circle"
    assert desk.viewer.cursor.size == 4
    desk.mouse.key("BracketRight")
    assert desk.input.radius_px == 4.5
    assert desk.radii[-1] == 4.5
    desk.input.set_tool(Tool.MERGE)
    assert desk.viewer.cursor.style == "cross"
    desk.input.set_tool(None)
    assert desk.viewer.cursor.style == "standard"


def test_it_works_while_another_layer_is_selected(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    image = desk.viewer.add_image(np.zeros((40, 60)))
    assert desk.viewer.layers.selection.active is image
    assert desk.viewer.cursor.style == "circle"
    desk.mouse.drag([(10, 10), (10, 20)])
    assert len(desk.releases) == 1
    points = desk.viewer.add_points(np.zeros((0, 2)))
    points.mode = "add"
    desk.mouse.click((20, 20))
    assert len(desk.releases) == 1
    assert len(points.data) == 1


def test_hidden_labels_are_not_drawn_on(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    desk.labels.visible = False
    desk.mouse.drag([(10, 10), (10, 20)])
    assert desk.releases == []
    assert "hidden" in desk.messages[-1]


def test_another_tool_in_mid_stroke_gives_the_stroke_up(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    before = desk.camera
    desk.mouse.press((10, 10))
    desk.input.set_tool(Tool.SPLIT)
    count = len(desk.updates)
    desk.mouse.move((10, 20))
    desk.mouse.move((10, 25))
    desk.mouse.release((10, 30))
    assert len(desk.updates) == count
    assert desk.releases == []
    assert desk.camera == before
    desk.mouse.drag([(10, 10), (10, 20)])
    assert len(desk.releases) == 1


def test_what_is_left_of_a_dropped_stroke_is_not_heard_of(make_desk, qtbot):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.press((10, 10))
    desk.mouse.move((10, 15))
    desk.input.drop()
    count = len(desk.updates)
    desk.mouse.move((10, 20))
    qtbot.wait(40)
    desk.mouse.release((10, 30))
    assert len(desk.updates) == count
    assert desk.releases == []
    desk.mouse.drag([(10, 10), (10, 20)])
    assert len(desk.releases) == 1


def test_in_3d_a_click_finds_the_object_and_strokes_are_refused(make_desk, qtbot):
    data = np.zeros((20, 20, 20), np.uint8)
    data[6:14, 6:14, 6:14] = 3
    desk = make_desk(data)
    desk.viewer.dims.ndisplay = 3
    desk.viewer.reset_view()
    qtbot.wait(100)
    desk.input.set_tool(Tool.PICK)
    desk.mouse.click((10, 10, 10))
    (pick,) = desk.releases
    assert data[tuple(pick.points[0])] == 3
    assert pick.start == tuple(pick.points[0])
    angles = desk.viewer.scene.camera.angles
    desk.mouse.drag([(10, 10, 10), (10, 14, 14), (10, 18, 18)])
    assert desk.viewer.scene.camera.angles != angles
    assert len(desk.releases) == 1
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.click((10, 10, 10))
    assert len(desk.releases) == 1
    assert "2D" in desk.messages[-1]


def test_everything_is_given_back(make_desk):
    desk = make_desk()
    viewer = desk.viewer

    def state():
        return (
            list(viewer.mouse_drag_callbacks),
            list(viewer.mouse_double_click_callbacks),
            dict(viewer.keymap),
            viewer.cursor.style,
            desk.labels.mouse_pan,
        )

    before = state()
    for tool in Tool:
        desk.input.set_tool(tool)
    assert state() != before
    desk.input.close()
    assert state() == before
    desk.mouse.drag([(10, 10), (10, 20)])
    assert desk.releases == []
