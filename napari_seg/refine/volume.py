"""Read pieces of an image of any kind, channels first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box

MOST_CHANNELS = 16
"""A first axis longer than this is not taken for channels."""


class Volume:
    """An image of which only the needed pieces are read.

    Parameters
    ----------
    image : array-like
        Shape (Y, X) or (Z, Y, X), with or without a channel axis. Anything that is
        sliced like NumPy: dask and zarr arrays are read piecewise.
    ndim : int
        Number of spatial axes.
    shape : tuple of int, optional
        Spatial shape where it is known, to tell the channel axis by.
    channel_axis : int, optional
        Where it cannot be told from the shape.
    """

    def __init__(
        self,
        image: Any,
        ndim: int,
        *,
        shape: tuple[int, ...] | None = None,
        channel_axis: int | None = None,
    ) -> None:
        self._image = image if hasattr(image, "shape") else np.asarray(image)
        full = tuple(int(n) for n in self._image.shape)
        if channel_axis is None and len(full) == ndim + 1:
            channel_axis = _guess_channel_axis(full, shape)
        self.channel_axis = None if channel_axis is None else channel_axis % len(full)
        self.shape = tuple(n for a, n in enumerate(full) if a != self.channel_axis)
        if len(self.shape) != ndim or (shape is not None and self.shape != shape):
            raise ImageError(
                "The image does not fit the strokes or labels",
                f"image {full}, {shape if shape else f'{ndim} axes'} expected",
                "Pass channel_axis if one of the axes holds channels.",
            )

    def read(self, box: Box) -> NDArray[np.float32]:
        """Return the piece in a box as float32, shape (C, *box), without NaN."""
        index: list[slice] = list(box)
        if self.channel_axis is not None:
            index.insert(self.channel_axis, slice(None))
        piece = np.asarray(self._image[tuple(index)])
        if self.channel_axis is None:
            piece = piece[None]
        else:
            piece = np.moveaxis(piece, self.channel_axis, 0)
        if piece.dtype.kind == "c":
            raise ImageError("The image is complex", str(piece.dtype))
        values = piece.astype(np.float32, order="C")
        return np.nan_to_num(values) if piece.dtype.kind == "f" else values


def _guess_channel_axis(full: tuple[int, ...], shape: tuple[int, ...] | None) -> int:
    """Return the axis whose removal leaves the spatial shape; the last one first."""
    last, first = len(full) - 1, 0
    if shape is not None:
        if full[:-1] == shape:
            return last
        if full[1:] == shape:
            return first
    if full[-1] <= 4:
        return last
    if full[0] <= MOST_CHANNELS:
        return first
    raise ImageError(
        "Which axis of the image holds the channels is not clear",
        f"shape {full}",
        "Pass channel_axis.",
    )


def normal_spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """Return the voxel size in units of its shortest side."""
    if spacing is None:
        return (1.0,) * ndim
    sizes = tuple(float(s) for s in spacing)
    if len(sizes) != ndim or not all(np.isfinite(s) and s > 0 for s in sizes):
        raise ImageError(
            "Spacing needs one positive number for each spatial axis",
            f"{sizes} for {ndim} axes",
        )
    return tuple(s / min(sizes) for s in sizes)
