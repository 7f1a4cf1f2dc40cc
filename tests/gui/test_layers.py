"""From layers to arrays and back, with a ViewerModel."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.gui.layers import (
    default_axes,
    labels_kwargs,
    labels_name,
    labels_view,
    pixel_size_um,
    take_source,
)
from napari_seg.gui.proposal import Proposal
from napari_seg.gui.repaint import repaint
from napari_seg.state import Scope, SegmentRequest
from napari_seg.types import Region

REQUEST = SegmentRequest("m")


@pytest.fixture
def viewer():
    return ViewerModel()


def put_labels(viewer, source):
    labels = np.zeros(source.shape, np.int32)
    return viewer.add_labels(labels_view(source, labels), **labels_kwargs(source))


@pytest.mark.parametrize(
    ("shape", "rgb", "axes"),
    [
        ((30, 40), False, "YX"),
        ((30, 40, 3), True, "YXC"),
        ((5, 30, 40), False, "ZYX"),
        ((5, 30, 40, 3), True, "ZYXC"),
    ],
)
def test_axes_are_guessed_from_the_layer(viewer, shape, rgb, axes):
    layer = viewer.add_image(np.zeros(shape, np.uint8), rgb=rgb)
    assert default_axes(layer) == axes


def test_axes_come_from_axis_labels_where_there_are_any(viewer):
    layer = viewer.add_image(np.zeros((5, 30, 40)), axis_labels=("t", "y", "x"))
    assert default_axes(layer) == "TYX"


def test_seven_dimensions_leave_the_axes_to_the_user(viewer):
    assert default_axes(viewer.add_image(np.zeros((1, 1, 1, 1, 1, 8, 8)))) == ""


def test_pixel_size_needs_a_unit_of_length(viewer):
    data = np.zeros((2, 3, 8, 8))
    nm = viewer.add_image(data, scale=(2, 500, 250, 250), units=("s", *["nm"] * 3))
    assert pixel_size_um(nm, "TZYX") == pytest.approx((1.0, 0.5, 0.25, 0.25))
    assert pixel_size_um(viewer.add_image(data, scale=(1, 1, 2, 2)), "TZYX") is None


@pytest.mark.parametrize("scope", list(Scope))
def test_labels_lie_exactly_on_their_part_of_the_image(viewer, scope):
    layer = viewer.add_image(
        np.zeros((4, 30, 40)),
        scale=(2, 0.5, 0.25),
        translate=(5, 3, 1),
        rotate=(0, 0, 30),
        shear=(0, 0, 0.2),
        affine=np.array([[1, 0, 0, 1], [0, 1, 0.1, 2], [0, 0, 1, 3], [0, 0, 0, 1.0]]),
        units=("um", "um", "um"),
        axis_labels=("z", "y", "x"),
    )
    viewer.dims.set_current_step(0, 2)
    layer.corner_pixels = np.array([[0, 6, 7], [3, 20, 30]])
    source = take_source(viewer, layer, "ZYX", scope)
    labels = put_labels(viewer, source)
    start = np.array(source.offset)
    for pixel in [(0, 0, 0), (0, 5, 3)]:
        expected = layer.data_to_world(start + pixel)
        assert np.allclose(labels.data_to_world(pixel), expected)
    assert labels.units == layer.units
    assert labels.axis_labels == layer.axis_labels


def test_plane_and_field_are_what_is_on_the_screen(viewer):
    layer = viewer.add_image(np.zeros((3, 4, 30, 40)))
    viewer.dims.set_current_step((0, 1), (2, 1))
    layer.corner_pixels = np.array([[0, 0, 6, 7], [2, 3, 20, 30]])
    plane = take_source(viewer, layer, "TZYX", Scope.PLANE)
    field = take_source(viewer, layer, "TZYX", Scope.FIELD)
    assert (plane.shape, plane.offset) == ((1, 1, 30, 40), (2, 1, 0, 0))
    assert (field.shape, field.offset) == ((1, 1, 15, 24), (2, 1, 6, 7))
    assert field.focus == (0, 0, 7, 11.5)
    assert labels_name(plane, "m") == "Image m (plane t2 z1)"


def test_focus_is_where_the_user_looks(viewer):
    layer = viewer.add_image(np.zeros((9, 30, 40)))
    viewer.dims.set_current_step(0, 7)
    layer.corner_pixels = np.array([[0, 10, 20], [8, 14, 30]])
    assert take_source(viewer, layer, "ZYX", Scope.IMAGE).focus == (7, 12, 25)


def test_lazy_data_stay_lazy(viewer):
    layer = viewer.add_image(da.zeros((6, 64, 64), chunks=(1, 32, 32)))
    source = take_source(viewer, layer, "ZYX", Scope.PLANE)
    assert isinstance(source.data, da.Array)
    assert source.data.shape == (1, 64, 64)


def test_multiscale_images_are_taken_with_all_their_levels(viewer):
    base = np.zeros((64, 96), np.uint8)
    layer = viewer.add_image([base, base[::2, ::2], base[::4, ::4]], multiscale=True)
    layer._data_level = 1
    layer.corner_pixels = np.array([[8, 10], [15, 19]])
    whole = take_source(viewer, layer, "YX", Scope.IMAGE)
    field = take_source(viewer, layer, "YX", Scope.FIELD)
    assert [a.shape for a in whole.data.arrays] == [(64, 96), (32, 48), (16, 24)]
    assert (field.offset, field.shape) == ((16, 20), (16, 20))
    assert [a.shape for a in field.data.arrays] == [(16, 20), (8, 10), (4, 5)]


def test_what_is_seen_of_a_pyramid_ends_between_pixels_of_its_levels(viewer):
    base = np.zeros((64, 96), np.uint8)
    layer = viewer.add_image([base, base[::2, ::2], base[::4, ::4]], multiscale=True)
    layer._data_level = 0
    layer.corner_pixels = np.array([[9, 11], [17, 33]])
    field = take_source(viewer, layer, "YX", Scope.FIELD)
    assert (field.offset, field.shape) == ((8, 8), (12, 28))
    assert len(field.data.arrays) == 3


def test_leading_channels_go_and_labels_show_on_all(viewer):
    layer = viewer.add_image(np.zeros((2, 30, 40)), scale=(1, 3, 3))
    source = take_source(viewer, layer, "CYX", Scope.IMAGE)
    labels = put_labels(viewer, source)
    assert labels.data.shape == (30, 40)
    assert np.allclose(labels.scale, (3, 3))


def test_channels_in_the_middle_repeat_the_labels_without_memory(viewer):
    layer = viewer.add_image(np.zeros((4, 2, 30, 40)), scale=(2, 1, 3, 3))
    source = take_source(viewer, layer, "ZCYX", Scope.IMAGE)
    labels = put_labels(viewer, source)
    assert labels.data.shape == layer.data.shape
    labels.data_setitem((np.array([1]), np.array([0]), np.array([5]), np.array([6])), 9)
    assert labels.data[1, 1, 5, 6] == 9
    assert labels.data.strides[1] == 0
    assert np.allclose(labels.extent.world, layer.extent.world)


def test_rgb_labels_have_no_colour_axis(viewer):
    layer = viewer.add_image(np.zeros((30, 40, 3), np.uint8), rgb=True)
    source = take_source(viewer, layer, "YXC", Scope.IMAGE)
    assert source.shape == put_labels(viewer, source).data.shape == (30, 40)


def test_pieces_reach_the_screen_without_slicing_the_layer_again(viewer):
    layer = viewer.add_image(np.zeros((3, 64, 64)))
    proposal = Proposal(take_source(viewer, layer, "ZYX", Scope.IMAGE), REQUEST)
    proposal.open(viewer)
    proposal.show()
    drawn, sliced = [], []
    proposal.layer.events.labels_update.connect(lambda e: drawn.append(e.offset))
    proposal.layer.events.set_data.connect(lambda: sliced.append(True))
    here = viewer.dims.current_step[0]
    proposal.write(Region((here, slice(8, 16), slice(32, 48)), np.full((8, 16), 5)))
    proposal.write(Region((0, slice(0, 4), slice(0, 4)), np.full((4, 4), 6)))
    assert (drawn, sliced) == ([[8, 32]], [])
    shown = proposal.layer._slice.image
    assert shown.raw[8, 32] == 5
    assert shown.view[8, 32] == proposal.layer.colormap._data_to_texture(np.array([5]))
    assert (proposal.layer.data == 5).sum() == 8 * 16


@pytest.mark.parametrize("ndisplay", [2, 3])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_pieces_are_drawn_right_however_the_axes_are_rolled(viewer, order, ndisplay):
    layer = viewer.add_image(np.zeros((6, 20, 30)))
    viewer.dims.order = order
    viewer.dims.ndisplay = ndisplay
    proposal = Proposal(take_source(viewer, layer, "ZYX", Scope.IMAGE), REQUEST)
    proposal.open(viewer)
    proposal.show()
    drawn = []
    proposal.layer.events.labels_update.connect(drawn.append)
    piece = np.arange(1, 6 * 20 * 30 + 1).reshape(6, 20, 30)
    proposal.write(Region((slice(0, 6), slice(0, 20), slice(0, 30)), piece))
    assert len(drawn) == 1
    patched = proposal.layer._slice.image.view.copy()
    proposal.layer.refresh()
    assert np.array_equal(patched, proposal.layer._slice.image.view)


def test_labels_on_disk_are_repainted_without_slicing_them(viewer):
    data = zarr.zeros((32, 32), dtype=np.int32, chunks=(16, 16))
    layer = viewer.add_labels(data)
    sliced = []
    layer.events.set_data.connect(lambda: sliced.append(True))
    data[2:6, 3:7] = 5
    repaint(layer, (slice(0, 4), slice(0, 4)))
    assert sliced == []
    expected = np.zeros((32, 32), np.int32)
    expected[2:4, 3:4] = 5  # only what lies in the box
    assert np.array_equal(layer._slice.image.raw, expected)


@pytest.mark.parametrize("axes", ["ZYX", "YXZ"])
def test_steps_turn_the_layer_into_the_answer(viewer, axes):
    layer = viewer.add_image(np.zeros((3, 600, 5) if axes == "ZYX" else (5, 600, 3)))
    proposal = Proposal(take_source(viewer, layer, axes, Scope.IMAGE), REQUEST)
    proposal.open(viewer)
    answer = np.random.default_rng(0).integers(0, 9, layer.data.shape).astype(np.int32)
    assert len(list(proposal.steps_to(answer))) == 6
    assert np.array_equal(proposal.layer.data, answer)


def test_filling_a_proposal_leaves_no_undo_steps(viewer):
    layer = viewer.add_image(np.zeros((32, 32)))
    proposal = Proposal(take_source(viewer, layer, "YX", Scope.IMAGE), REQUEST)
    proposal.open(viewer)
    proposal.show()
    proposal.write(Region((slice(0, 4), slice(0, 4)), np.ones((4, 4))))
    proposal.layer.undo()
    assert proposal.layer.data[0, 0] == 1
    assert not proposal.is_edited
    assert isinstance(proposal.layer, Labels)
