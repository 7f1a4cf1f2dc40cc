"""Objects followed through a film: which object of which frame is which track."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.frame_objects import FrameObjects

Node = tuple[int, int]
"""Frame, and row of an object in it."""


@dataclass(frozen=True)
class Tracks:
    """Tracks of a film; each has the frames of one object, in time."""

    objects: tuple[FrameObjects, ...]
    """Of each frame, with the ids that the labels had."""
    numbers: tuple[NDArray[np.int32], ...]
    """Of each frame the track of each object, which is its new id: 1..N in the order
    in which the tracks begin."""
    parents: dict[int, int]
    """Of a track that came from a division, the track that divided."""
    axes: str
    """Axes of the labels, of T Z Y X."""

    @cached_property
    def count(self) -> int:
        """Number of tracks."""
        return max((int(n.max(initial=0)) for n in self.numbers), default=0)

    @property
    def is_renaming(self) -> bool:
        """Whether any id changes."""
        pairs = zip(self.objects, self.numbers, strict=True)
        return any(not np.array_equal(o.ids, n) for o, n in pairs)

    def renamed(self, frame: NDArray[Any], t: int) -> NDArray[np.int32]:
        """Return a frame of the labels, or a part of it, with tracks as ids.

        Parameters
        ----------
        frame : ndarray of int
            As it was when the tracks were found.
        t : int
            Number of the frame.
        """
        ids, numbers = self.objects[t].ids, self.numbers[t]
        result = np.minimum(frame, 0).astype(np.int32)  # "nobody looked" stays
        if not len(ids):
            return result
        there = frame > 0
        rows = np.searchsorted(ids, frame[there])
        result[there] = numbers[rows]
        return result

    def made_of(self, ids: Collection[int]) -> list[int]:
        """Return the tracks all of whose objects had one of some ids before."""
        others: set[int] = set()
        for objects, numbers in zip(self.objects, self.numbers, strict=True):
            others.update(numbers[~np.isin(objects.ids, list(ids))].tolist())
        return sorted(set(range(1, self.count + 1)) - others)

    def rows(self) -> Iterator[tuple[int, int, int]]:
        """Yield track, frame and row of each object, sorted by track and time."""
        frames = np.repeat(np.arange(len(self.numbers)), [len(n) for n in self.numbers])
        none = np.zeros(0, np.int32)
        rows = np.concatenate([none, *(np.arange(len(n)) for n in self.numbers)])
        numbers = np.concatenate([none, *self.numbers])
        for i in np.lexsort((frames, numbers)):
            yield int(numbers[i]), int(frames[i]), int(rows[i])

    def points(self) -> NDArray[np.float64]:
        """Return track, frame and centre in pixels of each object.

        Returns
        -------
        ndarray of float64, shape (objects, 2 + spatial axes)
            Sorted by track and time, as a Tracks layer of napari takes it.
        """
        found = [(n, t, *self.objects[t].centres[row]) for n, t, row in self.rows()]
        width = 2 + len(self.axes.replace("T", ""))
        return np.array(found, np.float64).reshape(-1, width)

    def graph(self) -> dict[int, list[int]]:
        """Return the parent of each track that has one, as napari takes it."""
        return {child: [parent] for child, parent in self.parents.items()}


def number_tracks(
    objects: tuple[FrameObjects, ...], links: list[tuple[Node, Node]], axes: str
) -> Tracks:
    """Make tracks of links, and number them.

    Parameters
    ----------
    objects : tuple of FrameObjects
        Of each frame.
    links : list of pairs of (frame, row)
        Earlier and later object; one that leads to two later ones divides.
    axes : str
        Axes of the labels.

    Returns
    -------
    Tracks
        Numbered in the order of the first frame, then of the id in that frame, so
        that the tracks of labels with tracks as ids have the same numbers again.
    """
    before = {later: earlier for earlier, later in links}
    heirs = Counter(earlier for earlier, _ in links)
    numbers = tuple(np.zeros(len(o.ids), np.int32) for o in objects)
    parents: dict[int, int] = {}
    last = 0
    for t, frame in enumerate(objects):
        for row in range(len(frame.ids)):
            earlier = before.get((t, row))
            if earlier is not None and heirs[earlier] == 1:
                numbers[t][row] = numbers[earlier[0]][earlier[1]]
                continue
            last += 1
            numbers[t][row] = last
            if earlier is not None:
                parents[last] = int(numbers[earlier[0]][earlier[1]])
    return Tracks(objects, numbers, parents, axes)
