"""Which part of which image lies under a labels layer, for the core to read."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.errors import NapariSegError
from napari_seg.gui.training.data import TrainingData
from napari_seg.gui.training.marks import checked_part, toggle_plane
from napari_seg.gui.training.pairing import LayerPair, pair_layer
from napari_seg.gui.training.settings import Counts
from napari_seg.training.pairs import TrainingPair
from napari_seg.training.sources import Reading, iter_read
from napari_seg.types import run

Y, X = 20, 30


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


def ids(*shape: int) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    labels[..., 3:9, 3:9] = 4
    return labels


def paired(image: Any, labels: Any, **kwargs: Any) -> tuple[Labels, LayerPair]:
    """Open both and pair them; `image_` and `labels_` go to one layer only."""
    viewer = ViewerModel()
    own = {k.removeprefix("image_"): v for k, v in kwargs.items() if k[0] == "i"}
    viewer.add_image(image, name="cells", **own)
    other = {k.removeprefix("labels_"): v for k, v in kwargs.items() if k[0] == "l"}
    layer = viewer.add_labels(labels, name="ids", **other)
    return layer, pair_layer(layer, [viewer.layers["cells"]])


def planes(pair: LayerPair, **kwargs: Any) -> list[Any]:
    return run(iter_read([pair.source(**kwargs)], Reading()))


@pytest.mark.parametrize(
    ("image", "labels", "kwargs", "axes", "count"),
    [
        (pixels(Y, X), ids(Y, X), {}, "YX", 1),
        (pixels(5, Y, X), ids(5, Y, X), {}, "ZYX", 5),
        (pixels(Y, X, 3), ids(Y, X), {"image_rgb": True}, "YXC", 1),
        (pixels(2, 5, Y, X, 3), ids(2, 5, Y, X), {"image_rgb": True}, "TZYXC", 10),
        (
            pixels(3, Y, X),
            ids(Y, X),
            {"image_axis_labels": ("c", "y", "x")},
            "CYX",
            1,
        ),
        (
            pixels(4, Y, X),
            ids(4, Y, X),
            {f"{k}_axis_labels": ("t", "y", "x") for k in ("image", "labels")},
            "TYX",
            4,
        ),
    ],
)
def test_axes_and_planes_of_every_layout(image, labels, kwargs, axes, count):
    _, pair = paired(image, labels, **kwargs)
    assert pair.axes == axes
    found = planes(pair)
    assert len(found) == count
    assert all(plane.diameter_px > 0 for plane in found)


@pytest.mark.parametrize("kind", [da.from_array, zarr.array])
def test_arrays_that_are_not_in_memory_are_handed_on_unread(kind):
    image, labels = pixels(3, Y, X), ids(3, Y, X)
    _, pair = paired(kind(image), kind(labels))
    source = pair.source()
    assert not isinstance(source.image, np.ndarray)
    assert not isinstance(source.labels, np.ndarray)
    assert len(planes(pair)) == 3
    _, part = paired(kind(image), kind(labels), labels_translate=(1, 0, 0))
    source = part.source()
    assert source.image.shape == (2, Y, X)
    assert not isinstance(source.image, np.ndarray)
    np.testing.assert_array_equal(np.asarray(source.image), image[1:])


def test_labels_that_repeat_along_the_channels_are_read_once():
    flat = ids(4, Y, X)
    repeated = np.lib.stride_tricks.as_strided(
        flat, (4, 2, Y, X), (flat.strides[0], 0, *flat.strides[1:])
    )
    viewer = ViewerModel()
    viewer.add_image(pixels(4, 2, Y, X), name="cells", axis_labels=list("zcyx"))
    layer = viewer.add_labels(repeated, name="ids")
    layer.metadata["napari_seg"] = {"image": "cells", "axes": "ZCYX"}
    pair = pair_layer(layer, [viewer.layers["cells"]])
    assert pair.axes == "ZCYX"
    assert pair.source().labels.shape == (4, Y, X)
    (first, *_) = planes(pair)
    assert isinstance(first, TrainingPair)
    assert first.image.shape == (2, Y, X)


def test_the_scale_of_the_layer_is_the_distance_of_its_planes():
    viewer = ViewerModel()
    viewer.add_image(pixels(4, Y, X), name="cells", scale=(2, 0.5, 0.5))
    layer = viewer.add_labels(ids(4, Y, X), scale=(2, 0.5, 0.5))
    assert pair_layer(layer, [viewer.layers["cells"]]).source().spacing == (2, 0.5, 0.5)
    plain = viewer.add_labels(ids(Y, X))
    viewer.add_image(pixels(Y, X), name="flat")
    assert pair_layer(plain, [viewer.layers["flat"]]).source().spacing is None


def test_pyramids_are_read_at_full_resolution():
    image = pixels(2 * Y, 2 * X)
    viewer = ViewerModel()
    viewer.add_image([image, image[::2, ::2]], multiscale=True, name="cells")
    layer = viewer.add_labels(ids(2 * Y, 2 * X))
    source = pair_layer(layer, [viewer.layers["cells"]]).source()
    assert source.image.shape == (2 * Y, 2 * X)


def test_the_image_that_the_labels_were_made_from_goes_first():
    viewer = ViewerModel()
    images = [viewer.add_image(pixels(Y, X), name=name) for name in ("a", "b")]
    layer = viewer.add_labels(ids(Y, X))
    assert pair_layer(layer, images[::-1]).image_name == "b"
    layer.metadata["napari_seg"] = {"image": "a", "axes": "YX"}
    assert pair_layer(layer, images[::-1]).image_name == "a"


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"labels_translate": (500, 500)}, "beside the image"),
        ({"labels_scale": (0.5, 0.5)}, "different size"),
        ({"labels_rotate": 20}, "turned"),
    ],
)
def test_labels_on_another_grid_say_what_is_wrong(kwargs, words):
    with pytest.raises(NapariSegError, match=words):
        paired(pixels(Y, X), ids(Y, X), **kwargs)


def test_a_stack_on_one_plane_of_an_image_cannot_be_learned():
    with pytest.raises(NapariSegError, match="lacks an axis"):
        paired(pixels(Y, X), ids(4, Y, X))


def test_marked_planes_count_in_the_part_that_has_an_image():
    layer, pair = paired(pixels(6, Y, X), ids(4, Y, X), labels_translate=(-1, 0, 0))
    assert pair.shape == (3, Y, X)
    for plane in (0, 1, 3):
        assert toggle_plane(layer, (plane,))
    checked = checked_part(layer, pair, Counts.PLANES)
    assert checked is not None
    assert checked.planes == {0, 2}  # plane 0 lies before the image
    names = [plane.name for plane in planes(pair, checked=checked)]
    assert names == ["ids-0000", "ids-0002"]
    assert not toggle_plane(layer, (3,))


def test_labels_of_one_image_stay_on_one_side_of_a_split():
    viewer = ViewerModel()
    viewer.add_image(pixels(Y, X), name="cells")
    for name in ("first", "second"):
        viewer.add_labels(ids(Y, X), name=name)
    data = TrainingData(viewer)
    keys = {part.key for part in data.parts().values()}
    assert len(data.parts()) == 2
    assert len(keys) == 1
    data.close()
