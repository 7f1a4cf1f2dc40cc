"""Distances to the nearest and the second nearest of many cells.

One distance transform per cell, in a window as wide as the cell matters, many windows
on one canvas: the cost grows with the cells' own area, not with their number times the
image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import edt
import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAR = np.float32(1e30)
"""Stands for the squared distance to a cell that is not there."""

CANVAS_PX = 65_536
"""Pixels of one distance transform: few calls, and all of it in the cache."""

_Window = tuple[int, tuple[slice, ...]]
"""A cell's id and where its distances matter."""


def two_nearest(
    labels: NDArray[np.integer], reach: float, spacing: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Squared distance to the nearest and second nearest cell, exact up to `reach`."""
    nearest = np.full(labels.shape, FAR, np.float32)
    second = np.full(labels.shape, FAR, np.float32)
    windows = _windows(labels, [math.ceil(reach / step) for step in spacing])
    for group in _groups(windows):
        # Below one another, not side by side: the transform is half as fast on wide
        # arrays.
        canvas = np.ones(_canvas_shape(group), bool)
        places = list(_places(group, labels.shape))
        for cell, window, place in places:
            np.not_equal(labels[window], cell, out=canvas[place])
        squared = edt.edtsq(canvas, anisotropy=spacing, parallel=1)
        for _, window, place in places:
            here, near, far = squared[place], nearest[window], second[window]
            np.minimum(far, np.maximum(near, here), out=far)
            np.minimum(near, here, out=near)
    return nearest, second


def _windows(labels: NDArray[np.integer], pad: list[int]) -> list[_Window]:
    """Box of each cell, grown by its reach; it may stick out of the image."""
    compact, ids = _compact(labels)
    return [
        (
            index if ids is None else int(ids[index]),
            tuple(
                slice(part.start - extra, part.stop + extra)
                for part, extra in zip(box, pad, strict=True)
            ),
        )
        for index, box in enumerate(ndimage.find_objects(compact), start=1)
        if box is not None
    ]


def _groups(windows: list[_Window]) -> Iterator[list[_Window]]:
    """Windows of like width, for canvases of about `CANVAS_PX`.

    A transform of a small array costs mostly the call, so many cells share one. They
    do not disturb each other: a cell is farther than its reach from any other window.
    """
    windows = sorted(windows, key=lambda entry: _extent(entry[1])[1:])
    group: list[_Window] = []
    area = 0
    for entry in windows:
        size = math.prod(_extent(entry[1]))
        if group and area + size > CANVAS_PX:
            yield group
            group, area = [], 0
        group.append(entry)
        area += size
    if group:
        yield group


def _canvas_shape(group: list[_Window]) -> tuple[int, ...]:
    extents = np.array([_extent(window) for _, window in group])
    return (int(extents[:, 0].sum()), *extents[:, 1:].max(axis=0))


def _places(
    group: list[_Window], shape: tuple[int, ...]
) -> Iterator[tuple[int, tuple[slice, ...], tuple[slice, ...]]]:
    """Each cell, its window inside the image, and that window on the canvas."""
    top = 0
    for cell, window in group:
        inside = tuple(
            slice(max(part.start, 0), min(part.stop, size))
            for part, size in zip(window, shape, strict=True)
        )
        origin = (top, *(0 for _ in shape[1:]))
        place = tuple(
            slice(start + part.start - frame.start, start + part.stop - frame.start)
            for start, part, frame in zip(origin, inside, window, strict=True)
        )
        yield cell, inside, place
        top += window[0].stop - window[0].start


def _extent(window: tuple[slice, ...]) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in window)


def _compact(
    labels: NDArray[np.integer],
) -> tuple[NDArray[np.integer], NDArray[np.integer] | None]:
    # find_objects makes one entry per id up to the highest: sparse ids are packed.
    if int(labels.max(initial=0)) <= 4 * labels.size + 1000:
        return labels, None
    ids, compact = np.unique(labels, return_inverse=True)
    if ids[0] != 0:
        return compact.reshape(labels.shape) + 1, np.concatenate([[0], ids])
    return compact.reshape(labels.shape), ids
