"""The part of a clump that a stroke means: objects that a network took for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_seg.imaging.deltas import bounding_box
from napari_seg.refine.depth import depth_inside
from napari_seg.refine.split import SplitParams, SplitScene, solve_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

CENTRED = 0.75
"""People click at the middle: where the depth is this share of the greatest."""

PEAK = 0.85
"""Of the middle of another object all that is at least this deep is marked."""

NECK = 0.75
"""Narrower than this share of the depth under the stroke, a neck parts two objects."""

LEFT = 0.5
"""A cut that leaves less than this share of the depth under the stroke is refused."""

MOST_PARTS = 4
"""That are taken away from a clump, one after the other."""


def lobe_at(
    mask: NDArray[np.bool_],
    points: NDArray[np.intp],
    image: NDArray[np.float32],
    spacing: Sequence[float],
    kept: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Return the part of a mask in whose middle a stroke lies.

    While the mask is much deeper elsewhere than under the stroke, the object there is
    another one: a minimum cut takes it away.

    Parameters
    ----------
    mask : ndarray of bool, shape (*grid)
    points : ndarray of int, shape (N, ndim)
        Of the stroke.
    image : ndarray of float32, shape (C, *grid)
        Scaled to unit spread.
    spacing : sequence of float
        Voxel size in units of its shortest side.
    kept : ndarray of bool, shape (*grid), optional
        Strokes that surely lie on another part.
    """
    here = bounding_box(mask)
    result = mask.copy()
    part = mask[here]
    low = np.array([s.start for s in here])
    own = points[mask[tuple(points.T)]] - low
    piece = image[(slice(None), *here)]
    other = np.zeros(part.shape, bool)
    if kept is not None:
        other = kept[here] & part
        other[tuple(own.T)] = False
    for _ in range(MOST_PARTS if len(own) else 0):
        if not other.any():
            other = _other_middle(part, own, spacing)
        if not other.any():
            break
        marks = np.where(part, 0, -1).astype(np.int32)
        marks[other] = 2
        marks[tuple(own.T)] = 1
        less = solve_split(SplitScene(piece, marks, tuple(spacing)), SplitParams()) == 1
        if _reach(less, own, spacing) < LEFT * _reach(part, own, spacing):
            break
        part, other = less, np.zeros(part.shape, bool)
    result[here] = part
    return result


def _other_middle(
    part: NDArray[np.bool_], own: NDArray[np.intp], spacing: Sequence[float]
) -> NDArray[np.bool_]:
    """Return the middle of an object beside the one under the stroke, if there is."""
    depth = depth_in(part, spacing)
    reach = float(depth[tuple(own.T)].max())
    others = depth
    if reach < CENTRED * float(depth.max()):
        middles, _ = ndimage.label(depth >= PEAK * depth.max())
    else:
        # As deep, but behind a neck.
        middles, _ = ndimage.label(depth > NECK * reach)
        others = np.where(np.isin(middles, middles[tuple(own.T)]), 0, depth)
        if others.max() < PEAK * reach:
            return np.zeros(part.shape, bool)
    deepest = np.unravel_index(int(others.argmax()), depth.shape)
    middle = np.asarray(middles == middles[deepest])
    middle[tuple(own.T)] = False
    return middle


def _reach(
    part: NDArray[np.bool_], own: NDArray[np.intp], spacing: Sequence[float]
) -> float:
    return float(depth_in(part, spacing)[tuple(own.T)].max())


def depth_in(part: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.floating]:
    """Return the depth in a mask whose grid ends with nothing around."""
    padded = depth_inside(np.pad(part, 1), spacing)
    return padded[(slice(1, -1),) * part.ndim]
