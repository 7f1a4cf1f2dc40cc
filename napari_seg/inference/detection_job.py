"""An image on its way through a network that finds objects, block by block."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.imaging.axes import PlaneIndex
from napari_seg.imaging.detections import Detections, foreground_map
from napari_seg.inference.decoding import DetectionDecoder, Findings
from napari_seg.inference.job import Job, Spot, by_distance
from napari_seg.inference.view import view_plane

if TYPE_CHECKING:  # torch must not be loaded by opening a panel
    from numpy.typing import NDArray

    from napari_seg.imaging.axes import Piece
    from napari_seg.imaging.stitching import Block
    from napari_seg.inference.assembly import Assembler
    from napari_seg.inference.decoding import Decoder
    from napari_seg.inference.detector import Detector
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.reader import ImageReader
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.types import Progress


class DetectionJob(Job):
    """Finds the objects of each block and its halo, and paints them.

    Every object that is not larger than the halo on both sides is seen whole by the
    block it belongs to. Memory and time grow with the number of blocks.
    """

    def __init__(
        self,
        reader: ImageReader,
        predictor: Detector,
        checkpoint: Checkpoint,
        params: SegmentParams,
        diameter: float,
    ) -> None:
        super().__init__(reader, predictor, checkpoint, params, diameter)
        self.predictor: Detector = predictor
        self.core = max(params.tile_px, 2 * self.halo)
        self._found: dict[PlaneIndex, dict[int, Detections]] = {}
        if self.kept is not None:
            self.findings = Findings(self.core, self.halo, self._found)

    def _decoder(self, plane: Piece) -> Decoder:
        assert isinstance(plane, PlaneIndex)  # detectors see one plane at a time
        found: dict[int, Detections] = {}
        self._found[plane] = found
        return DetectionDecoder(found, self.instances)

    def _tiling(self) -> dict[str, Any]:
        sides = [min(self.core + 2 * self.halo, n) for n in self.shape]
        return {"tile_px": sides, "overlap_px": [self.halo] * 2}

    def _iter_piece(
        self, plane: Piece, assembler: Assembler, spot: Spot | None
    ) -> Generator[Progress, None, None]:
        assert isinstance(plane, PlaneIndex)
        found = self._found[plane]
        kept = self._part_of(self.kept, plane)
        view = view_plane(self.reader, plane, self.zoom)
        for block in by_distance(assembler.blocks, spot):
            its = found[block.index] = self.predictor.detect(view.read(block.read))
            yield self._progress("predict", len(assembler.blocks), 1)
            probabilities = self._probabilities(block, its)
            if kept is not None:
                _put_core(kept, block, probabilities)
            yield self._add(plane, assembler, block, probabilities)
            if self.findings is None:
                del found[block.index]

    def _probabilities(self, block: Block, found: Detections) -> NDArray[np.float32]:
        shape = [part.stop - part.start for part in block.read]
        foreground = foreground_map(found, shape, self.instances.seed_threshold)
        return np.stack([1 - foreground, foreground])


def _put_core(
    kept: NDArray[np.float32], block: Block, probabilities: NDArray[np.float32]
) -> None:
    inner = (
        slice(core.start - read.start, core.stop - read.start)
        for core, read in zip(block.core, block.read, strict=True)
    )
    kept[(slice(None), *block.core)] = probabilities[(slice(None), *inner)]
