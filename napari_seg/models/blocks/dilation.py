"""What dilated convolutions in a row see, and what they miss.

Wang et al. 2018 (HDC, arXiv:1702.08502), section 3.2: layers of the same rate, or of
rates with a common factor, look at a grid with holes, "gridding".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def largest_gap(rates: Sequence[int]) -> int:
    """Largest distance between pixels that the second layer sees: M_2 of equation 2.

    Parameters
    ----------
    rates : sequence of int
        Dilations of 3x3 convolutions in a row, two or more.

    Returns
    -------
    int
        Nothing is missed if it is at most 3, the side of the kernels, and the rates
        have no common factor.
    """
    gap = rates[-1]
    for rate in reversed(rates[1:-1]):
        gap = max(gap - 2 * rate, 2 * rate - gap, rate)
    return gap


def seen_pixels(rates: Sequence[int], kernel_px: int = 3) -> NDArray[np.bool_]:
    """Which pixels of its receptive field an output of dilated convolutions sees.

    Returns
    -------
    ndarray of bool, shape (R, R)
        R = 1 + (kernel_px - 1) * sum(rates).
    """
    line = np.ones(1, bool)
    for rate in rates:
        longer = np.zeros(len(line) + (kernel_px - 1) * rate, bool)
        for tap in range(kernel_px):
            longer[tap * rate : tap * rate + len(line)] |= line
        line = longer
    return np.logical_and.outer(line, line)
