"""What the strip says about where the user is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_seg.gui.review.order import Offer
    from napari_seg.inference.ranking import RankedObject, RankedPlane


def object_note(ranked: RankedObject, number: int, total: int) -> str:
    """Say which object is shown."""
    place = _place(ranked.score, number, total)
    return f"Object {ranked.object_id} · {place}"


def plane_note(axes: str, ranked: RankedPlane, number: int, total: int) -> str:
    """Say which plane is shown."""
    plane = ranked.plane
    names = [("T", "frame", plane.t), ("Z", "plane", plane.z)]
    parts = [f"{word} {index}" for axis, word, index in names if axis in axes]
    return f"{', '.join(parts)} · {_place(ranked.score, number, total)}".capitalize()


def image_note(name: str, mean: float, number: int, total: int) -> str:
    """Say which image is shown."""
    return f"{name} · mean {_place(mean, number, total)}"


def at_end(way: int, offer: Offer) -> str:
    """Say why there is nothing to go to."""
    reasons = []
    if offer.locked:
        reasons.append(f"{offer.locked} locked")
    if offer.changed:
        reasons.append(f"{offer.changed} changed since")
    why = f" ({', '.join(reasons)})" if reasons else ""
    if way < 0:
        return f"Nothing more doubtful is left{why}."
    return f"Nothing is left in this order{why}. Rank begins anew."


def _place(score: float, number: int, total: int) -> str:
    return f"doubt {score:.2f} · {number} of {total}"
