"""What is drawn over a labels layer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.gui.correction import pigments
from napari_seg.gui.correction.ink import Ink
from napari_seg.gui.own_layers import is_own
from napari_seg.imaging.deltas import make_edit


def sheet_of(viewer: ViewerModel) -> Labels:
    (sheet,) = [layer for layer in viewer.layers if is_own(layer)]
    return sheet


def shown_at(viewer: ViewerModel, labels: Labels, pixel: tuple[int, ...]) -> int:
    """Return the pigment over a pixel of the labels, found through the world."""
    sheet = sheet_of(viewer)
    own = np.rint(sheet.world_to_data(labels.data_to_world(pixel))).astype(int)
    if (own < 0).any() or (own >= sheet.data.shape).any():
        return pigments.NONE
    return int(sheet.data[tuple(own)])


def whole_picture(viewer: ViewerModel, labels: Labels) -> np.ndarray:
    picture = np.zeros(labels.data.shape, np.uint8)
    sheet = sheet_of(viewer)
    start = np.rint(labels.world_to_data(sheet.data_to_world((0,) * labels.ndim)))
    place = tuple(
        slice(int(a), int(a) + n) for a, n in zip(start, sheet.data.shape, strict=True)
    )
    picture[place] = sheet.data
    return picture


def box_edit(labels: Labels, box: tuple[slice, ...], object_id: int):
    before = labels.data[box]
    start = [s.start for s in box]
    return make_edit("test", start, before, np.full_like(before, object_id))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def test_strokes_lie_on_their_pixels_and_the_later_one_on_top(viewer):
    labels = viewer.add_labels(np.zeros((30, 40), int))
    ink = Ink(viewer, labels)
    plus, minus = np.array([[3, 4], [3, 5]]), np.array([[3, 5], [9, 9]])
    ink.set_strokes([(plus, pigments.PLUS), (minus, pigments.MINUS)])
    expected = np.zeros((30, 40), np.uint8)
    expected[3, 4] = pigments.PLUS
    expected[3, 5] = expected[9, 9] = pigments.MINUS
    assert np.array_equal(whole_picture(viewer, labels), expected)
    ink.set_strokes([(plus, pigments.PLUS)])
    assert shown_at(viewer, labels, (3, 5)) == pigments.PLUS
    assert shown_at(viewer, labels, (9, 9)) == pigments.NONE
    ink.set_strokes([(plus, pigments.MINUS)])
    assert shown_at(viewer, labels, (3, 4)) == pigments.MINUS
    ink.clear()
    assert not whole_picture(viewer, labels).any()


def test_a_preview_shows_gains_losses_and_the_new_outline(viewer):
    data = np.zeros((30, 40), int)
    data[10:20, 10:20] = 7
    labels = viewer.add_labels(data)
    ink = Ink(viewer, labels)
    after = np.where(data[5:25, 5:35] == 7, 0, 0)
    after[5:15, 10:25] = 7
    edit = make_edit("cut", (5, 5), data[5:25, 5:35], after)
    ink.set_preview(edit, 7)
    assert shown_at(viewer, labels, (15, 12)) in (pigments.LOSS, pigments.LOSS_GAP)
    assert shown_at(viewer, labels, (15, 25)) == pigments.GAIN
    assert shown_at(viewer, labels, (15, 29)) == pigments.OUTLINE
    assert shown_at(viewer, labels, (15, 15)) == pigments.OUTLINE
    assert shown_at(viewer, labels, (15, 17)) == pigments.NONE
    assert shown_at(viewer, labels, (15, 32)) == pigments.NONE
    assert (labels.data == data).all()
    ink.set_preview(None)
    assert not whole_picture(viewer, labels).any()


def test_stripes_tell_losses_from_gains_without_colour(viewer):
    labels = viewer.add_labels(np.full((40, 40), 3))
    ink = Ink(viewer, labels)
    ink.set_preview(box_edit(labels, (slice(0, 40), slice(0, 40)), 0), 3)
    found, counts = np.unique(whole_picture(viewer, labels), return_counts=True)
    assert set(found) == {pigments.LOSS, pigments.LOSS_GAP}
    assert counts.min() > 0.4 * counts.sum()


def test_without_an_object_every_new_id_has_its_colour(viewer):
    labels = viewer.add_labels(np.full((10, 10), 3))
    after = np.full((10, 10), 3)
    after[:, :4], after[:, 7:] = 8, 0
    ink = Ink(viewer, labels)
    ink.set_preview(make_edit("split", (0, 0), labels.data, after))
    picture = whole_picture(viewer, labels)
    assert len({int(picture[5, 1]), int(picture[5, 5]), int(picture[5, 8])}) == 3
    assert picture[5, 5] == pigments.NONE
    assert picture[5, 8] == pigments.LOSS


def test_strokes_stay_visible_on_the_preview(viewer):
    labels = viewer.add_labels(np.zeros((30, 40), int))
    ink = Ink(viewer, labels)
    ink.set_strokes([(np.array([[10, 10]]), pigments.PLUS)])
    ink.set_preview(box_edit(labels, (slice(5, 15), slice(5, 15)), 2), 2)
    assert shown_at(viewer, labels, (10, 10)) == pigments.PLUS
    assert shown_at(viewer, labels, (10, 11)) == pigments.GAIN
    ink.set_strokes([])
    assert shown_at(viewer, labels, (10, 10)) == pigments.GAIN


def test_the_selection_stays_where_it_was(viewer):
    image = viewer.add_image(np.zeros((30, 40)))
    labels = viewer.add_labels(np.zeros((30, 40), int))
    viewer.layers.selection = {image, labels}
    viewer.layers.selection.active = labels
    before = set(viewer.layers.selection)
    Ink(viewer, labels).prepare()
    assert viewer.layers.selection.active is labels
    assert set(viewer.layers.selection) == before
    assert len(viewer.layers) == 3


def test_it_lies_right_on_a_scaled_moved_and_turned_layer(viewer):
    labels = viewer.add_labels(
        np.zeros((3, 4000, 60), int),
        scale=(3, 0.5, 0.25),
        translate=(7, -20, 11),
        rotate=np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]),
        units=("um", "um", "um"),
    )
    ink = Ink(viewer, labels)
    ink.set_strokes([(np.array([[1, 3700, 13]]), pigments.PLUS)])
    assert sheet_of(viewer).data.shape[1] < 4000
    assert shown_at(viewer, labels, (1, 3700, 13)) == pigments.PLUS
    assert shown_at(viewer, labels, (0, 3700, 13)) == pigments.NONE
    labels.translate = (1, 2, 3)
    labels.scale = (1, 1, 2)
    assert shown_at(viewer, labels, (1, 3700, 13)) == pigments.PLUS
    assert sheet_of(viewer).units == labels.units


def test_a_huge_image_gets_a_small_sheet_that_moves(viewer):
    labels = viewer.add_labels(np.zeros((4000, 4000), np.uint8))
    ink = Ink(viewer, labels)
    for corner in (100, 3900):
        ink.set_strokes([(np.array([[corner, corner]]), pigments.PLUS)])
        assert sheet_of(viewer).data.size < 2_000_000
        assert shown_at(viewer, labels, (corner, corner)) == pigments.PLUS
    assert shown_at(viewer, labels, (100, 100)) == pigments.NONE


def test_a_long_stroke_does_not_leave_a_large_sheet_behind(viewer):
    labels = viewer.add_labels(np.zeros((3000, 3000), np.uint8))
    ink = Ink(viewer, labels)
    ink.set_strokes([(np.array([[100, 100]]), pigments.PLUS)])
    small = sheet_of(viewer).data.size
    ink.set_strokes([(np.array([[100, 100], [100, 2900]]), pigments.PLUS)])
    assert sheet_of(viewer).data.size > 4 * small
    assert shown_at(viewer, labels, (100, 100)) == pigments.PLUS
    assert shown_at(viewer, labels, (100, 2900)) == pigments.PLUS
    ink.clear()
    ink.set_strokes([(np.array([[150, 150]]), pigments.PLUS)])
    assert sheet_of(viewer).data.size == small
    assert shown_at(viewer, labels, (150, 150)) == pigments.PLUS


def test_a_stroke_that_grows_moves_the_sheet_seldom(viewer):
    labels = viewer.add_labels(np.zeros((4000, 4000), np.uint8))
    ink = Ink(viewer, labels)
    starts = set()
    for length in range(10, 3000, 10):
        row = np.arange(length)
        ink.set_strokes([(np.stack([row, row], 1), pigments.PLUS)])
        sheet = sheet_of(viewer)
        starts.add((*sheet.translate, *sheet.data.shape))
    assert len(starts) <= 8


def test_moving_the_sheet_changes_nothing_else(viewer):
    labels = viewer.add_labels(np.zeros((4, 3000, 3000), np.uint8), scale=(2, 1, 1))
    ink = Ink(viewer, labels)
    ink.prepare()
    ink.prepare()
    viewer.dims.set_point(0, 2)
    extent, told = viewer.layers.extent.world.copy(), []
    viewer.layers.events.connect(lambda event: told.append(event.type))
    viewer.dims.events.range.connect(lambda event: told.append(event.type))
    sheet = sheet_of(viewer)
    for corner in (50, 60, 2900):
        ink.set_strokes([(np.array([[1, corner, corner]]), pigments.PLUS)])
        assert not sheet.editable
    assert shown_at(viewer, labels, (1, 2900, 2900)) == pigments.PLUS
    # Every event of a layer paints the whole list of layers.
    assert not told
    assert np.array_equal(viewer.layers.extent.world, extent)
    place = sheet.extent.world[:, 1:]
    assert (place[0] > 2000).all()
    assert (place[1] <= 3000).all()


def test_a_sheet_that_the_user_hides_stays_hidden(viewer):
    labels = viewer.add_labels(np.zeros((30, 40), int))
    ink = Ink(viewer, labels)
    assert ink.prepare()
    assert not ink.prepare()
    assert sheet_of(viewer).visible
    sheet_of(viewer).visible = False
    ink.set_strokes([(np.array([[3, 3]]), pigments.PLUS)])
    assert not sheet_of(viewer).visible


def test_the_sheet_may_be_removed_and_comes_back(viewer):
    labels = viewer.add_labels(np.zeros((30, 40), int))
    ink = Ink(viewer, labels)
    ink.prepare()
    viewer.layers.remove(sheet_of(viewer))
    ink.set_strokes([(np.array([[3, 3]]), pigments.PLUS)])
    assert shown_at(viewer, labels, (3, 3)) == pigments.PLUS
    ink.close()
    ink.close()
    assert list(viewer.layers) == [labels]


def test_in_3d_only_what_is_drawn_is_rendered(viewer):
    labels = viewer.add_labels(np.zeros((20, 60, 60), int))
    ink = Ink(viewer, labels)
    ink.set_preview(box_edit(labels, (slice(4, 9), slice(20, 30), slice(20, 30)), 2), 2)
    assert sheet_of(viewer).data.shape == (20, 60, 60)
    viewer.dims.ndisplay = 3
    assert sheet_of(viewer).data.size < 5 * 30 * 30
    assert shown_at(viewer, labels, (6, 25, 25)) == pigments.GAIN
    viewer.dims.ndisplay = 2
    assert sheet_of(viewer).data.shape == (20, 60, 60)


pixel_lists = st.lists(
    st.tuples(st.integers(0, 1999), st.integers(0, 9)), min_size=1, max_size=6
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(pixel_lists, max_size=3), min_size=1, max_size=5))
def test_whatever_came_before_the_last_strokes_are_what_is_seen(states):
    viewer = ViewerModel()
    labels = viewer.add_labels(np.zeros((2000, 10), np.uint8))
    ink = Ink(viewer, labels)
    ink.prepare()
    for strokes in states:
        drawn = [
            (np.array(pixels), pigments.PLUS + i) for i, pixels in enumerate(strokes)
        ]
        ink.set_strokes(drawn)
    expected = np.zeros((2000, 10), np.uint8)
    for points, pigment in drawn:
        expected[tuple(points.T)] = pigment
    assert np.array_equal(whole_picture(viewer, labels), expected)


def test_outlines_do_not_follow_the_edge_of_the_array():
    mask = np.zeros((6, 6), bool)
    mask[:4, :4] = True
    found = pigments.outline(mask, (0, 1))
    assert found.sum() == 7
    assert not found[:3, :3].any()


@pytest.mark.gui
def test_ink_is_seen_in_the_window(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    labels = viewer.add_labels(np.zeros((40, 40), int))
    ink = Ink(viewer, labels)
    ink.prepare()
    qtbot.wait(50)
    points = np.argwhere(np.ones((40, 40)))
    ink.set_strokes([(points, pigments.PLUS)])
    colour = viewer.screenshot(canvas_only=True, flash=False)
    middle = colour[colour.shape[0] // 2, colour.shape[1] // 2, :3].astype(int)
    assert middle[1] > 180
    assert middle[0] < 100
    ink.clear()
    colour = viewer.screenshot(canvas_only=True, flash=False)
    assert colour[colour.shape[0] // 2, colour.shape[1] // 2, :3].max() < 10


@pytest.mark.gui
def test_a_sheet_that_has_just_moved_shows_what_is_drawn_before_the_next_frame(
    make_napari_viewer, qtbot
):
    viewer = make_napari_viewer(show=True)
    labels = viewer.add_labels(np.zeros((3, 2000, 2000), int), scale=(1, 2, 2))
    viewer.dims.set_point(0, 1)
    camera = viewer.scene.camera
    camera.center, camera.zoom = (0, 2400, 3000), 1
    ink = Ink(viewer, labels)
    ink.prepare()
    ink.prepare()
    qtbot.wait(50)
    block = np.argwhere(np.ones((1, 30, 30)))
    first = block + np.array([1, 1185, 1485])
    second = block + np.array([1, 1185, 1525])
    ink.set_strokes([(first, pigments.PLUS)])
    ink.set_strokes([(first, pigments.PLUS), (second, pigments.MINUS)])
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)

    row, column = np.array(picture.shape[:2]) // 2
    assert picture[row, column, 1] > 180 > picture[row, column, 0]
    assert picture[row, column + 80, 0] > 180 > picture[row, column + 80, 1]
    assert picture[row - 60, column].max() < 10
    assert picture[row, column + 140].max() < 10


def test_the_parts_of_a_split_have_the_colours_of_their_strokes(viewer):
    labels = viewer.add_labels(np.full((10, 30), 3))
    ink = Ink(viewer, labels)
    strokes = [np.array([[5, 10 * i + 5]]) for i in range(3)]
    ink.set_strokes([(p, pigments.part_stroke(i)) for i, p in enumerate(strokes)])
    after = np.full((10, 30), 3)
    after[:, 10:20], after[:, 20:] = 9, 8
    ink.set_preview(make_edit("split", (0, 0), labels.data, after))
    assert shown_at(viewer, labels, (5, 15)) == pigments.part_stroke(1)
    assert shown_at(viewer, labels, (1, 15)) == pigments.part_fill(1)
    assert shown_at(viewer, labels, (1, 25)) == pigments.part_fill(2)
    assert shown_at(viewer, labels, (1, 5)) == pigments.NONE
