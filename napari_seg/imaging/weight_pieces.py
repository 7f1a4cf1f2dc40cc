"""Border weights of a piece of a large labels array, equal to those of the whole.

How far labels reach. The border term of a pixel depends on the two cells nearest to
it, and it is left out where ``d1 + d2`` exceeds the reach of sigma (3.7 sigma; there it
is below 0.0009 w0). So where it is not left out both cells lie within that reach, and
it can be told from the labels within that reach alone, however far away other cells
are. An edit thus acts on its own box grown by the reach, and that is computed exactly
from the labels in the box grown by twice the reach. Opening gaps between touching
cells looks one pixel farther.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_seg.imaging.gaps import open_gaps
from napari_seg.imaging.slabs import box_shape
from napari_seg.imaging.weightmap import Borders, BorderWeights

if TYPE_CHECKING:
    from napari_seg.imaging.slabs import Box
    from napari_seg.imaging.weight_tiles import Tiles


class Found(NamedTuple):
    """What there is to know about a piece before w0 and sigma are chosen."""

    borders: Borders
    unknown: NDArray[np.bool_] | None
    """Pixels of negative id, None without any."""
    checksum: int
    """Of the labels in the piece."""


class Pieces:
    """Reads pieces of a labels array; all of them are within one frame.

    Parameters
    ----------
    labels : array of int
        Sliced like NumPy. Negative ids are of pixels that are not known.
    tiles : Tiles
        How the array is divided.
    """

    def __init__(self, labels: Any, tiles: Tiles) -> None:
        self._labels = labels
        self._tiles = tiles

    def affected(self, box: Box, params: BorderWeights, reach: float = 0.0) -> Box:
        """Return where weights change when labels change in a box.

        With a reach, where borders found that far change.
        """
        return self._tiles.grown(box, self._margin(params, reach or params.reach))

    def find(self, box: Box, params: BorderWeights, reach: float) -> Found:
        """Return the borders in a box, with ``d1 + d2`` up to a reach."""
        around = self._tiles.grown(box, self._margin(params, reach))
        labels = self._read(around)
        inside = self._inside(box, around)
        checksum = _checksum(labels[inside])
        unknown = None
        if labels.dtype.kind == "i" and labels.min(initial=0) < 0:
            unknown = labels[inside] < 0
            labels = np.maximum(labels, 0)
        borders = params.find_borders(labels, reach)
        return Found(_cropped(borders, inside), unknown, checksum)

    def count_background(self, box: Box, params: BorderWeights) -> int:
        """Return how many pixels of a box are background."""
        around = self._tiles.grown(box, [1] * len(self._tiles.spatial))
        labels = np.maximum(self._read(around), 0)
        if params.part_touching:
            labels = open_gaps(labels)
        inside = labels[self._inside(box, around)]
        return int(inside.size - np.count_nonzero(inside))

    def checksum(self, box: Box) -> int:
        """Return a number that changes when the labels in a box do."""
        return _checksum(self._read(box))

    def spatial_shape(self, box: Box) -> tuple[int, ...]:
        """Return the sides of a box along the spatial axes."""
        return box_shape(self._of_space(box))

    def _margin(self, params: BorderWeights, reach: float) -> Sequence[int]:
        steps = params.spacing or (1.0,) * len(self._tiles.spatial)
        return [math.ceil(reach / step) + 1 for step in steps]

    def _read(self, box: Box) -> NDArray[Any]:
        """Return a copy: the labels are painted on in another thread."""
        return np.array(self._labels[box]).reshape(self.spatial_shape(box))

    def _inside(self, box: Box, around: Box) -> Box:
        return tuple(
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip(
                self._of_space(box), self._of_space(around), strict=True
            )
        )

    def _of_space(self, box: Box) -> Box:
        return tuple(box[a] for a in self._tiles.spatial)


def _checksum(piece: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(piece).data)


def _cropped(borders: Borders, inside: Box) -> Borders:
    """Return the borders inside a part of the pixels they were found in."""
    places = np.array(np.unravel_index(borders.places, borders.background.shape))
    low = np.array([[part.start] for part in inside])
    high = np.array([[part.stop] for part in inside])
    kept = ((places >= low) & (places < high)).all(axis=0)
    shape = box_shape(inside)
    own = np.ravel_multi_index(tuple((places - low)[:, kept]), shape)
    return Borders(borders.background[inside], own, borders.gaps[kept])
