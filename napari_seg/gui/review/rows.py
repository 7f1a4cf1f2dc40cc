"""The rows of the review table: each object, and whether anybody has looked at it."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_seg.gui.jobs import JobGenerator
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.gui.review.order import Order
    from napari_seg.inference.ranking import RankedObject

_AT_ONCE = 50


class RowState(enum.Enum):
    """What became of an object since it was ranked."""

    PROPOSED = "proposed"
    CHANGED = "changed"
    VERIFIED = "verified"


class RowFilter(enum.Enum):
    """Which objects are listed."""

    ALL = "All objects"
    LEFT = "Not verified"
    CHANGED = "Changed since"
    VERIFIED = "Verified"
    PLANE = "On this plane"
    PLANES = "Planes"

    def accepts(self, row: TableRow, plane: object) -> bool:
        """Whether a row is listed while a plane is shown."""
        if self is RowFilter.PLANES or row.is_plane:
            return self is RowFilter.PLANES and row.is_plane
        if self is RowFilter.LEFT:
            return row.state is not RowState.VERIFIED
        if self is RowFilter.CHANGED:
            return row.state is RowState.CHANGED
        if self is RowFilter.VERIFIED:
            return row.state is RowState.VERIFIED
        return self is RowFilter.ALL or row.ranked.plane == plane


@dataclass(frozen=True)
class TableRow:
    """One object, or a whole plane of a stack."""

    ranked: RankedObject
    place: int
    """In the order, from 0."""
    state: RowState
    score: float | None = None
    """How sure the network was of it, where it says so."""
    is_plane: bool = False
    """A plane: its number of an object is 0, its area that of all objects in it."""

    @property
    def plane_text(self) -> str:
        """Frame and plane, or only what is not the first."""
        plane = self.ranked.plane
        return f"{plane.t}/{plane.z}" if plane.t else f"{plane.z}"


def iter_rows(
    order: Order,
    labels: Any,
    locked: Collection[int],
    scores: Mapping[int, float],
    correct: Collection[PlaneIndex] = (),
) -> JobGenerator:
    """Look all objects and planes up; runs outside the main thread.

    Parameters
    ----------
    order : Order
    labels : array of int
        As they are now.
    locked : collection of int
        Objects that are verified.
    scores : mapping of int to float
        Of objects, by a detector.
    correct : collection of PlaneIndex, optional
        Planes that are verified.

    Returns
    -------
    list of TableRow
        In the order of the ranking, planes after objects; none of a single plane.
    """
    from napari_seg.inference.ranking import RankedObject, place_now

    rows = []
    objects = order.ranking.objects
    for place, ranked in enumerate(objects):
        if not place % _AT_ONCE:
            yield Progress("look", place, len(objects))
        if ranked.object_id in locked:
            state = RowState.VERIFIED
        elif place_now(labels, order.axes, ranked) is None:
            state = RowState.CHANGED
        else:
            state = RowState.PROPOSED
        rows.append(TableRow(ranked, place, state, scores.get(ranked.object_id)))
    planes = order.ranking.planes if len(order.ranking.planes) > 1 else ()
    for place, ranked_plane in enumerate(planes):
        plane, area = ranked_plane.plane, ranked_plane.area
        whole = RankedObject(0, ranked_plane.score, plane, (0, 0), (0, 0, 0, 0), area)
        state = RowState.VERIFIED if plane in correct else RowState.PROPOSED
        rows.append(TableRow(whole, place, state, is_plane=True))
    return rows


def progress_text(rows: Sequence[TableRow], seconds: Sequence[float]) -> str:
    """Say how far the review is, and how long an object takes."""
    objects = [row for row in rows if not row.is_plane]
    if not objects:
        return ""
    verified = sum(row.state is RowState.VERIFIED for row in objects)
    text = f"{verified} of {len(objects)} verified"
    if seconds:
        text += f" · {sum(seconds) / len(seconds):.1f} s per object"
    return text
