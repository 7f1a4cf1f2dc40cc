"""Reading images: any array, any dtype, window by window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from napari_seg.errors import AxesError, ImageError
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.imaging.levels import Levels
from napari_seg.imaging.rescale import resample_plane
from napari_seg.inference.reader import open_image
from napari_seg.inference.view import view_frame, view_plane

PLANE = PlaneIndex()


class Watched:
    """An array that refuses to be turned into memory as a whole."""

    def __init__(self, data: NDArray[Any]) -> None:
        self.data = data
        self.shape, self.dtype = data.shape, data.dtype
        self.largest = 0

    def __getitem__(self, index: Any) -> NDArray[Any]:
        part = self.data[index]
        self.largest = max(self.largest, part.size)
        return part

    def __array__(self, *_: object, **__: object) -> NDArray[Any]:
        raise AssertionError("the whole image was read")


def ramp(dtype: str) -> NDArray[Any]:
    values = np.linspace(0, 1, 64 * 48).reshape(64, 48)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return values > 0.5
    if kind.kind == "f":
        return values.astype(kind)
    info = np.iinfo(kind)
    return (info.min + values * (float(info.max) - info.min) * 0.99).astype(kind)


@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "f2",
        "f4",
        "f8",
        ">u2",
        ">f4",
    ],
)
def test_every_dtype_spans_the_same_range(dtype: str) -> None:
    reader = open_image(ramp(dtype), None)
    values = reader.read(PLANE, (slice(0, 64), slice(0, 48)))
    assert values.dtype == np.float32
    assert values.shape == (1, 64, 48)
    assert values.min() == pytest.approx(0, abs=0.02)
    assert values.max() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("dtype", ["c8", "O", "M8[s]", "U3"])
def test_what_is_not_a_number_is_refused(dtype: str) -> None:
    with pytest.raises(ImageError, match="real numbers"):
        open_image(np.zeros((4, 4), dtype), None)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0, 5), (4, 4, 0)])
def test_empty_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="empty"):
        open_image(np.zeros(shape), None)


def test_nan_and_infinity_do_not_spread() -> None:
    image = np.random.default_rng(0).random((80, 80))
    image[10, 10], image[20, 20], image[30, 30] = np.nan, np.inf, -np.inf
    view = view_plane(open_image(image, None), PLANE, 0.5)
    assert np.isfinite(view.read((slice(-8, 48), slice(-8, 48)))).all()


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_constant_images_become_zero(value: float) -> None:
    reader = open_image(np.full((20, 20), value), None)
    assert not reader.read(PLANE, (slice(0, 20), slice(0, 20))).any()


@pytest.mark.parametrize("kind", ["numpy", "memmap", "dask", "zarr"])
def test_arrays_of_every_kind_read_alike(kind: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 999, (3, 2, 40, 50)).astype("u2")
    image: Any = data
    if kind == "memmap":
        np.save(tmp_path / "a.npy", data)
        image = np.load(tmp_path / "a.npy", mmap_mode="r")
    elif kind == "dask":
        image = da.from_array(data, chunks=(1, 1, 16, 16))
    elif kind == "zarr":
        image = zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(1, 1, 16, 16))
    expected = open_image(data, "TCYX", channel=1)
    reader = open_image(image, "TCYX", channel=1)
    window = (slice(5, 30), slice(7, 50))
    np.testing.assert_array_equal(
        reader.read(PlaneIndex(2), window), expected.read(PlaneIndex(2), window)
    )


def test_a_huge_image_is_never_read_at_once() -> None:
    image = Watched(np.broadcast_to(np.arange(9000, dtype="u2"), (40, 9000, 9000)))
    view = view_plane(open_image(image, "ZYX"), PlaneIndex(0, 7), 1.0)
    view.read((slice(0, 256), slice(0, 256)))
    assert image.largest <= 256 * 256


def test_one_range_holds_for_a_frame_and_another_for_the_next() -> None:
    image = np.random.default_rng(0).random((2, 3, 60, 60)).astype("f4")
    image[1] *= 100
    image[:, 2] *= 0.1  # a dim plane stays dim: the range is the frame's
    reader = open_image(image, "TZYX")
    window = (slice(0, 60), slice(0, 60))
    bright = [reader.read(PlaneIndex(t, 0), window).max() for t in (0, 1)]
    assert bright == pytest.approx([1, 1], abs=0.05)
    assert reader.read(PlaneIndex(1, 2), window).max() < 0.15


def test_colour_becomes_grey_unless_a_channel_is_chosen() -> None:
    image = np.zeros((20, 30, 3), "u1")
    image[:10, :, 1] = 200
    image[:, 15:, 0] = 200
    window = (slice(0, 20), slice(0, 30))
    grey = open_image(image, None)
    assert grey.notes == ["colour was turned to grey (luminance)"]
    levels = grey.read(PLANE, window)[0]
    assert levels[0, 0] > levels[19, 29] > levels[19, 0]
    red = open_image(image, None, channel=0).read(PLANE, window)[0]
    assert red[19, 29] == red[0, 29] > red[0, 0]


def test_the_first_channel_is_taken_and_said() -> None:
    image = np.zeros((2, 20, 30), "u1")
    image[0, :10] = 9
    reader = open_image(image, "CYX")
    assert reader.notes == ["channel 0 of 2 was used"]
    assert reader.read(PLANE, (slice(0, 20), slice(0, 30))).max() == 1


@pytest.mark.parametrize(
    ("shape", "axes", "channel"), [((2, 9, 9), "CYX", 2), ((9, 9), "YX", 1)]
)
def test_a_missing_channel_is_refused(
    shape: tuple[int, ...], axes: str, channel: int
) -> None:
    with pytest.raises(ImageError, match=r"[Cc]hannel"):
        open_image(np.zeros(shape), axes, channel=channel)


def test_a_model_for_more_channels_wants_exactly_those() -> None:
    with pytest.raises(ImageError, match="needs 2 channels"):
        open_image(np.zeros((9, 9)), "YX", in_channels=2)
    reader = open_image(np.zeros((9, 9, 4)), "YXC", in_channels=3)
    assert reader.read(PLANE, (slice(0, 9), slice(0, 9))).shape == (3, 9, 9)


def test_axes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(AxesError, match="do not fit"):
        open_image(np.zeros((9, 9)), "ZYX")


@pytest.mark.parametrize("zoom", [0.3, 1.0, 2.2])
def test_windows_are_parts_of_the_mirrored_whole(zoom: float) -> None:
    image = np.random.default_rng(0).random((50, 61))
    reader = open_image(image, "XY")
    view = view_plane(reader, PLANE, zoom)
    whole = resample_plane(
        reader.read(PLANE, (slice(0, 61), slice(0, 50)))[0], view.shape
    )
    padded = np.pad(whole, 9, mode="reflect")
    window = (slice(-9, 12), slice(3, view.shape[1] + 9))
    found = view.read(window)[0]
    np.testing.assert_allclose(found, padded[0:21, 12:], atol=1e-6)


def spots_at(levels: int) -> list[NDArray[Any]]:
    """Return a random image and its means over blocks of 2, 4, ... pixels."""
    image = np.random.default_rng(0).random((2, 64, 96)).astype("f4")
    found = [image]
    for _ in range(levels - 1):
        last = found[-1]
        shape = (2, last.shape[1] // 2, 2, last.shape[2] // 2, 2)
        found.append(last.reshape(shape).mean((2, 4)))
    return found


@pytest.mark.parametrize(
    ("zoom", "level"), [(2, 0), (1, 0), (0.8, 0), (0.5, 1), (0.3, 1), (0.25, 2)]
)
def test_the_level_is_read_that_fits_the_zoom(zoom: float, level: int) -> None:
    arrays = [Watched(a) for a in spots_at(3)]
    reader = open_image(Levels(arrays), "ZYX")
    reader.range_of(0)
    for array in arrays:
        array.largest = 0
    view = view_plane(reader, PlaneIndex(0, 1), zoom)
    assert view.shape == (round(64 * zoom), round(96 * zoom))
    window = slice(0, view.shape[0]), slice(0, view.shape[1])
    values = view.read(window)
    assert [a.largest > 0 for a in arrays] == [i == level for i in range(3)]
    alone = open_image(arrays[level].data, "ZYX")
    alone.finest = open_image(arrays[0].data, "ZYX")  # whose range counts
    step = 2**level
    np.testing.assert_array_equal(
        values, view_plane(alone, PlaneIndex(0, 1), zoom * step).read(window)
    )


def test_planes_are_not_taken_from_a_level_that_has_fewer() -> None:
    finest = np.random.default_rng(0).random((8, 32, 32))
    reader = open_image(Levels([finest, finest[::2, ::2, ::2]]), "ZYX")
    assert reader.for_zoom(0.5) is reader
    assert reader.for_zoom(0.5, 1.0) is reader
    frame = view_frame(reader, 0, 0.5, 0.5)
    assert len(frame.planes) == 4
    assert frame.shape == (4, 16, 16)
