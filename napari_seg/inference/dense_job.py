"""An image on its way through a network that classifies pixels, tile by tile."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from napari_seg.imaging.axes import PlaneIndex
from napari_seg.imaging.stuff import part_stuff
from napari_seg.imaging.tiling import plan_tiles
from napari_seg.inference.ahead import map_ahead
from napari_seg.inference.assembly import Assembler, TileStore
from napari_seg.inference.cutting import tile_cutter
from napari_seg.inference.decoding import DenseDecoder
from napari_seg.inference.job import Job, Spot, by_distance, distance
from napari_seg.inference.view import PlaneView, view_plane

if TYPE_CHECKING:  # torch must not be loaded by opening a panel
    import numpy as np
    from numpy.typing import NDArray

    from napari_seg.imaging.axes import Piece
    from napari_seg.imaging.stitching import Block
    from napari_seg.inference.decoding import Decoder
    from napari_seg.inference.launched import Predicted
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.predictor import Predictor
    from napari_seg.inference.reader import ImageReader
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.types import Progress


class DenseJob(Job):
    """Predicts tiles, and decodes a block as soon as all tiles under it are there."""

    def __init__(
        self,
        reader: ImageReader,
        predictor: Predictor,
        checkpoint: Checkpoint,
        params: SegmentParams,
        diameter: float,
    ) -> None:
        super().__init__(reader, predictor, checkpoint, params, diameter)
        self.predictor: Predictor = predictor
        self.seen = self._seen()
        self.geometry = predictor.geometry(self.seen, params.tile_px)
        self.tiles = plan_tiles(self.seen, self.geometry)
        count = len(checkpoint.card.stuff)
        if count and self.kept is not None:
            self.stuff = self._allocate(count)

    def _seen(self) -> tuple[int, ...]:
        """Return the shape of what is cut into tiles."""
        return self.shape

    def _decoder(self, plane: Piece) -> Decoder:
        return DenseDecoder(self.checkpoint.card.object_classes, self.instances)

    def _tiling(self) -> dict[str, Any]:
        return {
            "tile_px": [g.tile for g in self.geometry],
            "overlap_px": [g.overlap for g in self.geometry],
        }

    def _iter_piece(
        self, plane: Piece, assembler: Assembler, spot: Spot | None
    ) -> Generator[Progress, None, None]:
        assert isinstance(plane, PlaneIndex)
        kept = self._part_of(self.kept, plane)
        store = TileStore(self.tiles, assembler.blocks, kept)
        pending = deque(by_distance(assembler.blocks, spot))
        view = view_plane(self.reader, plane, self.zoom)
        batches = self._batches(store, pending, spot)
        for batch, found in self.iter_predicted(view, batches):
            self._put(store, batch, found, self._part_of(self.stuff, plane))
            yield self._progress("predict", len(self.tiles), len(batch))
            ready = list(_ready(pending, store))
            made = map_ahead(
                lambda one: assembler.decode(*one), ready, self.predictor.helpers
            )
            for (block, part), decoded in zip(ready, made, strict=True):
                yield self._add(plane, assembler, block, part, decoded)

    def _batches(
        self,
        store: TileStore,
        blocks: Iterable[Block],
        spot: Spot | None,
    ) -> Iterator[list[int]]:
        """Yield tiles in the order in which the blocks need them."""
        order: dict[int, None] = {}
        for block in blocks:
            needed = store.needs[block.index].tolist()
            if spot is not None:
                needed.sort(key=lambda i: distance(self.tiles[i].write, spot))
            order.update(dict.fromkeys(needed))
        queue = list(order)
        while queue:
            # Asked anew each time: the predictor lowers it when memory runs out.
            size = self.predictor.batch
            yield queue[:size]
            del queue[:size]

    def iter_predicted(
        self, view: PlaneView, batches: Iterable[list[int]]
    ) -> Iterator[tuple[list[int], list[Predicted]]]:
        """Yield the numbers of tiles and what the network makes of them."""
        cut = tile_cutter(view, self.predictor.device.name)
        tiles = ((batch, [self.tiles[i] for i in batch]) for batch in batches)
        inputs = ((batch, some, cut(some)) for batch, some in tiles)
        return self.predictor.predict_batches(inputs)

    def _put(
        self,
        store: TileStore,
        batch: list[int],
        found: list[Predicted],
        kept_stuff: NDArray[np.float32] | None,
    ) -> None:
        count = len(self.checkpoint.card.stuff)
        for i, (tile, probabilities) in zip(batch, found, strict=True):
            objects, stuff = part_stuff(probabilities, count)
            store.put(i, objects)
            if kept_stuff is not None:
                kept_stuff[(slice(None), *tile.write)] = stuff


def _ready(
    pending: deque[Block], store: TileStore
) -> Iterator[tuple[Block, NDArray[np.float32]]]:
    """Take the first blocks of which all tiles have come, and what came."""
    while pending and store.is_ready(pending[0]):
        block = pending.popleft()
        yield block, store.take(block)
