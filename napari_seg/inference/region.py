"""A part of a volume in memory that is read as if it were all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_seg.data.volume_source import read_region
from napari_seg.imaging.axes import PlaneIndex, axis_size
from napari_seg.imaging.rescale import Axis, plan_axes
from napari_seg.inference.view import FrameView, PlaneView

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_seg.inference.reader import ImageReader
    from napari_seg.inference.volume_plan import Ranges

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Region:
    """Looks like the array it was cut out of.

    Parameters
    ----------
    part : ndarray
    origin : tuple of int
        Where it lies in the array.
    shape : tuple of int
        Of the array.
    """

    part: NDArray[np.generic]
    origin: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.part.dtype

    def __getitem__(self, index: Sequence[int | slice]) -> NDArray[np.generic]:
        own: list[int | slice] = []
        for one, low, size in zip(index, self.origin, self.part.shape, strict=True):
            if isinstance(one, slice):
                start, stop, step = one.indices(low + size)
                own.append(slice(start - low, stop - low, step))
            else:
                own.append(one - low)
        return self.part[tuple(own)]


class RegionViews:
    """Views of the planes of a frame at the zoom of the network, read once.

    Parameters
    ----------
    reader : ImageReader
        Of the volume.
    t : int
        Frame.
    box : tuple of slice
        Planes, rows and columns in network pixels that will be looked at; planes of
        the volume for a network that sees one at a time.
    seen : tuple of int
        Planes, rows and columns of the volume in network pixels.
    ranges : sequence
        Intensity range of each frame and channel.
    zoom : float
    z_zoom : float or None
        None for a network that sees one plane at a time.
    name : str
        Of the volume, for errors.
    """

    def __init__(
        self,
        reader: ImageReader,
        t: int,
        box: Box,
        seen: Sequence[int],
        ranges: Ranges,
        *,
        zoom: float,
        z_zoom: float | None,
        name: str,
    ) -> None:
        near = reader.for_zoom(zoom, z_zoom)
        self._t = t
        self._rows = plan_axes(near.plane_shape, seen[1:])
        self._planes = Axis(near.depth, seen[0])
        spans = [
            slice(*axis.source_span(part.start, part.stop))
            for axis, part in zip((self._planes, *self._rows), box, strict=True)
        ]
        channels = near.channels
        if isinstance(channels, int):
            channels = slice(channels, channels + 1)
        count = axis_size(near.axes, near.image.shape, "C")
        parts = dict(zip("ZYX", spans, strict=True))
        parts["T"] = slice(t, t + 1)
        parts["C"] = slice(*channels.indices(count))
        index = [parts[axis] for axis in near.axes]
        image = getattr(near.image, "arrays", (near.image,))[0]
        held = read_region(image, index, name)
        shape = tuple(int(n) for n in image.shape)
        region = Region(held, tuple(s.start for s in index), shape)
        self._reader = near.with_ranges(region, ranges)

    def plane(self, z: int) -> PlaneView:
        """Return one plane."""
        place = PlaneIndex(self._t, z)
        return PlaneView(self._reader, place, self._rows, is_alone=False)

    def frame(self) -> FrameView:
        """Return all planes, of which only those of the box may be looked at."""
        planes = tuple(self.plane(z) for z in range(self._planes.source))
        return FrameView(planes, self._planes)
