"""One cut, with all it needs, to be solved in any thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.imaging.edits import add_object
from napari_seg.refine.box import volume
from napari_seg.refine.solver import Cut, CutParams, Known, Solve, cut_object

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box, LabelEdit
    from napari_seg.refine.strokes import Stroke
    from napari_seg.refine.volume import Volume


@dataclass(frozen=True, eq=False)
class CutTask:
    """All that one cut needs, as it was when the stroke was drawn.

    It may be solved in any thread while the user goes on.
    """

    image: Volume
    strokes: tuple[Stroke, ...]
    known: Known
    spacing: tuple[float, ...]
    params: CutParams
    start: Box | None
    within: Box | None
    propose: Callable[[Cut], LabelEdit]
    """Turns the cut into the edit that would make it true."""

    def solve(self, solve: Solve | None = None) -> Cut:
        """Return the cut.

        Parameters
        ----------
        solve : callable, optional
            Does what `solve_scene` does, e.g. in another process.
        """
        return cut_object(
            self.image,
            self.strokes,
            self.known,
            self.spacing,
            self.params,
            self.start,
            self.within,
            solve,
        )


def propose_edit(
    labels: Any, object_id: int, locked: frozenset[int], overwrite: bool, cut: Cut
) -> LabelEdit:
    """Return the edit that makes a cut the extent of an object."""
    return add_object(
        labels,
        [s.start for s in cut.box],
        cut.mask,
        object_id,
        locked=locked,
        overwrite=overwrite,
        name="cut",
    )


def read_previous(
    labels: Any, object_id: int, cut: Cut | None, box: Box
) -> NDArray[np.bool_]:
    """Return the object before a stroke: the preview, beyond it the labels."""
    mask = np.asarray(labels[box]) == object_id
    if cut is not None and volume(cut.box):
        here, there = _overlap(box, cut.box)
        mask[here] = cut.mask[there]
    return np.asarray(mask)


def read_forbidden(
    labels: Any, object_id: int, taken: frozenset[int], box: Box
) -> NDArray[np.bool_]:
    """Return the ground that the object must not take.

    Parameters
    ----------
    labels : array of int
    object_id : int
    taken : frozenset of int
        Other ids that may lose ground.
    box : tuple of slice
    """
    ids = np.asarray(labels[box])
    other = (ids != 0) & (ids != object_id)
    return np.asarray(other & ~np.isin(ids, list(taken)) if taken else other)


def _overlap(box: Box, other: Box) -> tuple[Box, Box]:
    """Return the common part of two boxes, in the coordinates of each."""
    low = [max(a.start, b.start) for a, b in zip(box, other, strict=True)]
    high = [
        max(min(a.stop, b.stop), start)
        for a, b, start in zip(box, other, low, strict=True)
    ]
    parts = [
        tuple(
            slice(a - s.start, b - s.start)
            for a, b, s in zip(low, high, frame, strict=True)
        )
        for frame in (box, other)
    ]
    return parts[0], parts[1]
