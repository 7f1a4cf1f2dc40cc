"""The array that is corrected, and the image read on its grid. No Qt."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_seg.errors import LabelsError
from napari_seg.gui.correction.history import LayerHistory, can_redo, can_undo
from napari_seg.gui.correction.target import Target, fitting_images, make_target
from napari_seg.imaging.edits import add_object, delete_objects

RNG = np.random.default_rng(0)


def ramp(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def target_of(image: Image, labels: Labels) -> Target:
    return make_target(labels, [image])


def test_the_image_is_read_where_the_labels_are() -> None:
    image = Image(ramp(20, 30), scale=(0.5, 0.5), translate=(3, 4))
    labels = Labels(np.zeros((6, 8), int), scale=(0.5, 0.5), translate=(4, 5.5))
    target = target_of(image, labels)
    found = target.image.read(np.s_[1:4, 0:8])
    np.testing.assert_array_equal(found[0], image.data[3:6, 3:11])
    assert target.spacing == (0.5, 0.5)


def test_a_finer_grid_gets_the_nearest_pixels() -> None:
    image = Image(ramp(5, 6), scale=(2, 2), translate=(0.5, 0.5))
    labels = Labels(np.zeros((10, 12), int))
    found = target_of(image, labels).image.read(np.s_[0:10, 0:12])[0]
    np.testing.assert_array_equal(found, image.data.repeat(2, 0).repeat(2, 1))


def test_beyond_the_border_the_border_goes_on() -> None:
    image = Image(ramp(4, 4))
    labels = Labels(np.zeros((6, 6), int), translate=(-1, -1))
    found = target_of(image, labels).image.read(np.s_[0:6, 0:6])[0]
    np.testing.assert_array_equal(found, np.pad(image.data, 1, mode="edge"))


def test_colours_and_channels_come_first() -> None:
    colour = Image(ramp(5, 7, 3).astype(np.uint8), rgb=True)
    flat = Labels(np.zeros((5, 7), int))
    found = target_of(colour, flat).image.read(np.s_[1:3, 2:6])
    np.testing.assert_array_equal(found, np.moveaxis(colour.data, -1, 0)[:, 1:3, 2:6])
    leading = Image(ramp(2, 3, 5, 7), axis_labels=("c", "z", "y", "x"))
    stack = Labels(np.zeros((3, 5, 7), int))
    found = target_of(leading, stack).image.read(np.s_[1:2, 1:3, 2:6])
    np.testing.assert_array_equal(found, leading.data[:, 1:2, 1:3, 2:6])


def test_several_images_are_channels() -> None:
    images = [Image(ramp(5, 7)), Image(-ramp(5, 7))]
    target = make_target(Labels(np.zeros((5, 7), int)), images)
    found = target.image.read(np.s_[1:3, 2:6])
    np.testing.assert_array_equal(found[0], -found[1])


def test_labels_that_repeat_over_channels_lose_that_axis() -> None:
    image = Image(ramp(3, 2, 5, 7), axis_labels=("z", "c", "y", "x"))
    array = np.zeros((3, 5, 7), np.int32)
    strides = (array.strides[0], 0, *array.strides[1:])
    repeated = np.lib.stride_tricks.as_strided(array, (3, 2, 5, 7), strides)
    labels = Labels(repeated)
    labels.metadata["napari_seg"] = {"axes": "ZCYX"}
    target = target_of(image, labels)
    assert target.axes == "ZYX"
    assert target.labels.shape == (3, 5, 7)
    found = target.image.read(np.s_[1:2, 0:5, 0:7])
    np.testing.assert_array_equal(found[:, 0], image.data[1])
    history = LayerHistory(target)
    history.apply(add_object(target.labels, (1, 2, 3), np.ones((1, 2, 2), bool), 4))
    assert (labels.data[1, :, 2:4, 3:5] == 4).all()
    assert array.sum() == 16
    labels.undo()
    assert not array.any()
    labels.redo()
    assert array.sum() == 16


def test_only_the_piece_of_a_dask_image_is_read() -> None:
    seen: list[object] = []

    def load(block_info: dict) -> np.ndarray:
        seen.append(block_info[None]["chunk-location"])
        return np.zeros(block_info[None]["chunk-shape"], np.uint8)

    lazy = da.map_blocks(load, chunks=((50,) * 8, (50,) * 8), dtype=np.uint8)
    image = Image(lazy, contrast_limits=(0, 1))
    seen.clear()
    target = target_of(image, Labels(np.zeros((400, 400), int)))
    target.image.read(np.s_[60:80, 110:140])
    assert seen == [(1, 2)]


def test_images_that_do_not_fit_are_left_out() -> None:
    labels = Labels(np.zeros((20, 30), int))
    turned = Image(ramp(20, 30), rotate=30)
    beside = Image(ramp(20, 30), translate=(0, 100))
    stack = Image(ramp(4, 20, 30))
    fits = Image(ramp(20, 30), name="fits")
    made_from = Image(ramp(20, 30), name="made from")
    labels.metadata["napari_seg"] = {"image": "made from", "axes": "YX"}
    images = [turned, beside, stack, fits, made_from]
    assert fitting_images(labels, images) == [made_from, fits]


def test_turned_together_they_fit() -> None:
    image = Image(ramp(20, 30), rotate=30, translate=(5, 5))
    labels = Labels(np.zeros((20, 30), int), rotate=30, translate=(5, 5))
    found = target_of(image, labels).image.read(np.s_[3:9, 4:8])[0]
    np.testing.assert_array_equal(found, image.data[3:9, 4:8])


def test_labels_that_cannot_be_written_are_refused() -> None:
    data = np.zeros((5, 5), int)
    data.flags.writeable = False
    with pytest.raises(LabelsError, match="read-only"):
        target_of(Image(ramp(5, 5)), Labels(data))
    pyramid = Labels([np.zeros((64, 64), int), np.zeros((32, 32), int)])
    with pytest.raises(LabelsError, match="Multiscale"):
        target_of(Image(ramp(64, 64)), pyramid)


def test_a_stroke_acts_on_the_plane_shown_or_on_the_volume_of_a_frame() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(ramp(2, 4, 10, 12))
    labels = viewer.add_labels(np.zeros((2, 4, 10, 12), int))
    viewer.dims.set_point((0, 1), (1, 2))
    target = target_of(image, labels)
    assert target.axes == "TZYX"
    assert target.within(viewer, False) == np.s_[1:2, 2:3, 0:10, 0:12]
    assert target.within(viewer, True) == np.s_[1:2, 0:4, 0:10, 0:12]
    viewer.dims.order = (0, 2, 1, 3)
    viewer.dims.set_point((0, 2), (0, 7))
    assert target.within(viewer, False) == np.s_[0:1, 0:4, 7:8, 0:12]


@pytest.mark.parametrize("kind", ["numpy", "zarr"])
@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_edits_share_naparis_undo(kind: str, dtype: str) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(ramp(20, 30))
    data = np.zeros((20, 30), dtype)
    data[2:5, 2:5] = 7
    if kind == "zarr":
        data = zarr.array(data, chunks=(8, 8))
    labels = viewer.add_labels(data)
    target = target_of(image, labels)
    history = LayerHistory(target)
    painted: list[object] = []
    labels.events.paint.connect(painted.append)

    def now() -> np.ndarray:
        return np.array(labels.data[:])

    states = [now()]
    history.apply(add_object(target.labels, (8, 8), np.ones((4, 5), bool), 9))
    states.append(now())
    labels.paint((15, 20), 3)
    states.append(now())
    history.apply(delete_objects(target.labels, [7]))
    states.append(now())
    assert len(painted) == 3
    assert [len(np.unique(s)) for s in states] == [2, 3, 4, 3]
    for state in states[-2::-1]:
        assert can_undo(labels)
        labels.undo()
        np.testing.assert_array_equal(now(), state)
    assert not can_undo(labels)
    for state in states[1:]:
        assert can_redo(labels)
        labels.redo()
        np.testing.assert_array_equal(now(), state)
    assert not can_redo(labels)


def test_a_step_of_undo_is_small() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 200, 200), np.uint8))
    labels = viewer.add_labels(np.zeros((40, 200, 200), np.int32))
    target = target_of(image, labels)
    mask = np.ones((30, 100, 100), bool)
    edit = add_object(target.labels, (5, 50, 50), mask, 9)
    LayerHistory(target).apply(edit)
    assert edit.nbytes < 0.002 * labels.data.nbytes
    assert labels._undo_history[-1][0].old_values.size == mask.sum()
