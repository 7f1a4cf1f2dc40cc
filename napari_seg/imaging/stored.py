"""Labels on disk that are too large to be searched through for every edit.

Which ids are in which chunk is looked up once, in the chunks that are stored at all,
and kept true by every write. So an object is found, and a free id known, without
reading the labels again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.imaging.slabs import (
    STORED_VOXELS,
    Box,
    box_shape,
    check_integers,
    common_box,
    present_ids,
    slabs,
    whole,
)
from napari_seg.types import Progress, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGE_VOXELS = 2**26
"""Smaller labels are searched through in a second, whoever else writes into them."""

_CHUNK = (16, 512, 512)
"""Of arrays that do not say how they are stored."""

Chunk = tuple[int, ...]


def indexed(labels: Any) -> Any:
    """Return labels that know where their objects are, if searching would take long."""
    if isinstance(labels, StoredLabels | np.ndarray) or hasattr(labels, "dask"):
        return labels
    return StoredLabels(labels) if prod(labels.shape) > LARGE_VOXELS else labels


def places(labels: Any, box: Box, ids: Sequence[int] | None = None) -> Iterator[Box]:
    """Yield slabs of a box in the order of the first axis that hold all there is.

    Parameters
    ----------
    labels : array of int
    box : tuple of slice
    ids : sequence of int, optional
        What is looked for; by default every id above 0.
    """
    if not isinstance(labels, StoredLabels):
        return slabs(labels, box)
    is_small = prod(box_shape(box)) <= LARGE_VOXELS
    if is_small and (ids is None or not labels.is_known):
        return slabs(labels, box)
    return labels.where(box, ids)


class StoredLabels:
    """A labels array on disk, and where its ids are.

    Parameters
    ----------
    array : array of int
        Sliced, and written to, like zarr. Who else writes into it tells by `note`.

    Attributes
    ----------
    array : array
    shape, chunks : tuple of int
    dtype : dtype
    """

    def __init__(self, array: Any) -> None:
        check_integers(array)
        self.array = array
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = np.dtype(array.dtype)
        self.chunks = _chunks_of(array)
        self._turn = threading.RLock()
        """For who reads from disk; `note` never waits for that."""
        self._lock = threading.RLock()
        # Ids, sorted, and the number of the chunk that each is in.
        self._ids = np.empty(0, np.uint64)
        self._numbers = np.empty(0, np.int64)
        self._added: dict[int, set[int]] = {}
        self._noted: list[Box] = []
        self._found: list[tuple[int, NDArray[Any]]] = []
        self._todo: list[Chunk] | None = None
        self._count = 0

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]

    def __setitem__(self, index: Any, ids: Any) -> None:
        self.array[index] = ids
        self.note(_box_of(index, self.shape), present_ids(np.asarray(ids)))

    def note(self, box: Box, ids: Sequence[int] | None = None) -> None:
        """Take in that somebody has written into a box of the array.

        Parameters
        ----------
        box : tuple of slice
        ids : sequence of int, optional
            What was written. Without it that is looked up when it is needed.
        """
        with self._lock:
            if ids is None:
                self._noted.append(box)
            else:
                self._add(box, ids)

    @property
    def is_known(self) -> bool:
        """Whether all chunks were looked through."""
        return self._todo is not None and not self._todo

    def iter_look(self) -> Generator[Progress, None, None]:
        """Look all stored chunks through; goes on where it was stopped."""
        with self._turn:
            if self._todo is None:
                self._todo = _stored_chunks(self.array, self._grid, self.chunks)
                self._count = len(self._todo)
        while not self.is_known:
            yield Progress("look", self._count - len(self._todo), self._count)
            with self._turn:
                if self._todo:
                    self._look_through(self._todo[-1])

    def _look_through(self, chunk: Chunk) -> None:
        """Find the ids of the last chunk that is still to be looked through."""
        assert self._todo is not None
        block = np.asarray(self.array[self._box(chunk)])
        found = np.array(present_ids(block), np.uint64)
        if len(found):
            self._found.append((self._number(chunk), found))
        if len(self._todo) == 1:
            ids, numbers = _sorted(self._found)
            with self._lock:
                self._ids, self._numbers = ids, numbers
            self._found = []
        self._todo.pop()

    def highest(self) -> int:
        """Return the highest id there is or was."""
        self._look()
        with self._lock:
            first = int(self._ids[-1]) if len(self._ids) else 0
            return max(first, max(self._added, default=0))

    def where(self, box: Box, ids: Sequence[int] | None = None) -> Iterator[Box]:
        """Yield slabs of a box, in the order of the first axis, that hold some ids.

        Parameters
        ----------
        box : tuple of slice
        ids : sequence of int, optional
            By default all above 0.
        """
        self._look()
        chunks = np.array(
            np.unravel_index(self._numbers_of(ids), self._grid), np.int64
        ).T.reshape(-1, self.ndim)
        for row in np.unique(chunks[:, 0]):
            own = chunks[chunks[:, 0] == row]
            low = np.maximum(own.min(axis=0) * self.chunks, [s.start for s in box])
            high = np.minimum(
                (own.max(axis=0) + 1) * self.chunks, [s.stop for s in box]
            )
            if (low < high).all():
                hull = zip(low.tolist(), high.tolist(), strict=True)
                yield from _thin(tuple(slice(a, b) for a, b in hull))

    def _look(self) -> None:
        run(self.iter_look())
        with self._turn:
            with self._lock:
                noted = list(self._noted)
            for box in noted:
                part = common_box(box, whole(self))
                if part is not None:
                    ids = present_ids(np.asarray(self.array[part]))
                    with self._lock:
                        self._add(part, ids)
            with self._lock:
                del self._noted[: len(noted)]  # more may have come meanwhile

    def _add(self, box: Box, ids: Sequence[int]) -> None:
        """Take in that ids may be in the chunks of a box."""
        if not ids:
            return
        sides = [
            range(s.start // n, -(-s.stop // n))
            for s, n in zip(box, self.chunks, strict=True)
        ]
        corners = np.array(np.meshgrid(*sides, indexing="ij")).reshape(self.ndim, -1)
        numbers = np.ravel_multi_index(tuple(corners), self._grid).tolist()
        for object_id in ids:
            self._added.setdefault(object_id, set()).update(numbers)

    def _numbers_of(self, ids: Sequence[int] | None) -> NDArray[np.int64]:
        """Return the numbers of the chunks that some ids may be in."""
        with self._lock:
            if ids is None:
                parts = [self._numbers, *map(list, self._added.values())]
            else:
                wanted = np.array([i for i in ids if i > 0], np.uint64)
                low = np.searchsorted(self._ids, wanted, "left")
                high = np.searchsorted(self._ids, wanted, "right")
                pairs = zip(low.tolist(), high.tolist(), strict=True)
                parts = [self._numbers[a:b] for a, b in pairs]
                parts += [list(self._added.get(int(i), ())) for i in wanted]
        return np.unique(np.concatenate([[], *parts]).astype(np.int64))

    @property
    def _grid(self) -> Chunk:
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    def _number(self, chunk: Chunk) -> int:
        return int(np.ravel_multi_index(chunk, self._grid))

    def _box(self, chunk: Chunk) -> Box:
        sides = zip(chunk, self.chunks, self.shape, strict=True)
        return tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in sides)


def _sorted(
    found: list[tuple[int, NDArray[Any]]],
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return all ids of some chunks, sorted, and the number of the chunk of each."""
    numbers = np.repeat([number for number, _ in found], [len(ids) for _, ids in found])
    ids = np.concatenate([np.empty(0, np.uint64), *(i for _, i in found)])
    order = np.argsort(ids, kind="stable")
    return ids[order], numbers[order].astype(np.int64)


def _thin(box: Box) -> Iterator[Box]:
    """Cut a box along its first axis into what may be read at once."""
    area = prod(s.stop - s.start for s in box[1:])
    step = max(1, STORED_VOXELS // area)
    for low in range(box[0].start, box[0].stop, step):
        yield (slice(low, min(low + step, box[0].stop)), *box[1:])


def _chunks_of(array: Any) -> Chunk:
    """Return the sides of what is stored as one piece."""
    sides = getattr(array, "shards", None) or getattr(array, "chunks", None)
    if not sides or not all(isinstance(n, int | np.integer) for n in sides):
        lead = len(array.shape) - len(_CHUNK)
        sides = ((1,) * max(lead, 0) + _CHUNK)[-len(array.shape) :]
    return tuple(min(int(a), int(n)) for a, n in zip(sides, array.shape, strict=True))


def _box_of(index: Any, shape: Sequence[int]) -> Box:
    """Return the box that holds what an index of integers and slices means."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    box = []
    for part, size in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            box.append(slice(*part.indices(int(size))[:2]))
        else:
            places = np.asarray(part) % size
            box.append(slice(int(places.min()), int(places.max()) + 1))
    return tuple(box)


def _stored_chunks(array: Any, grid: Chunk, chunks: Chunk) -> list[Chunk]:
    """Return the chunks that are on disk; all where that cannot be told."""
    listed = _listed(array)
    if listed is None or getattr(array, "fill_value", None) != 0:
        return list(np.ndindex(*grid))
    found = []
    for key in listed:
        numbers = tuple(int(n) for n in re.findall(r"\d+", key))
        if re.fullmatch(r"(c[./])?\d+([./]\d+)*", key) and len(numbers) == len(grid):
            found.append(numbers)
    return sorted(found, reverse=True)


def _listed(array: Any) -> list[str] | None:
    """Return the names of what a zarr array has stored, None if it is none."""
    store: Any = getattr(array, "store", None)
    path = getattr(array, "path", "")
    if not getattr(store, "supports_listing", False):
        return None
    from zarr.core.sync import sync  # zarr lists its stores only asynchronously

    async def listed() -> list[str]:
        prefix = f"{path}/" if path else ""
        return [k.removeprefix(prefix) async for k in store.list_prefix(prefix)]

    return list(sync(listed()))
