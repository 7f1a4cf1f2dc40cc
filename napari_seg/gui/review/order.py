"""The order in which the objects of one labels layer are offered."""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_seg.gui.correction.locks import middles
from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.imaging.axes import PlaneIndex
    from napari_seg.inference.ranking import RankedObject, RankedPlane, Ranking

_AT_ONCE = 50
"""Objects that are looked up between two chances to stop."""


@dataclass(eq=False)
class Order:
    """A ranking, and how far the user is in it."""

    ranking: Ranking
    """Objects and planes, the most doubtful first."""
    axes: str
    """Of the labels."""
    measure: str
    """How doubt was measured."""
    basis: object
    """The prediction it was made of; with another one it is out of date."""
    place: int = -1
    """Index of the object offered last."""
    plane_place: int = -1
    """Index of the plane offered last."""

    def next_plane(self, correct: Collection[PlaneIndex]) -> RankedPlane | None:
        """Return the next plane that is not called correct, and go there."""
        for index in range(self.plane_place + 1, len(self.ranking.planes)):
            found = self.ranking.planes[index]
            if found.plane not in correct:
                self.plane_place = index
                return found
        return None


@dataclass(frozen=True)
class Offer:
    """What a look through the order found."""

    object: RankedObject | None
    """What to show; None if nothing is left that way."""
    number: int = 0
    """Its place in the order, from 1."""
    pixel: tuple[int, int] = (0, 0)
    """Row and column of a pixel well inside it."""
    locked: int = 0
    """Objects passed over because they are locked."""
    changed: int = 0
    """Objects passed over because they were changed since, or are gone."""


def iter_offer(
    order: Order, labels: Any, way: int, locked: Collection[int]
) -> Generator[Progress, None, Offer]:
    """Go on to the next object that is worth a look; runs outside the main thread.

    Parameters
    ----------
    order : Order
        Its place moves, unless nothing is left.
    labels : array of int
        As they are now.
    way : int
        1 is on, -1 is back.
    locked : collection of int
        Never offered.
    """
    from napari_seg.inference.ranking import place_now

    held = changed = 0
    objects = order.ranking.objects
    index = order.place + way
    while 0 <= index < len(objects):
        if not index % _AT_ONCE:
            yield Progress("look", index, len(objects))
        ranked = objects[index]
        mask = place_now(labels, order.axes, ranked)
        if ranked.object_id in locked:
            held += 1
        elif mask is None:
            changed += 1
        else:
            order.place = index
            y0, x0, y1, x1 = ranked.box
            row, column = middles(mask, (slice(y0, y1), slice(x0, x1)), None)[0]
            return Offer(ranked, index + 1, (row, column), held, changed)
        index += way
    return Offer(None, locked=held, changed=changed)
