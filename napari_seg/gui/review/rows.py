"""The rows of the review table: each object, and whether anybody has looked at it."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_seg.gui.jobs import JobGenerator
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

    def accepts(self, row: TableRow, plane: object) -> bool:
        """Whether a row is listed while a plane is shown."""
        if self is RowFilter.LEFT:
            return row.state is not RowState.VERIFIED
        if self is RowFilter.CHANGED:
            return row.state is RowState.CHANGED
        if self is RowFilter.VERIFIED:
            return row.state is RowState.VERIFIED
        return self is RowFilter.ALL or row.ranked.plane == plane


@dataclass(frozen=True)
class TableRow:
    """One object."""

    ranked: RankedObject
    place: int
    """In the order, from 0."""
    state: RowState
    score: float | None = None
    """How sure the network was of it, where it says so."""

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
) -> JobGenerator:
    """Look all objects up; runs outside the main thread.

    Returns
    -------
    list of TableRow
        In the order of the ranking.
    """
    from napari_seg.inference.ranking import place_now

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
    return rows


def progress_text(rows: Sequence[TableRow], seconds: Sequence[float]) -> str:
    """Say how far the review is, and how long an object takes."""
    if not rows:
        return ""
    verified = sum(row.state is RowState.VERIFIED for row in rows)
    text = f"{verified} of {len(rows)} verified"
    if seconds:
        text += f" · {sum(seconds) / len(seconds):.1f} s per object"
    return text
