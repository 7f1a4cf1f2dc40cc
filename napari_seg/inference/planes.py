"""Planes of the labels: their order, their views, their finished pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.imaging.axes import PlaneIndex, axis_size, iter_planes, plane_selection
from napari_seg.types import Region

if TYPE_CHECKING:
    from napari_seg.imaging.stitching import Window

Labels = NDArray[np.int32]


def is_transposed(axes: str) -> bool:
    """Whether X comes before Y."""
    return axes.index("X") < axes.index("Y")


def plane_of(labels: Any, axes: str, plane: PlaneIndex) -> Any:
    """Return a writable (rows, columns) view of one plane."""
    view = labels[plane_selection(axes, plane)]
    return view.T if is_transposed(axes) else view


def region_of(labels: Labels, axes: str, plane: PlaneIndex, window: Window) -> Region:
    """Return a copy of a finished window, with its place in the labels."""
    # The window is (rows, columns); the selection puts each where its axis is.
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


def frames(axes: str, shape: tuple[int, ...]) -> Iterator[list[PlaneIndex]]:
    """Yield the planes of each frame, in the order of Z."""
    planes = list(iter_planes(axes, shape))
    depth = axis_size(axes, shape, "Z")
    for start in range(0, len(planes), depth):
        yield planes[start : start + depth]
