"""What the user drew: pixels that belong to the object, and pixels that do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import LabelsError
from napari_seg.imaging.deltas import bounding_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box


@dataclass(frozen=True)
class Stroke:
    """One gesture.

    Parameters
    ----------
    points : ndarray of int, shape (N, ndim)
        Pixels it covers, within the image.
    positive : bool
        Whether they belong to the object.
    """

    points: NDArray[np.intp]
    positive: bool


def as_points(drawn: Any, shape: tuple[int, ...] | None = None) -> NDArray[np.intp]:
    """Return the pixels of a bool mask or of (N, ndim) points, inside the image.

    Parameters
    ----------
    drawn : ndarray of bool, or array_like of int of shape (N, ndim)
        Strokes. An empty list has no pixels.
    shape : tuple of int, optional
        Of the image: points outside are dropped, for a stroke may leave the image.
    """
    array = np.asarray(drawn)
    if array.dtype == bool:
        box = bounding_box(array)
        points = np.argwhere(array[box]) + [s.start for s in box]
    elif array.size == 0:
        points = np.zeros((0, len(shape) if shape else array.shape[-1]), np.intp)
    else:
        points = _rounded(np.atleast_2d(array))
    if shape is None:
        return points
    if points.shape[1] != len(shape):
        raise LabelsError(
            "Strokes and image have different numbers of axes",
            f"{points.shape[1]} and {len(shape)}",
        )
    inside = ((points >= 0) & (points < shape)).all(axis=1)
    return np.unique(points[inside], axis=0)


def spatial_ndim(*drawn: Any) -> tuple[int, tuple[int, ...] | None]:
    """Return the number of spatial axes, and their lengths if a mask tells them."""
    arrays = [np.asarray(d) for d in drawn]
    for array in arrays:
        if array.dtype == bool:
            return array.ndim, array.shape
    for array in arrays:
        if array.size:
            return int(np.atleast_2d(array).shape[1]), None
    raise LabelsError(
        "There are no strokes", remedy="Mark at least one pixel of the object."
    )


def resolve(strokes: Sequence[Stroke]) -> list[Stroke]:
    """Drop from older strokes the pixels that a newer one of the other side covers."""
    kept: list[Stroke] = []
    sides: dict[tuple[int, ...], bool] = {}
    for stroke in reversed(strokes):
        keys = [tuple(point) for point in stroke.points.tolist()]
        fresh = [sides.setdefault(key, stroke.positive) for key in keys]
        kept.append(
            Stroke(
                stroke.points[np.array(fresh, bool) == stroke.positive], stroke.positive
            )
        )
    return kept[::-1]


def shift(strokes: Sequence[Stroke], box: Box) -> list[Stroke]:
    """Return the parts of the strokes inside a box, in its coordinates."""
    low = np.array([s.start for s in box])
    high = np.array([s.stop for s in box])
    moved = []
    for stroke in strokes:
        inside = ((stroke.points >= low) & (stroke.points < high)).all(axis=1)
        moved.append(Stroke(stroke.points[inside] - low, stroke.positive))
    return moved


def disc(
    centre: Sequence[int],
    radius_px: float,
    spacing: Sequence[float] | None = None,
) -> NDArray[np.intp]:
    """Return the points of a disc or ball: a click with a round brush.

    Parameters
    ----------
    centre : sequence of int
        Clicked pixel.
    radius_px : float
        In units of `spacing`, that is pixels where no spacing is given.
    spacing : sequence of float, optional
        Voxel size in units of its shortest side.
    """
    sizes = np.ones(len(centre)) if spacing is None else np.asarray(spacing, float)
    reach = np.floor(radius_px / sizes).astype(int)
    grids = np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij")
    offsets = np.stack([g.ravel() for g in grids], axis=1)
    near = ((offsets * sizes) ** 2).sum(axis=1) <= radius_px**2
    return np.asarray(offsets[near] + np.asarray(centre), np.intp)


def _rounded(array: NDArray[Any]) -> NDArray[np.intp]:
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise LabelsError(
            "Strokes must be a bool mask or integer points of shape (N, ndim)",
            f"{array.dtype} array of shape {array.shape}",
        )
    if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
        raise LabelsError(
            "Points must be whole pixels", "fractions", "Round them first."
        )
    return array.astype(np.intp)
