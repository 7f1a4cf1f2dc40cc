"""Guessing and checking what each axis of an array is."""

from __future__ import annotations

import numpy as np
import pytest

from napari_seg.errors import AxesError
from napari_seg.imaging.axes import (
    PlaneIndex,
    check_axes,
    guess_axes,
    iter_planes,
    plane_selection,
    spatial_axes,
    spatial_shape,
)


@pytest.mark.parametrize(
    ("shape", "options", "axes"),
    [
        ((64, 80), {}, "YX"),
        ((12, 64, 80), {}, "ZYX"),
        ((64, 80, 3), {}, "YXC"),
        ((64, 80, 4), {}, "YXC"),
        ((9, 64, 80, 3), {}, "ZYXC"),
        ((5, 12, 64, 80), {}, "TZYX"),
        ((12, 2, 64, 80), {}, "ZCYX"),
        ((2, 12, 64, 80), {}, "CZYX"),
        ((5, 12, 2, 64, 80), {}, "TZCYX"),
        ((64, 3, 3), {}, "ZYX"),  # too small for colour
        ((4, 4, 3), {"rgb": True}, "YXC"),
        ((12, 64, 80, 3), {"rgb": True}, "ZYXC"),
        ((7, 64, 80), {"names": ["t", "y", "x"]}, "TYX"),
        ((2, 64, 80), {"names": "CYX"}, "CYX"),
        ((64, 80, 3), {"names": "YXS"}, "YXC"),
        ((12, 64, 80), {"names": "QYX"}, "ZYX"),  # tifffile: unknown
        ((12, 64, 80), {"names": ["-3", "-2", "-1"]}, "ZYX"),  # napari's default
        ((64, 80, 3), {"names": ["y", "x"], "rgb": True}, "YXC"),
        ((64, 80), {"names": ["a", "b", "c"]}, "YX"),  # of another array
        ((64, 80), {"names": ["row", "column"]}, "YX"),
    ],
)
def test_axes_are_guessed_from_names_then_shape(
    shape: tuple[int, ...], options: dict[str, object], axes: str
) -> None:
    assert guess_axes(shape, **options) == axes  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(), (7,), (1, 2, 3, 4, 5, 6)])
def test_shapes_without_a_guess_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(AxesError, match="name the axes"):
        guess_axes(shape)


def test_axes_may_be_lower_case() -> None:
    assert check_axes(" zyx ", (3, 4, 5)) == "ZYX"


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        ("ZYQ", (3, 4, 5), "Q"),
        ("YYX", (3, 4, 5), "repeat"),
        ("YX", (3, 4, 5), "3 axes"),
        ("ZY", (3, 4), "lack"),
    ],
)
def test_wrong_axes_are_named_in_the_error(
    axes: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(AxesError, match=message):
        check_axes(axes, shape)


def test_labels_have_every_axis_but_channels() -> None:
    assert spatial_axes("TZCYX") == "TZYX"
    assert spatial_shape("YXC", (6, 7, 3)) == (6, 7)


def test_planes_come_frame_by_frame() -> None:
    planes = list(iter_planes("ZTYX", (2, 3, 8, 8)))
    assert planes[:3] == [PlaneIndex(0, 0), PlaneIndex(0, 1), PlaneIndex(1, 0)]
    assert len(planes) == 6


def test_a_plane_is_cut_out_whatever_the_order_of_axes() -> None:
    image = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    index = plane_selection("CZYX", PlaneIndex(0, 2), (slice(1, 3), slice(0, 2)), 1)
    np.testing.assert_array_equal(image[index], image[1, 2, 1:3, 0:2])
