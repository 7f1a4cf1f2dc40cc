"""Planes and frames of the labels: their order, their views, their finished parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.imaging.axes import (
    FrameIndex,
    Piece,
    PlaneIndex,
    axis_size,
    iter_planes,
    plane_selection,
)
from napari_seg.types import Region

if TYPE_CHECKING:
    from napari_seg.imaging.stitching import Window

Labels = NDArray[np.int32]


def is_transposed(axes: str) -> bool:
    """Whether X comes before Y."""
    return axes.index("X") < axes.index("Y")


def plane_of(labels: Any, axes: str, plane: Piece) -> Any:
    """Return a writable view of one plane (rows, columns), or frame (planes, ...)."""
    view = labels[plane_selection(axes, plane)]
    if isinstance(plane, FrameIndex):
        kept = axes.replace("T", "")
        return view.transpose([kept.index(axis) for axis in "ZYX"])
    return view.T if is_transposed(axes) else view


def part_of(kept: NDArray[np.float32], axes: str, plane: Piece) -> NDArray[np.float32]:
    """Return a plane or frame of an array (K, [T,] [Z,] rows, columns)."""
    part = kept[:, plane.t] if "T" in axes else kept
    if isinstance(plane, PlaneIndex) and "Z" in axes:
        part = part[:, plane.z]
    return part


def region_of(labels: Labels, axes: str, plane: Piece, window: Window) -> Region:
    """Return a copy of a finished window, with its place in the labels."""
    # The window ends in rows, columns; the selection puts each where its axis is.
    index = plane_selection(axes, plane, window)
    return Region(index, labels[index].copy())


def order_planes(
    axes: str, shape: tuple[int, ...], focus: PlaneIndex | None
) -> list[PlaneIndex]:
    """Return all planes, those nearest the focus first."""
    planes = list(iter_planes(axes, shape))
    if focus is None:
        return planes
    return sorted(planes, key=lambda p: (abs(p.t - focus.t), abs(p.z - focus.z)))


def order_frames(
    axes: str, shape: tuple[int, ...], focus: PlaneIndex | None
) -> list[FrameIndex]:
    """Return all frames, those nearest the focus first."""
    found = [FrameIndex(t) for t in range(axis_size(axes, shape, "T"))]
    if focus is None:
        return found
    return sorted(found, key=lambda frame: abs(frame.t - focus.t))


def frames(axes: str, shape: tuple[int, ...]) -> Iterator[list[PlaneIndex]]:
    """Yield the planes of each frame, in the order of Z."""
    planes = list(iter_planes(axes, shape))
    depth = axis_size(axes, shape, "Z")
    for start in range(0, len(planes), depth):
        yield planes[start : start + depth]
