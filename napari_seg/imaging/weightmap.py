"""The border-weight map of the U-Net paper.

Ronneberger, Fischer and Brox, arXiv:1505.04597, section 3, equation 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import edt
import numpy as np
from scipy import ndimage

from napari_seg.errors import LabelsError
from napari_seg.imaging.neighbours import box_neighbours, colour_greedily

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NEGLIGIBLE = 9e-4
"""Border terms below this share of w0 are left out; it sets the reach of a cell."""

FAR = np.float32(1e30)
"""Stands for the squared distance to a cell that is not there."""


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
    left out where it is below 0.0009 `w0`. That bounds how far apart two cells can
    matter to each other, so one distance transform serves many cells: the cost is a
    handful of transforms, whatever the number of cells.

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
    """Squared distance to the nearest and second nearest cell, exact up to `reach`.

    A pixel within reach of two cells lies in a gap no wider than `reach`. If cells so
    close never share a colour, one transform a colour tells all of them apart.
    """
    colours, n_colours = _colour_map(labels, reach, spacing)
    nearest = np.full(labels.shape, FAR, np.float32)
    second = np.full(labels.shape, FAR, np.float32)
    farther = np.empty_like(nearest)
    for colour in range(1, n_colours + 1):
        squared = edt.edtsq(colours != colour, anisotropy=spacing, parallel=0)
        np.maximum(nearest, squared, out=farther)
        np.minimum(second, farther, out=second)
        np.minimum(nearest, squared, out=nearest)
    return nearest, second


def _colour_map(
    labels: NDArray[np.integer], reach: float, spacing: tuple[float, ...]
) -> tuple[NDArray[np.integer], int]:
    """Colour the cells so that no two within `reach` of each other share a colour.

    Returns
    -------
    colours : ndarray of int, shape of `labels`
        0 on background, else 1..n_colours.
    n_colours : int
    """
    compact = _compact(labels)
    found = ndimage.find_objects(compact)
    ids = np.array([i for i, box in enumerate(found, 1) if box is not None], np.int64)
    boxes = [box for box in found if box is not None]
    low = np.array([[part.start for part in box] for box in boxes], float)
    high = np.array([[part.stop - 1 for part in box] for box in boxes], float)
    if len(boxes) < 2:
        return compact, 0
    colour = colour_greedily(box_neighbours(low * spacing, high * spacing, reach))
    table = np.zeros(len(found) + 1, np.min_scalar_type(colour.max() + 1))
    table[ids] = colour + 1
    return table[compact], int(colour.max()) + 1


def _compact(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    # find_objects makes one entry per id up to the highest: sparse ids are packed.
    if int(labels.max(initial=0)) <= 4 * labels.size + 1000:
        return labels
    ids, compact = np.unique(labels, return_inverse=True)
    return compact.reshape(labels.shape) + (0 if ids[0] == 0 else 1)


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
