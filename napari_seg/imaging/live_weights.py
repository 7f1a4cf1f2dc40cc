"""Border weights of labels that are being edited: only what changed is computed anew.

Class weights depend on all pixels of a frame. How many of each class there are is kept
for each tile, and the frame is shown anew when its class weights have changed by more
than a thousandth; up to there the old ones stand. All else is exact, see
`weight_pieces`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.imaging.slabs import box_shape
from napari_seg.imaging.weight_memory import CACHE_BYTES, Balance, BorderCache
from napari_seg.imaging.weight_pieces import Found, Pieces
from napari_seg.imaging.weight_tiles import FRAME_STEP, Tiles
from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.imaging.slabs import Box
    from napari_seg.imaging.weightmap import Borders, BorderWeights

HEADROOM = 1.3
"""Planes are looked through for a larger sigma than the one asked for: it may grow.
In volumes that would take twice as long."""

PATCH_PIXELS = 2**20
"""An edit that acts on more is computed tile by tile."""

MANY_FRAMES = 16
"""An edit of more planes is computed tile by tile."""

EAGER_PIXELS = 2**28
"""Larger arrays are computed only in and around the frames that are looked at."""

AROUND_PX = 64
"""Larger volumes only so far around what is looked at."""


@dataclass(frozen=True)
class Weighed(Progress):
    """A step of the work, and the weights of the box that it has finished."""

    box: Box = ()
    weights: NDArray[np.float32] | None = None
    params: BorderWeights | None = None
    """What the weights were computed with."""


class LiveWeights:
    """Weights of a labels array, piece by piece; what is looked at comes first.

    One thread drains `steps`; the other methods are for the thread that edits the
    labels, and return at once.

    Parameters
    ----------
    labels : array of int
        Sliced like NumPy; read in the thread of `steps`. Negative ids are of pixels
        that are not known; they weigh nothing, as in the loss.
    spatial : sequence of int
        Axes along which distances are measured: two for planes, three for volumes.
    params : BorderWeights
        Its spacing is along the spatial axes.
    """

    def __init__(
        self, labels: Any, spatial: Sequence[int], params: BorderWeights
    ) -> None:
        self.tiles = Tiles(labels.shape, spatial)
        self.params = params
        self._pieces = Pieces(labels, self.tiles)
        self._lock = threading.Lock()
        # Shared by both threads, used with the lock.
        self._dirty = np.ones(len(self.tiles), bool)
        self._distances = np.zeros(len(self.tiles))
        self._stamps = np.zeros(len(self.tiles), np.int64)
        self._patches: list[Box] = []
        self._mended: list[Box] = []
        self._suspects: list[int] = []
        is_small = math.prod(self.tiles.shape) <= EAGER_PIXELS
        self._cache = BorderCache(CACHE_BYTES if is_small else CACHE_BYTES // 8)
        self._done = 0
        size = math.prod(self.tiles.shape[a] for a in self.tiles.spatial)
        self._is_frame_small = len(self.tiles.spatial) == 2 or size <= EAGER_PIXELS
        # Only used by the thread that computes.
        self._balance = Balance(self.tiles)
        self._checksums: dict[int, int] = {}

    # For the thread that edits.

    def set_params(self, params: BorderWeights) -> None:
        """Weigh everything with another w0, sigma or balance."""
        same = replace(
            params, spacing=self.params.spacing, part_touching=self.params.part_touching
        )
        if params != same:
            raise ValueError("other distances need another LiveWeights")
        with self._lock:
            self.params = params
            self._dirty[:] = True
            self._patches.clear()
            self._suspects.clear()
            self._done = 0

    def look_at(self, box: Box) -> None:
        """Say what is seen; that is computed first."""
        distances = self.tiles.distances(box)
        with self._lock:
            self._distances = distances

    def forget(self, box: Box) -> None:
        """Say that the weights in a box were given up: they are computed again."""
        with self._lock:
            self._dirty[self.tiles.touching(box)] = True

    def mark(self, box: Box) -> None:
        """Say that labels may have changed inside a box."""
        box = self.tiles.grown(box, [0] * len(self.tiles.spatial))
        if any(part.stop <= part.start for part in box):
            return
        frames = math.prod(box[a].stop - box[a].start for a in self.tiles.others)
        with self._lock:
            if frames > MANY_FRAMES:
                self._mark(box, is_small=False)
                return
            for part in self.tiles.frames_in(box):
                self._mark(part)

    def check(self, box: Box) -> None:
        """Compare the labels in a box with those the weights were computed from."""
        tiles = self.tiles.touching(box)
        with self._lock:
            known = set(self._suspects)
            self._suspects += [
                i for i in tiles if not self._dirty[i] and i not in known
            ]

    @property
    def is_idle(self) -> bool:
        """Whether `steps` has nothing to do."""
        with self._lock:
            return not (
                self._patches or self._mended or self._suspects or self._wanted().any()
            )

    @property
    def is_mended(self) -> bool:
        """Whether all weights are right, and only accounts are left."""
        with self._lock:
            return not (self._patches or self._suspects or self._wanted().any())

    def mend(self, max_pixels: int) -> Generator[Weighed, None, None]:
        """Compute the last edits at once, if they act on few pixels.

        Only while nobody drains `steps`, which does the rest: the accounts.
        """
        while self._patches:
            patch, params = self._patches[0], self.params
            frame = self.tiles.frame(patch)
            if self._work(patch) > max_pixels or not self._balance.is_known(
                frame, params
            ):
                return
            with self._lock:
                patch = self._take_patch()
            yield self._mend(patch, params)

    def _mark(self, box: Box, *, is_small: bool = True) -> None:
        affected = self._pieces.affected(box, self.params)
        near = self.tiles.touching(affected)
        # Borders that were found for a larger sigma change farther away.
        farthest = max(self._cache.reach, self.params.reach * HEADROOM)
        known = self._pieces.affected(box, self.params, farthest)
        reached = self.tiles.touching(known)
        self._stamps[reached] += 1
        for tile in reached:
            self._cache.forget(tile)
        if self._dirty[near].all():
            return
        if is_small and math.prod(box_shape(affected)) <= PATCH_PIXELS:
            self._patches.append(box)
        else:
            self._dirty[near] = True

    # For the thread that computes.

    def steps(self) -> Generator[Weighed, None, None]:
        """Compute what there is to compute, and return when nothing is left."""
        while True:
            with self._lock:
                params = self.params
                patch = self._take_patch()
                mended = self._mended.pop(0) if not patch and self._mended else ()
                is_free = not patch and not mended
                suspect = self._suspects.pop(0) if is_free and self._suspects else -1
                tile = self._take_tile() if is_free and suspect < 0 else -1
            if patch:
                yield from self._count(patch, params)
                yield self._mend(patch, params)
            elif mended:
                self._account(mended, params)
            elif suspect >= 0:
                self._examine(suspect)
            elif tile >= 0:
                yield from self._weigh_tile(tile, params)
            else:
                return

    def _take_patch(self) -> Box:
        """Return a changed box, joined with others where that is no more work."""
        if not self._patches:
            return ()
        patch = self._patches.pop(0)
        for other in list(self._patches):
            if self.tiles.frame(other) == self.tiles.frame(patch):
                hull = _hull(patch, other)
                if self._work(hull) <= self._work(patch) + self._work(other):
                    self._patches.remove(other)
                    patch = hull
        return patch

    def _work(self, box: Box) -> int:
        return math.prod(box_shape(self._pieces.affected(box, self.params)))

    def _take_tile(self) -> int:
        """Return the nearest tile to compute, -1 if there is none."""
        wanted = np.flatnonzero(self._wanted())
        if not len(wanted):
            return -1
        tile = int(wanted[np.argmin(self._distances[wanted])])
        self._dirty[tile] = False
        return tile

    def _wanted(self) -> NDArray[np.bool_]:
        if math.prod(self.tiles.shape) <= EAGER_PIXELS:
            return self._dirty
        # The frames before and after the one that is seen, too.
        far = 1.5 * FRAME_STEP if self._is_frame_small else AROUND_PX
        return self._dirty & (self._distances < self._distances.min() + far)

    def _examine(self, tile: int) -> None:
        box = self.tiles.boxes[tile]
        if self._pieces.checksum(box) != self._checksums.get(tile):
            with self._lock:
                self._mark(box, is_small=False)

    def _weigh_tile(
        self, tile: int, params: BorderWeights
    ) -> Generator[Weighed, None, None]:
        box = self.tiles.boxes[tile]
        yield from self._count(box, params)
        with self._lock:
            stamp = int(self._stamps[tile])
            shape = self._pieces.spatial_shape(box)
            borders = self._cache.get(tile, shape, params.reach)
        unknown = None
        if borders is None:
            is_plane = len(self.tiles.spatial) == 2
            reach = params.reach * (HEADROOM if is_plane else 1.0)
            found = self._pieces.find(box, params, reach)
            borders, unknown, self._checksums[tile] = found
            count = int(np.count_nonzero(borders.background))
            self._balance.set_count(tile, count)
            with self._lock:
                # If it has changed meanwhile, a patch will mend it, but not the cache.
                if self._stamps[tile] == stamp:
                    self._cache.put(tile, found, reach)
        self._done += 1
        yield self._piece(box, borders, unknown, params)
        self._renew(box, params)

    def _mend(self, box: Box, params: BorderWeights) -> Weighed:
        """Compute what an edit inside a box has changed."""
        affected = self._pieces.affected(box, params)
        found: Found = self._pieces.find(affected, params, params.reach)
        with self._lock:
            self._mended.append(box)
        return self._piece(affected, found.borders, found.unknown, params)

    def _account(self, box: Box, params: BorderWeights) -> None:
        """Count and sum up anew the tiles that an edit was in."""
        one_more = self.tiles.grown(box, [1] * len(self.tiles.spatial))
        for tile in self.tiles.touching(one_more):
            whole = self.tiles.boxes[tile]
            self._checksums[tile] = self._pieces.checksum(whole)
            if params.balance_classes:
                count = self._pieces.count_background(whole, params)
                self._balance.set_count(tile, count)
            else:
                self._balance.forget_count(tile)
        self._renew(box, params)

    def _piece(
        self,
        box: Box,
        borders: Borders,
        unknown: NDArray[np.bool_] | None,
        params: BorderWeights,
    ) -> Weighed:
        classes = self._balance.classes(self.tiles.frame(box), params)
        weights = params.combine(borders, classes)
        if unknown is not None:
            weights[unknown] = 0
        return Weighed(
            stage="weights",
            done=self._done,
            total=self._done + int(np.count_nonzero(self._wanted())),
            box=box,
            weights=weights.reshape(box_shape(box)),
            params=params,
        )

    def _count(self, box: Box, params: BorderWeights) -> Generator[Weighed, None, None]:
        """Count the classes in the frame of a box, if they are to be balanced."""
        if not params.balance_classes:
            return
        tiles = self.tiles.counted(self.tiles.frame(box))
        counted = self._balance.count(
            tiles,
            lambda i: self._pieces.count_background(self.tiles.boxes[i], params),
        )
        for done, _ in enumerate(counted, start=1):
            yield Weighed("count", done, len(tiles))

    def _renew(self, box: Box, params: BorderWeights) -> None:
        """Weigh a frame again if its classes have become more or fewer."""
        frame = self.tiles.frame(box)
        tiles = self.tiles.of_frame(frame)
        # While tiles are waiting, so may other numbers be.
        if self._dirty[tiles].any() or not self._balance.is_renewed(frame, params):
            return
        with self._lock:
            self._dirty[tiles] = True


def _hull(one: Box, other: Box) -> Box:
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(one, other, strict=True)
    )
