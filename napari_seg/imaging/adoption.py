"""New outlines for objects that have ids already, and may have been corrected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.types import Labels

_MOSTLY = 0.5


def adopt_outlines(
    before: NDArray[np.integer],
    derived: Labels,
    refined: Labels,
    *,
    locked: Iterable[int] = (),
    next_id: Callable[[], int],
    only: int | None = None,
) -> NDArray[np.integer]:
    """Give labels the outlines of a second derivation, and keep what was corrected.

    Parameters
    ----------
    before : ndarray of int
        The labels as they are now, perhaps corrected by hand.
    derived, refined : ndarray of int32, same shape
        What the probabilities give without and with the refinement.
    locked : iterable of int, optional
        Ids that keep every pixel.
    next_id : callable
        Returns the smallest id that is free; called once, if there is a new object.
    only : int, optional
        Nothing but the outline of this object changes.

    Returns
    -------
    ndarray of int
        An object keeps its id. One that was split stays split, those that were merged
        stay one, one that was deleted does not come back, and one that is new in the
        refinement gets an id of its own.
    """
    owners = _owners(before, derived, refined)
    after = np.zeros_like(before)
    fresh = _count_from(next_id)
    for number, box in enumerate(ndimage.find_objects(refined), start=1):
        if box is None:
            continue
        mask = refined[box] == number
        mine = owners[number]
        if mine is None:
            continue
        if not mine:
            mine = [next(fresh)]
        part = after[box]
        if len(mine) == 1:
            part[mask] = mine[0]
        else:
            part[mask] = _nearest(before[box], mine)[mask]
    is_kept = np.isin(before, list(locked))
    after[is_kept] = before[is_kept]
    after[np.isin(after, list(locked)) & ~is_kept] = 0
    if only is not None:
        return _only(before, after, only)
    return after


def _count_from(first: Callable[[], int]) -> Iterator[int]:
    yield from count(first())


def _only(
    before: NDArray[np.integer], after: NDArray[np.integer], object_id: int
) -> NDArray[np.integer]:
    """Return the labels with one object's new outline, where the ground is free."""
    result = before.copy()
    result[(after == object_id) & (before == 0)] = object_id
    result[(before == object_id) & (after != object_id)] = 0
    return result


def _owners(
    before: NDArray[np.integer], derived: Labels, refined: Labels
) -> list[list[int] | None]:
    """Return the ids each refined object stands for; none if new, None if deleted."""
    shared = _overlaps(refined, before)
    origins = _overlaps(refined, derived)
    ids, counts = np.unique(before[before > 0], return_counts=True)
    sizes = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    owners: list[list[int] | None] = [None]
    claimed: dict[int, list[int]] = {}
    for number in range(1, int(refined.max(initial=0)) + 1):
        mine = shared.get(number, {})
        inside = [i for i, n in mine.items() if n >= _MOSTLY * sizes[i]]
        if not inside and mine:
            inside = [max(mine, key=mine.__getitem__)]
        owners.append(inside or (None if number in origins else []))
        for object_id in inside:
            claimed.setdefault(object_id, []).append(number)
    for object_id, numbers in claimed.items():
        largest = max(numbers, key=lambda n: shared[n][object_id])
        for number in numbers:
            # Of one object that the refinement takes apart only the largest part
            # keeps the id; of two that the user merged, both do.
            is_part = _origin(origins, number) == _origin(origins, largest)
            if number != largest and is_part:
                owners[number] = [i for i in owners[number] or [] if i != object_id]
    return owners


def _origin(origins: dict[int, dict[int, int]], number: int) -> int:
    """Return which object of the first derivation a refined one comes from."""
    mine = origins.get(number)
    return max(mine, key=mine.__getitem__) if mine else 0


def _overlaps(
    first: NDArray[np.integer], second: NDArray[np.integer]
) -> dict[int, dict[int, int]]:
    """Return how many pixels each object shares with each of the other labels."""
    both = (first > 0) & (second > 0)
    pairs = (first[both].astype(np.int64) << 32) + second[both]
    found, counts = np.unique(pairs, return_counts=True)
    shared: dict[int, dict[int, int]] = {}
    for pair, size in zip(found.tolist(), counts.tolist(), strict=True):
        shared.setdefault(pair >> 32, {})[pair & 0xFFFFFFFF] = size
    return shared


def _nearest(before: NDArray[np.integer], ids: list[int]) -> NDArray[np.integer]:
    """Return for each pixel the nearest of some objects."""
    is_theirs = np.isin(before, ids)
    places = ndimage.distance_transform_edt(
        ~is_theirs, return_distances=False, return_indices=True
    )
    found: NDArray[np.integer] = before[tuple(places)]
    return found
