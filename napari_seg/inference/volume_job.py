"""Frames of a stack on their way through a network in three dimensions."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.errors import ImageError
from napari_seg.imaging.axes import spacing_by_axis
from napari_seg.imaging.rescale import Axis, resample_first, zoomed_size
from napari_seg.imaging.stuff import part_stuff
from napari_seg.inference.dense_job import DenseJob
from napari_seg.inference.job import Spot, by_distance, distance
from napari_seg.inference.planes import order_frames
from napari_seg.inference.room import make_room
from napari_seg.inference.view import view_frame

if TYPE_CHECKING:  # torch must not be loaded by opening a panel
    from numpy.typing import NDArray

    from napari_seg.imaging.axes import Piece, PlaneIndex
    from napari_seg.inference.assembly import Assembler
    from napari_seg.inference.reader import ImageReader
    from napari_seg.types import Progress

Z_SNAP = 1.5
"""Planes are resampled where their distance differs by more than this factor from
that of the training: interpolated planes cost sharpness and time."""


class VolumeJob(DenseJob):
    """Predicts all tiles of a frame, then decodes it block by block, in 3D.

    Planes are brought to the distance of the training where both are known.
    Probabilities are kept in the planes of the image, as those of other networks are.
    """

    @property
    def piece_shape(self) -> tuple[int, ...]:
        """Planes of the image, rows and columns of the network."""
        return (self.reader.depth, *self.shape)

    @cached_property
    def z_zoom(self) -> float:
        """Planes that the network sees for each of the image."""
        trained = self.checkpoint.card.z_step_px
        return plane_zoom(self.reader, self.params.spacing, self.zoom, trained)

    def _seen(self) -> tuple[int, ...]:
        return (zoomed_size(self.reader.depth, self.z_zoom), *self.shape)

    def _pieces(self, nearest: PlaneIndex | None) -> Sequence[Piece]:
        return order_frames(self.axes, self.labels.shape, nearest)

    def _iter_piece(
        self, plane: Piece, assembler: Assembler, spot: Spot | None
    ) -> Generator[Progress, None, None]:
        objects, stuff = (
            self._room(self._part_of(kept, plane), count)
            for kept, count in (
                (self.kept, len(self.checkpoint.card.object_classes)),
                (self.stuff, len(self.checkpoint.card.stuff)),
            )
        )
        view = view_frame(self.reader, plane.t, self.zoom, self.z_zoom)
        todo = list(range(len(self.tiles)))
        if spot is not None:
            there = (spot[0] * self.z_zoom, *spot[1:])
            todo.sort(key=lambda i: distance(self.tiles[i].write, there))
        while todo:
            batch = [self.tiles[i] for i in todo[: self.predictor.batch]]
            del todo[: len(batch)]
            for tile, found in self.predictor.predict_tiles(view, batch):
                index = (slice(None), *tile.write)
                objects[index], stuff[index] = part_stuff(found, len(stuff))
            yield self._progress("predict", len(self.tiles), len(batch))
        objects = self._in_planes(objects, self._part_of(self.kept, plane))
        if self.stuff is not None:
            self._in_planes(stuff, self._part_of(self.stuff, plane))
        for block in by_distance(assembler.blocks, spot):
            part = np.asarray(objects[(slice(None), *block.read)])
            yield self._add(plane, assembler, block, part)

    def _room(
        self, kept: NDArray[np.float32] | None, count: int
    ) -> NDArray[np.float32]:
        """Room for the classes of a frame as the network sees it."""
        if kept is not None and self.seen == self.piece_shape:
            return kept
        return _make_room((count, *self.seen))

    def _in_planes(
        self, found: NDArray[np.float32], kept: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """Bring probabilities to the planes of the image, into `kept` if there."""
        if self.seen == self.piece_shape or not len(found):
            return found
        axis = Axis(self.seen[0], self.reader.depth)
        result = kept
        if result is None:
            result = _make_room((len(found), *self.piece_shape))
        for z in range(self.reader.depth):
            low, high = axis.source_span(z, z + 1)
            source = np.asarray(found[:, low:high]).swapaxes(0, 1)
            result[:, z] = resample_first(source, axis, slice(z, z + 1))[0]
        return result


def plane_zoom(
    reader: ImageReader,
    spacing: Sequence[float] | None,
    zoom: float,
    trained_px: float | None,
) -> float:
    """Return the planes that the network sees for each of the image; 1 if unknown."""
    step = z_step_px(reader, spacing, zoom)
    if step is None or trained_px is None:
        return 1.0
    found = step / trained_px
    return 1.0 if 1 / Z_SNAP <= found <= Z_SNAP else found


def z_step_px(
    reader: ImageReader, spacing: Sequence[float] | None, zoom: float
) -> float | None:
    """Return the distance of planes in network pixels, or None if it is not known."""
    if spacing is None or reader.depth < 2:
        return None
    by_axis = spacing_by_axis(reader.axes, spacing)
    pixel = float(np.sqrt(by_axis["Y"] * by_axis["X"]))
    return by_axis["Z"] / pixel * zoom


def _make_room(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Room in memory or on disk for the classes of a frame, or ImageError."""
    room = make_room(shape)
    if room is None:
        raise ImageError(
            "There is no room on disk for the probabilities of one frame",
            f"{shape[0]} classes of {shape[1:]} voxels",
            "Free some space, or segment a part of the stack",
        )
    return room
