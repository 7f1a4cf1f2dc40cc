"""Which groups of images are held out to judge by."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

VALIDATION_SHARE = 0.15
"""Share of the groups held out where nobody chose one."""
FEWEST_SOURCES = 4
"""With fewer, each is worth more in training than as a judge."""


def draw_groups(
    groups: Iterable[str], *, share: float = VALIDATION_SHARE, seed: int = 0
) -> set[str]:
    """Draw the groups to judge by: what comes from one group stays together.

    Parameters
    ----------
    groups : iterable of str
        One name per group that has objects; order and repeats do not matter.
    share : float
        Share of the groups to draw, at least one.
    seed : int
        Same seed and groups: same draw.

    Returns
    -------
    set of str
        Empty with fewer than four groups.
    """
    able = sorted(set(groups))
    if len(able) < FEWEST_SOURCES:
        return set()
    count = max(1, round(len(able) * share))
    return set(np.random.default_rng(seed).permutation(able)[:count].tolist())
