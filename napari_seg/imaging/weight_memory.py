"""What is known of the tiles of a labels array, for weights that follow at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_seg.imaging.weightmap import Borders, BorderWeights, ClassWeights

if TYPE_CHECKING:
    from napari_seg.imaging.weight_pieces import Found
    from napari_seg.imaging.weight_tiles import Frame, Tiles

CACHE_BYTES = 512 * 2**20
"""Memory for the borders of tiles, from which another sigma or w0 follows at once."""

DRIFT = 1e-3
"""Class weights that are off by no more than this share of theirs are right enough."""


@dataclass(frozen=True)
class _Packed:
    """Borders of a tile, as small as they can be."""

    bits: NDArray[np.uint8]
    places: NDArray[np.int32]
    gaps: NDArray[np.float32]
    reach: float

    @property
    def nbytes(self) -> int:
        return self.bits.nbytes + self.places.nbytes + self.gaps.nbytes


class BorderCache:
    """Borders of tiles, the oldest forgotten when they take too much memory."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self.reach = 0.0
        """The farthest that any borders were ever kept for."""
        self._max_bytes = max_bytes
        self._packed: dict[int, _Packed] = {}
        self._nbytes = 0

    def put(self, tile: int, found: Found, reach: float) -> None:
        """Keep the borders of a tile, unless some of it is unknown."""
        self.forget(tile)
        if found.unknown is not None:
            return
        background, places, gaps = found.borders
        packed = _Packed(np.packbits(background), places.astype(np.int32), gaps, reach)
        self._packed[tile] = packed
        self.reach = max(self.reach, reach)
        self._nbytes += packed.nbytes
        while self._nbytes > self._max_bytes and len(self._packed) > 1:
            self.forget(next(iter(self._packed)))

    def get(self, tile: int, shape: tuple[int, ...], reach: float) -> Borders | None:
        """Return the borders of a tile, if they are known that far."""
        packed = self._packed.get(tile)
        if packed is None or packed.reach < reach:
            return None
        bits = np.unpackbits(packed.bits, count=math.prod(shape))
        background = bits.view(bool).reshape(shape)
        return Borders(background, packed.places.astype(np.intp), packed.gaps)

    def forget(self, tile: int) -> None:
        """Forget a tile: its labels have changed."""
        packed = self._packed.pop(tile, None)
        if packed is not None:
            self._nbytes -= packed.nbytes


class Balance:
    """Class weights of each frame, from the pixels counted in each of its tiles.

    The class weights of a frame stand until they are off by more than `DRIFT`: an edit
    of a few pixels changes those of the whole frame, but not so that it could be seen.
    """

    def __init__(self, tiles: Tiles) -> None:
        self._tiles = tiles
        self._counts: dict[int, int] = {}
        self._shown: dict[Frame, ClassWeights] = {}

    def count(
        self, tiles: Sequence[int], count: Callable[[int], int]
    ) -> Iterator[None]:
        """Count tiles that were not counted yet; stops after each."""
        for tile in tiles:
            if tile not in self._counts:
                self._counts[tile] = count(tile)
                yield

    def set_count(self, tile: int, n_background: int) -> None:
        """Take another number for a tile."""
        self._counts[tile] = n_background

    def forget_count(self, tile: int) -> None:
        """Count a tile anew when its number is needed."""
        self._counts.pop(tile, None)

    def is_known(self, frame: Frame, params: BorderWeights) -> bool:
        """Whether class weights stand for a frame already."""
        return not params.balance_classes or frame in self._shown

    def classes(self, frame: Frame, params: BorderWeights) -> ClassWeights:
        """Return the class weights that stand for a frame whose tiles are counted."""
        if not params.balance_classes:
            return ClassWeights(1.0, 1.0)
        if frame not in self._shown:
            self._shown[frame] = self._now(frame, params)
        return self._shown[frame]

    def is_renewed(self, frame: Frame, params: BorderWeights) -> bool:
        """Take the class weights as they are now, if those that stand are too far off.

        Returns
        -------
        bool
            Whether the whole frame has other weights.
        """
        if not params.balance_classes or frame not in self._shown:
            return False
        now, shown = self._now(frame, params), self._shown[frame]
        if all(abs(a - b) <= DRIFT * a for a, b in zip(now, shown, strict=True)):
            return False
        self._shown[frame] = now
        return True

    def _now(self, frame: Frame, params: BorderWeights) -> ClassWeights:
        tiles = self._tiles.counted(frame)
        count = sum(self._counts[tile] for tile in tiles)
        return params.class_weights(count, self._tiles.size_of(tiles))
