"""The local box of a cut: where it starts, how it grows, and a mask in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.imaging.deltas import bounding_box
from napari_seg.imaging.slabs import moved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box


def box_around(
    points: NDArray[np.intp],
    shape: Sequence[int],
    margin: float,
    spacing: Sequence[float],
) -> Box:
    """Return the box of some points and a margin, inside the image.

    Parameters
    ----------
    points : ndarray of int, shape (N, ndim)
    shape : sequence of int
        Of the image.
    margin : float
        On every side, in units of `spacing`.
    spacing : sequence of float
        Voxel size in units of its shortest side.
    """
    pad = np.maximum(np.ceil(margin / np.asarray(spacing)), 1).astype(int)
    low = np.maximum(points.min(axis=0) - pad, 0)
    high = np.minimum(points.max(axis=0) + pad + 1, shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def touched_sides(
    mask: NDArray[np.bool_], box: Box, limits: Box
) -> list[tuple[bool, bool]]:
    """Tell for each axis whether the mask meets the box's low and high side.

    Sides at the limits, e.g. the border of the image, do not count.
    """
    sides = []
    for axis, (side, limit) in enumerate(zip(box, limits, strict=True)):
        first = bool(np.take(mask, 0, axis).any()) and side.start > limit.start
        last = bool(np.take(mask, -1, axis).any()) and side.stop < limit.stop
        sides.append((first, last))
    return sides


def grown(
    box: Box, sides: Sequence[tuple[bool, bool]], limits: Box, factor: float
) -> Box:
    """Move the touched sides outwards by a share of the box's length."""
    result = []
    for side, (first, last), limit in zip(box, sides, limits, strict=True):
        step = max(2, round(factor * (side.stop - side.start)))
        low = max(side.start - step, limit.start) if first else side.start
        high = min(side.stop + step, limit.stop) if last else side.stop
        result.append(slice(low, high))
    return tuple(result)


def union(a: Box, b: Box) -> Box:
    """Return the smallest box that holds both."""
    return tuple(
        slice(min(s.start, t.start), max(s.stop, t.stop))
        for s, t in zip(a, b, strict=True)
    )


def clipped(box: Box, within: Box) -> Box:
    """Return the part of a box within another."""
    return tuple(
        slice(min(max(s.start, w.start), w.stop), max(min(s.stop, w.stop), w.start))
        for s, w in zip(box, within, strict=True)
    )


def volume(box: Box) -> int:
    """Return the number of voxels in a box."""
    return int(np.prod([s.stop - s.start for s in box]))


@dataclass(frozen=True)
class Instance:
    """An object as the network sees it.

    Parameters
    ----------
    box : tuple of slice
        Where in the image.
    mask : ndarray of bool, shape of the box
    """

    box: Box
    mask: NDArray[np.bool_]

    def around(self, margin_px: float, spacing: Sequence[float], limits: Box) -> Box:
        """Return its bounding box with a margin, within limits."""
        tight = moved(bounding_box(self.mask), [s.start for s in self.box])
        corners = np.array([[s.start for s in tight], [s.stop - 1 for s in tight]])
        shape = [s.stop for s in limits]
        return clipped(box_around(corners, shape, margin_px, spacing), limits)

    def read(self, box: Box) -> NDArray[np.bool_]:
        """Return the mask in another box."""
        result = np.zeros([s.stop - s.start for s in box], bool)
        common = clipped(self.box, box)
        if volume(common):
            here, there = (
                moved(common, [-s.start for s in frame]) for frame in (box, self.box)
            )
            result[here] = self.mask[there]
        return result
