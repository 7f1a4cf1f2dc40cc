"""Objects that overlap, in formats that allow it: labels hold one id per pixel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.errors import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

REFUSE, LATER, SMALLER = "refuse", "later", "smaller"
POLICIES = (REFUSE, LATER, SMALLER)
"""Read nothing; the later object of the file is on top; the smaller one is."""


class OverlapError(FormatError):
    """Objects overlap, and nobody has said which is on top."""


@dataclass
class Overlaps:
    """Who gets pixels that two objects claim, and how many there were."""

    policy: str = REFUSE
    contested: int = 0
    """Pixels that another object claimed already, counted at each object."""
    _areas: dict[tuple[str, int], int] = field(default_factory=dict)

    def put(
        self, labels: NDArray[np.int32], mask: NDArray[np.bool_], number: int, name: str
    ) -> None:
        """Draw an object of an image."""
        area = int(np.count_nonzero(mask))
        known = self._areas.get((name, number), 0)
        self._areas[name, number] = known + area
        there = labels[mask]
        others = np.unique(there[there > 0]).tolist()
        if others:
            self.contested += int(np.count_nonzero(there))
        if others and self.policy == REFUSE:
            raise OverlapError(
                f"objects {others[0]} and {number} of {name} overlap",
                f"{np.count_nonzero(there)} pixels belong to both",
                "Labels hold one id per pixel: part the objects first, or say which is "
                "on top (--overlaps later, or smaller).",
            )
        if self.policy == SMALLER:
            lost = [i for i in others if self._areas.get((name, i), 0) <= area]
            there = np.where(np.isin(there, lost), there, number)
            labels[mask] = there
        else:
            labels[mask] = number


_current: ContextVar[Overlaps | None] = ContextVar("overlaps", default=None)
# Of the thread that reads, not of the program: the readers of all formats have the same
# two arguments, and only three of them can meet overlaps.


@contextmanager
def resolving(policy: str) -> Iterator[Overlaps]:
    """Read with a policy; all of the reading must be within the block.

    Parameters
    ----------
    policy : str
        One of `POLICIES`.

    Yields
    ------
    Overlaps
        Tells afterwards how many pixels were contested.
    """
    if policy not in POLICIES:
        raise FormatError(
            f"there is no way {policy!r} to resolve overlaps",
            remedy=f"Use one of {', '.join(POLICIES)}.",
        )
    overlaps = Overlaps(policy)
    token = _current.set(overlaps)
    try:
        yield overlaps
    finally:
        _current.reset(token)


def put(
    labels: NDArray[np.int32], mask: NDArray[np.bool_], number: int, name: str
) -> None:
    """Draw an object, by the policy of `resolving`.

    Raises
    ------
    OverlapError
        If it overlaps another, and the policy is to refuse that, as it is by default.
    """
    (_current.get() or Overlaps()).put(labels, mask, number, name)
