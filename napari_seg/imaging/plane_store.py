"""An array as large as labels on disk, of which a few planes are in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.imaging.slabs import Box, box_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEPT_BYTES = 256 * 2**20

Key = tuple[int, ...]
"""Place of a plane along the axes that it has not."""


class PlaneStore:
    """Zeros that are written plane by plane; planes far from what is seen are given up.

    Parameters
    ----------
    shape : sequence of int
    plane_axes : sequence of int
        The two axes of a plane.
    max_bytes : int, optional
        Of what is written, by default `KEPT_BYTES`; the planes that are seen may take
        more.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        float32.
    """

    def __init__(
        self,
        shape: Sequence[int],
        plane_axes: Sequence[int],
        max_bytes: int | None = None,
    ) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype = np.dtype(np.float32)
        self._axes = tuple(sorted(plane_axes))
        self._others = tuple(a for a in range(len(self.shape)) if a not in self._axes)
        self._max_bytes = KEPT_BYTES if max_bytes is None else max_bytes
        self._planes: dict[Key, NDArray[np.float32]] = {}
        self._written: dict[Key, int] = {}
        self._lost: set[Key] = set()
        self._seen: set[Key] = set()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes_kept(self) -> int:
        """Memory that is written."""
        return sum(self._written.values())

    def look_at(self, box: Box) -> bool:
        """Say what is seen; return whether some of that was given up before."""
        self._seen = set(self._keys(box))
        back = self._seen & self._lost
        self._lost -= back
        for key in [k for k in self._planes if k not in self._written]:
            if key not in self._seen:
                del self._planes[key]
        return bool(back)

    def holds(self, array: NDArray[Any]) -> bool:
        """Whether an array is a part of a plane that is kept."""
        return any(np.may_share_memory(array, plane) for plane in self._planes.values())

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        """Return a part; of a single plane it is a view."""
        box, dropped = self._box(index)
        keys = list(self._keys(box))
        if len(keys) == 1:
            view = np.expand_dims(self._part(keys[0], box), self._others)
        else:
            view = np.zeros(box_shape(box), np.float32)
            for key in keys:
                if key in self._planes:
                    view[self._at(key, box)] = self._part(key, box)
        return view[tuple(0 if d else slice(None) for d in dropped)]

    def __setitem__(self, index: Any, values: Any) -> None:
        box, dropped = self._box(index)
        lacking = tuple(a for a, d in enumerate(dropped) if d)
        full = np.expand_dims(np.asarray(values, np.float32), lacking)
        full = np.broadcast_to(full, box_shape(box))
        for key in self._keys(box):
            part = self._part(key, box)
            part[...] = full[self._at(key, box)]
            size = self._planes[key].nbytes
            self._written[key] = min(self._written.get(key, 0) + part.nbytes, size)
            self._lost.discard(key)
        self._forget()

    def _part(self, key: Key, box: Box) -> NDArray[np.float32]:
        """Return what a box holds of a plane, which is made if it is not there."""
        if key not in self._planes:
            # Pages of memory come with the first weights in them.
            sides = [self.shape[a] for a in self._axes]
            self._planes[key] = np.zeros(sides, np.float32)
        return self._planes[key][tuple(box[a] for a in self._axes)]

    def _forget(self) -> None:
        """Give up planes, those far from what is seen first."""
        if self.nbytes_kept <= self._max_bytes or not self._seen:
            return
        seen = np.array(sorted(self._seen))
        loose = [key for key in self._planes if key not in self._seen]
        loose.sort(key=lambda key: int(np.abs(seen - key).sum(axis=1).min()))
        while loose and self.nbytes_kept > self._max_bytes:
            key = loose.pop()
            del self._planes[key]
            if self._written.pop(key, 0):
                self._lost.add(key)

    def _keys(self, box: Box) -> Iterator[Key]:
        yield from product(*(range(box[a].start, box[a].stop) for a in self._others))

    def _at(self, key: Key, box: Box) -> tuple[Any, ...]:
        """Return where a plane is in an array of the shape of a box."""
        place = {a: i - box[a].start for a, i in zip(self._others, key, strict=True)}
        return tuple(place.get(a, slice(None)) for a in range(self.ndim))

    def _box(self, index: Any) -> tuple[Box, list[bool]]:
        """Return the box that an index means, and which axes it gives a number for."""
        parts = list(index) if isinstance(index, tuple) else [index]
        if Ellipsis in parts:
            at = parts.index(Ellipsis)
            parts[at : at + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
        parts += [slice(None)] * (self.ndim - len(parts))
        box, dropped = [], []
        for part, size in zip(parts, self.shape, strict=True):
            is_number = not isinstance(part, slice)
            if is_number:
                i = int(part) % size
                part = slice(i, i + 1)
            low, high, step = part.indices(size)
            if step != 1:
                raise IndexError("Planes are sliced without steps")
            box.append(slice(low, max(low, high)))
            dropped.append(is_number)
        return tuple(box), dropped
