"""Border weights of labels that no memory holds, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.imaging.slabs import box_shape
from napari_seg.imaging.weight_pieces import Pieces
from napari_seg.imaging.weight_tiles import Tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.slabs import Box
    from napari_seg.imaging.weightmap import BorderWeights


def iter_border_weights(
    labels: Any, spatial: Sequence[int], params: BorderWeights
) -> Iterator[tuple[Box, NDArray[np.float32]]]:
    """Yield the weights of every block; together they are those of the whole.

    Parameters
    ----------
    labels : array of int
        NumPy, memory-mapped, dask or zarr; read block by block, twice where classes
        are balanced.
    spatial : sequence of int
        Axes along which distances are measured, two or three. Along the others each
        index is a picture of its own.
    params : BorderWeights
        Its spacing is along the spatial axes.

    Yields
    ------
    box : tuple of slice
    weights : ndarray of float32, shape of the box
    """
    tiles = Tiles(labels.shape, spatial)
    pieces = Pieces(labels, tiles)
    for frame in np.ndindex(*(tiles.shape[axis] for axis in tiles.others)):
        boxes = [tiles.boxes[number] for number in tiles.of_frame(frame)]
        count = 0
        if params.balance_classes:
            count = sum(pieces.count_background(box, params) for box in boxes)
        size = sum(math.prod(box_shape(box)) for box in boxes)
        classes = params.class_weights(count, size)
        for box in boxes:
            found = pieces.find(box, params, params.reach)
            weights = params.combine(found.borders, classes)
            if found.unknown is not None:
                weights[found.unknown] = 0
            yield box, weights.reshape(box_shape(box))
