"""The border-weight map of the U-Net paper.

Ronneberger, Fischer and Brox, arXiv:1505.04597, section 3, equation 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import edt
import numpy as np
from scipy import ndimage

from napari_seg.errors import LabelsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NEGLIGIBLE = 9e-4
"""Border terms below this share of w0 are left out; it sets the reach of a cell."""

FAR = np.float32(1e30)
"""Stands for the squared distance to a cell that is not there."""

CANVAS_PX = 65_536
"""Pixels of one distance transform: few calls, and all of it in the cache."""

_Window = tuple[int, tuple[slice, ...]]
"""A cell's id and where its distances matter."""


def border_weight_map(
    labels: ArrayLike,
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
    spacing: Sequence[float] | None = None,
    balance_classes: bool = True,
) -> NDArray[np.float32]:
    """Weight of every pixel in the loss, high on thin gaps between cells.

    ``w(x) = wc(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))``

    Parameters
    ----------
    labels : array_like of int, shape (Y, X) or (Z, Y, X)
        Instance ids, 0 is background; ids may have gaps.
    w0 : float
        Height of the border term.
    sigma : float
        Width of the border term, in the unit of `spacing` (pixels without it).
    spacing : sequence of float, optional
        Distance between pixels along each axis, by default 1.
    balance_classes : bool
        Whether `wc` balances cells against background: ``N / (2 N_class)``, whose
        mean over the image is 1. Otherwise `wc` is 1.

    Returns
    -------
    ndarray of float32, shape of `labels`

    Raises
    ------
    LabelsError
        For labels that are not integers in two or three dimensions, or a spacing
        or sigma that is not positive.

    Notes
    -----
    `d1` and `d2` are the Euclidean distances to the nearest pixel of the nearest and
    of the second nearest cell. The border term is added to background pixels only
    (inside a cell `d1` is 0 and there is no gap to learn), and needs two cells. It is
    left out where it is below 0.0009 `w0`; so a cell matters within a bounded reach,
    and the cost grows with the cells' own area, not with their number times the image.

    References
    ----------
    .. [1] Ronneberger et al., "U-Net", MICCAI 2015, equation 2. arXiv:1505.04597

    Examples
    --------
    A gap of one pixel: d1 = d2 = 1, so 1 + 10 exp(-4 / 50).

    >>> import numpy as np
    >>> weights = border_weight_map(np.array([[1, 0, 2]]), balance_classes=False)
    >>> print(weights.round(4))
    [[ 1.     10.2312  1.    ]]
    """
    array = _checked_labels(labels)
    steps = _checked_spacing(spacing, array.ndim)
    if not sigma > 0:
        raise LabelsError("sigma must be positive", f"{sigma}")
    background = array == 0
    weights = _class_weights(background, balance_classes)
    reach = sigma * float(np.sqrt(-2 * np.log(NEGLIGIBLE)))
    nearest, second = _two_nearest(array, reach, steps)
    border = np.flatnonzero(background & (second <= np.float32(reach * reach)))
    gap = np.sqrt(nearest.flat[border]) + np.sqrt(second.flat[border])
    weights.flat[border] += w0 * np.exp(gap * gap / np.float32(-2 * sigma * sigma))
    return weights


def _two_nearest(
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


def _class_weights(background: NDArray[np.bool_], balance: bool) -> NDArray[np.float32]:
    weights = np.ones(background.shape, np.float32)
    n_background = int(np.count_nonzero(background))
    n_cells = background.size - n_background
    if balance and n_background and n_cells:
        weights.fill(background.size / (2 * n_cells))
        weights[background] = background.size / (2 * n_background)
    return weights


def _checked_labels(labels: ArrayLike) -> NDArray[np.integer]:
    array = np.asarray(labels)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.ndim not in (2, 3) or not np.issubdtype(array.dtype, np.integer):
        raise LabelsError(
            "A weight map needs integer labels in 2 or 3 dimensions",
            f"{array.dtype} of shape {array.shape}",
            "Pass one plane or one volume of instance ids.",
        )
    if array.size and array.min() < 0:
        raise LabelsError("Labels must not be negative", f"{array.min()}")
    if array.dtype == np.uint64:
        array = array.astype(np.int64)
    return np.ascontiguousarray(array)


def _checked_spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    steps = (1.0,) * ndim if spacing is None else tuple(float(s) for s in spacing)
    if len(steps) != ndim or not all(step > 0 for step in steps):
        raise LabelsError(
            f"spacing must be {ndim} positive numbers, one an axis", f"{spacing}"
        )
    return steps
