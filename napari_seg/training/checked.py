"""Which part of some labels was looked at: the rest is neither cell nor background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import edt
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORED = -1
"""Label of pixels that nobody looked at; loss and scores leave them out."""


@dataclass(frozen=True)
class Checked:
    """What of a labels array somebody marked as correct.

    Parameters
    ----------
    planes : frozenset of int, optional
        Numbers of the planes that are correct as a whole, cells and background, in the
        order of `iter_planes` (T outermost). None with `ids` None: all planes.
    ids : frozenset of int, optional
        Objects that are correct in any plane. Around them a rim counts as background;
        everything else in planes that are not in `planes` is left out.
    mask : array of bool, optional
        True where labels may be used; shape of the labels. May be lazy.
    rim_px : float
        Thickness (pixels) of the background that is believed around a correct object.
    """

    planes: frozenset[int] | None = None
    ids: frozenset[int] | None = None
    mask: Any = None
    rim_px: float = 4.0

    def uses_plane(self, number: int) -> bool:
        """Whether a plane can hold anything that counts."""
        return self.ids is not None or self.planes is None or number in self.planes

    def apply(
        self,
        labels: NDArray[np.integer],
        number: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int32]:
        """Mark what does not count in a window of one plane.

        Parameters
        ----------
        labels : ndarray of int, shape (Y, X)
            Ids; -1 is left out already.
        number : int
            Number of the plane.
        mask : ndarray of bool, shape (Y, X), optional
            The same window of `mask`.

        Returns
        -------
        ndarray of int32, shape (Y, X)
            Ids, with -1 where the labels do not count.
        """
        ids = np.asarray(labels).astype(np.int32)
        if self.planes is None and self.ids is None:
            whole = True
        else:
            whole = self.planes is not None and number in self.planes
        if not whole:
            ids[~self._known(ids)] = IGNORED
        if mask is not None:
            ids[~mask] = IGNORED
        return ids

    def _known(self, ids: NDArray[np.int32]) -> NDArray[np.bool_]:
        correct = np.isin(ids, list(self.ids or ()))
        if not correct.any():
            return correct
        rim = edt.edt(np.ascontiguousarray(~correct)) <= self.rim_px
        return correct | (rim & (ids == 0))
