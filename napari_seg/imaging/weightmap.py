"""The border-weight map of the U-Net paper.

Ronneberger, Fischer and Brox, arXiv:1505.04597, section 3, equation 2. `BorderWeights`
is the one definition: the loss, the overlay in the window and the files all use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_seg.errors import LabelsError
from napari_seg.imaging.cell_distances import two_nearest
from napari_seg.imaging.gaps import open_gaps

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NEGLIGIBLE = 9e-4
"""Border terms below this share of w0 are left out; it sets the reach of a cell."""


class ClassWeights(NamedTuple):
    """The term `wc` of the two classes."""

    background: float
    cells: float

    @classmethod
    def of(cls, n_background: int, size: int) -> ClassWeights:
        """Balance cells against background; 1 and 1 where one of them is missing."""
        n_cells = size - n_background
        if not n_background or not n_cells:
            return cls(1.0, 1.0)
        return cls(size / (2 * n_background), size / (2 * n_cells))


class Borders(NamedTuple):
    """Where the border term is, before height and width of it are chosen."""

    background: NDArray[np.bool_]
    """Pixels of no cell, of the shape of the labels."""
    places: NDArray[np.intp]
    """Pixels between two cells that are near enough, in C order."""
    gaps: NDArray[np.float32]
    """The distances ``d1 + d2`` there."""


@dataclass(frozen=True)
class BorderWeights:
    """What weighs how much in the loss.

    ``w(x) = wc(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))``
    """

    w0: float = 10.0
    """Height of the border term."""
    sigma: float = 5.0
    """Width of the border term, in the unit of the spacing (pixels without it)."""
    spacing: tuple[float, ...] | None = None
    """Distance between pixels along each axis, by default 1."""
    balance_classes: bool = True
    """Whether `wc` balances cells against background; otherwise it is 1."""
    part_touching: bool = False
    """Whether touching cells are parted by a pixel of background first, as they are in
    training: the border term is on background only."""

    @property
    def reach(self) -> float:
        """The border term is 0 where ``d1 + d2`` is larger, in units of `spacing`."""
        return self.sigma * math.sqrt(-2 * math.log(NEGLIGIBLE))

    def weigh(self, labels: ArrayLike) -> NDArray[np.float32]:
        """Return the weight of every pixel of one plane or volume.

        Raises
        ------
        LabelsError
            For labels that are not integers in two or three dimensions, or a spacing
            or sigma that is not positive.
        """
        borders = self.find_borders(labels)
        size = borders.background.size
        n_background = int(np.count_nonzero(borders.background))
        return self.combine(borders, self.class_weights(n_background, size))

    def class_weights(self, n_background: int, size: int) -> ClassWeights:
        """Return `wc` for so many pixels of background among so many pixels."""
        if not self.balance_classes:
            return ClassWeights(1.0, 1.0)
        return ClassWeights.of(n_background, size)

    def find_borders(self, labels: ArrayLike, reach: float = 0.0) -> Borders:
        """Return where the border term is not 0.

        Parameters
        ----------
        labels : array_like of int, shape (Y, X) or (Z, Y, X)
            Instance ids, 0 is background.
        reach : float, optional
            Largest ``d1 + d2`` to keep, if it is more than this sigma needs.
        """
        array = _checked_labels(labels)
        steps = _checked_spacing(self.spacing, array.ndim)
        if not self.sigma > 0:
            raise LabelsError("sigma must be positive", f"{self.sigma}")
        if self.part_touching:
            array = open_gaps(array)
        reach = max(reach, self.reach)
        background = array == 0
        nearest, second = two_nearest(array, reach, steps)
        near = background & (second <= np.float32(reach * reach))
        places = np.flatnonzero(near)
        gaps = np.sqrt(nearest.flat[places]) + np.sqrt(second.flat[places])
        kept = gaps <= np.float32(reach)
        return Borders(background, places[kept], gaps[kept])

    def combine(self, borders: Borders, classes: ClassWeights) -> NDArray[np.float32]:
        """Return the weights, from borders found with this sigma or a larger one."""
        weights = np.full(
            borders.background.shape, np.float32(classes.cells), np.float32
        )
        weights[borders.background] = np.float32(classes.background)
        near = borders.gaps <= np.float32(self.reach)
        gaps = borders.gaps[near]
        term = np.exp(gaps * gaps / np.float32(-2 * self.sigma * self.sigma))
        weights.reshape(-1)[borders.places[near]] += np.float32(self.w0) * term
        return weights


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
    steps = None if spacing is None else tuple(float(step) for step in spacing)
    return BorderWeights(w0, sigma, steps, balance_classes).weigh(labels)


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
