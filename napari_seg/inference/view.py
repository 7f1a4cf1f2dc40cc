"""Planes and frames in the resolution of the network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_seg.imaging.axes import PlaneIndex
from napari_seg.imaging.rescale import (
    Axis,
    plan_axes,
    resample,
    resample_first,
    zoomed_size,
)
from napari_seg.imaging.tiling import Slices, mirror_index

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.inference.reader import ImageReader


LOOK_PLANES = 9
"""Planes in which a network in three dimensions looks for objects in the middle one."""


class Readable(Protocol):
    """An image that gives any window of itself, mirrored beyond its edges."""

    def read(self, window: Slices) -> NDArray[np.float32]:
        """Return (C, [planes,] rows, columns)."""
        ...


@dataclass(frozen=True)
class TileView:
    """A tile as an image of its own.

    Parameters
    ----------
    image : ndarray of float32, shape (C, [planes,] rows, columns)
        The input of a network.
    margin : int
        Context on every side; windows count from behind it.
    """

    image: NDArray[np.float32]
    margin: int

    def read(self, window: Slices) -> NDArray[np.float32]:
        """Return a window, mirrored where it reaches beyond the tile."""
        part = self.image
        for axis, s in enumerate(window, start=1):
            at = (s.start + self.margin, s.stop + self.margin)
            part = part.take(mirror_index(*at, part.shape[axis]), axis)
        return part


@dataclass(frozen=True)
class PlaneView:
    """One plane of an image in the resolution of the network.

    Parameters
    ----------
    reader : ImageReader
        The image.
    plane : PlaneIndex
        Which plane.
    axes : tuple of Axis
        Resampling of rows and columns, image to network.
    is_alone : bool
        Whether one plane is read at a time: the reader then keeps it whole. Of planes
        that take turns only the window is read.
    """

    reader: ImageReader
    plane: PlaneIndex
    axes: tuple[Axis, Axis]
    is_alone: bool = True

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns in the resolution of the network."""
        return self.axes[0].target, self.axes[1].target

    @property
    def is_resampled(self) -> bool:
        """Whether pixels of the network are others than those of the image."""
        return any(axis.source != axis.target for axis in self.axes)

    def read(self, window: tuple[slice, ...]) -> NDArray[np.float32]:
        """Return a window, mirrored where it reaches beyond the plane.

        Parameters
        ----------
        window : tuple of slice
            Rows and columns with start and stop, anywhere.

        Returns
        -------
        ndarray of float32, shape (C, rows, columns)
        """
        index = [
            mirror_index(s.start, s.stop, a.target)
            for s, a in zip(window, self.axes, strict=True)
        ]
        low = [int(i.min()) for i in index]
        inner = (
            slice(low[0], int(index[0].max()) + 1),
            slice(low[1], int(index[1].max()) + 1),
        )
        spans = [
            a.source_span(w.start, w.stop)
            for a, w in zip(self.axes, inner, strict=True)
        ]
        read = self.reader.read if self.is_alone else self.reader.read_uncached
        block = read(self.plane, (slice(*spans[0]), slice(*spans[1])))
        block = resample(block, self.axes, inner)
        if inner == tuple(window):  # nothing to mirror, as for most tiles
            return np.array(block)  # a copy: the reader may keep what it gave
        rows, columns = (i - start for i, start in zip(index, low, strict=True))
        return np.ascontiguousarray(block[:, rows[:, None], columns])


@dataclass(frozen=True)
class FrameView:
    """All planes of a frame in the resolution of the network.

    Parameters
    ----------
    planes : tuple of PlaneView
        Of each plane of the image.
    axis : Axis
        Resampling of the planes, image to network.
    """

    planes: tuple[PlaneView, ...]
    axis: Axis

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows and columns in the resolution of the network."""
        return (self.axis.target, *self.planes[0].shape)

    def read(self, window: tuple[slice, ...]) -> NDArray[np.float32]:
        """Return a window, mirrored where it reaches beyond the frame.

        Parameters
        ----------
        window : tuple of slice
            Planes, rows and columns with start and stop, anywhere.

        Returns
        -------
        ndarray of float32, shape (C, planes, rows, columns)
        """
        index = mirror_index(window[0].start, window[0].stop, self.axis.target)
        low, high = int(index.min()), int(index.max()) + 1
        first, last = self.axis.source_span(low, high)
        planes = [self.planes[z].read(window[1:]) for z in range(first, last)]
        block = np.stack(planes)
        block = resample_first(block, self.axis, slice(low, high))
        return np.ascontiguousarray(block[index - low].swapaxes(0, 1))


def view_frame(reader: ImageReader, t: int, zoom: float, z_zoom: float) -> FrameView:
    """Return a frame resampled by `zoom` within planes and `z_zoom` across them."""
    near = reader.for_zoom(zoom, z_zoom)
    planes = tuple(
        replace(_view(reader, near, PlaneIndex(t, z), zoom), is_alone=False)
        for z in range(near.depth)
    )
    return FrameView(planes, Axis(near.depth, zoomed_size(reader.depth, z_zoom)))


def view_plane(reader: ImageReader, plane: PlaneIndex, zoom: float) -> PlaneView:
    """Return a plane resampled by `zoom` (network pixels per image pixel)."""
    return _view(reader, reader.for_zoom(zoom), plane, zoom)


def _view(
    reader: ImageReader, near: ImageReader, plane: PlaneIndex, zoom: float
) -> PlaneView:
    """Return a plane of a level; sizes after resampling are those of the image."""
    target = [zoomed_size(n, zoom) for n in reader.plane_shape]
    return PlaneView(near, plane, plan_axes(near.plane_shape, target))
