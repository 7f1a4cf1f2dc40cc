"""How a volume is cut up: tiles for the network, cells that become objects, blocks.

All three are laid out over the whole volume. A *tile* is one forward pass, a *cell* is
decoded at once and owns its voxels, a *block* is some cells that a worker does
together. Tiles and cells do not depend on the blocks, so the result does not either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.imaging.rescale import Axis
from napari_seg.imaging.tiling import Geometry, Tile, mirror_index, plan_tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

Index = tuple[int, int, int, int]
"""Frame, then numbers along Z, Y and X."""


@dataclass(frozen=True)
class AxisGrid:
    """One spatial axis.

    Parameters
    ----------
    size, seen : int
        Length in voxels of the labels, and in network pixels.
    cell : int
        Voxels of a cell; a multiple of the chunks.
    group : int
        Cells of a block.
    halo : int
        What a cell sees beyond itself: network pixels, or voxels where `by_voxel`.
    geometry : Geometry or None
        Of the tiles; None where each plane is segmented alone.
    by_voxel : bool
        Whether probabilities are brought to voxels before they become objects.
    grow : int
        Voxels beyond the cell in which neighbours are compared.
    """

    size: int
    seen: int
    cell: int
    group: int
    halo: int
    geometry: Geometry | None
    by_voxel: bool = False
    grow: int = 1

    @property
    def cells(self) -> int:
        """Number of cells."""
        return -(-self.size // self.cell)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.cells // self.group)

    @property
    def axis(self) -> Axis:
        """Resampling from the network to the labels."""
        return Axis(self.seen, self.size)

    def cells_of(self, block: int) -> range:
        """Return the cells of a block."""
        first = block * self.group
        return range(first, min(first + self.group, self.cells))

    def core(self, cell: int) -> slice:
        """Return the voxels that a cell owns."""
        return slice(cell * self.cell, min((cell + 1) * self.cell, self.size))

    def grown(self, cell: int) -> slice:
        """Return the voxels of a cell and those beside it."""
        core = self.core(cell)
        return _grow(core, self.grow, self.size)

    def decoded(self, cell: int) -> slice:
        """Return what a cell is decoded from: network pixels, or voxels."""
        grown = self.grown(cell)
        if self.by_voxel:
            return _grow(grown, self.halo, self.size)
        span = slice(*self.axis.source_span(grown.start, grown.stop))
        return _grow(span, self.halo, self.seen)

    def wanted(self, cell: int) -> slice:
        """Return the network pixels whose probabilities a cell needs."""
        part = self.decoded(cell)
        if not self.by_voxel:
            return part
        return slice(*self.axis.source_span(part.start, part.stop))

    @cached_property
    def tiles(self) -> list[Tile]:
        """Tiles along this axis alone."""
        if self.geometry is None:
            planes = [(slice(z, z + 1),) for z in range(self.seen)]
            return [Tile(plane, (slice(0, 1),), plane) for plane in planes]
        return plan_tiles((self.seen,), (self.geometry,))

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.array([tile.write[0].start for tile in self.tiles])

    @cached_property
    def _owners(self) -> NDArray[np.int64]:
        """Block of each tile: that with the middle of what it writes."""
        middles = [(t.write[0].start + t.write[0].stop) / 2 for t in self.tiles]
        voxels = np.array(middles) * self.size / self.seen
        owners = voxels.astype(np.int64) // (self.cell * self.group)
        return np.minimum(owners, self.blocks - 1)

    def own_tiles(self, block: int) -> range:
        """Return the tiles that a block predicts."""
        low, high = np.searchsorted(self._owners, [block, block + 1])
        return range(int(low), int(high))

    def predicted(self, block: int) -> slice:
        """Return the network pixels that the tiles of a block write."""
        own = self.own_tiles(block)
        if not own:
            return slice(0, 0)
        first, last = self.tiles[own[0]], self.tiles[own[-1]]
        return slice(first.write[0].start, last.write[0].stop)

    def read(self, block: int) -> slice:
        """Return the network pixels that the tiles of a block look at."""
        own = self.own_tiles(block)
        first, last = self.tiles[own[0]], self.tiles[own[-1]]
        index = mirror_index(first.read[0].start, last.read[0].stop, self.seen)
        return slice(int(index.min()), int(index.max()) + 1)

    def sources(self, block: int) -> range:
        """Return the blocks whose predictions are needed to decode one."""
        return range(int(self._needs[0][block]), int(self._needs[1][block]))

    def users(self, block: int) -> range:
        """Return the blocks that need the predictions of one."""
        low, high = self._needs
        first = np.searchsorted(high, block, side="right")
        return range(int(first), int(np.searchsorted(low, block, side="right")))

    @cached_property
    def _needs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        low, high = [], []
        for block in range(self.blocks):
            cells = self.cells_of(block)
            parts = self.wanted(cells[0]).start, self.wanted(cells[-1]).stop - 1
            first, last = np.searchsorted(self._starts, parts, side="right") - 1
            low.append(int(self._owners[first]))
            high.append(int(self._owners[last]) + 1)
        return np.array(low), np.array(high)


def _grow(part: slice, by: int, size: int) -> slice:
    return slice(max(0, part.start - by), min(size, part.stop + by))


@dataclass(frozen=True)
class Grid:
    """Frames, and the three axes of each.

    Parameters
    ----------
    frames : int
    z, y, x : AxisGrid
    """

    frames: int
    z: AxisGrid
    y: AxisGrid
    x: AxisGrid

    @property
    def axes(self) -> tuple[AxisGrid, AxisGrid, AxisGrid]:
        """Z, Y and X."""
        return self.z, self.y, self.x

    @property
    def blocks(self) -> Index:
        """Number of blocks: frames, then along Z, Y and X."""
        return self.frames, self.z.blocks, self.y.blocks, self.x.blocks

    @property
    def cells(self) -> Index:
        """Number of cells in the same way."""
        return self.frames, self.z.cells, self.y.cells, self.x.cells

    @property
    def count(self) -> int:
        """Number of all blocks."""
        return int(np.prod(self.blocks, dtype=np.int64))

    def index(self, block: int) -> Index:
        """Return where a block is, from its number in raster order."""
        t, z, y, x = np.unravel_index(block, self.blocks)
        return int(t), int(z), int(y), int(x)

    def cell_number(self, cell: Index) -> int:
        """Return the number of a cell in raster order over the volume."""
        return int(np.ravel_multi_index(cell, self.cells))

    def cells_of(self, block: int) -> list[Index]:
        """Return the cells of a block."""
        t, *place = self.index(block)
        ranges = [a.cells_of(i) for a, i in zip(self.axes, place, strict=True)]
        return [(t, z, y, x) for z, y, x in product(*ranges)]

    def core(self, cell: Index) -> tuple[slice, slice, slice]:
        """Return the voxels that a cell owns: planes, rows, columns."""
        z, y, x = (a.core(i) for a, i in zip(self.axes, cell[1:], strict=True))
        return z, y, x

    def is_predicted(self, block: int) -> bool:
        """Whether a block has tiles of its own."""
        places = zip(self.axes, self.index(block)[1:], strict=True)
        return all(len(axis.own_tiles(i)) for axis, i in places)

    def sources(self, block: int) -> Iterator[int]:
        """Yield the blocks whose predictions are needed to decode one."""
        yield from self._beside(block, "sources")

    def users(self, block: int) -> Iterator[int]:
        """Yield the blocks that need the predictions of one."""
        yield from self._beside(block, "users")

    def _beside(self, block: int, which: str) -> Iterator[int]:
        t, *place = self.index(block)
        ranges = [
            getattr(axis, which)(i) for axis, i in zip(self.axes, place, strict=True)
        ]
        for other in product(*ranges):
            yield int(np.ravel_multi_index((t, *other), self.blocks))

    def following(self, block: int, sign: int = 1) -> Iterator[int]:
        """Yield the blocks behind one along Z, Y and X, or with -1 those before."""
        place = self.index(block)
        for axis in (1, 2, 3):
            other = list(place)
            other[axis] += sign
            if 0 <= other[axis] < self.blocks[axis]:
                yield int(np.ravel_multi_index(other, self.blocks))
