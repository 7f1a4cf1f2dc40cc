"""Windows of an image as the network wants them; never the whole image at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import ImageError
from napari_seg.imaging.axes import (
    PlaneIndex,
    axis_size,
    check_axes,
    guess_axes,
    plane_selection,
)
from napari_seg.imaging.levels import Levels, choose_level
from napari_seg.imaging.normalise import (
    Normalisation,
    intensity_range,
    rescale_intensity,
)
from napari_seg.imaging.rescale import SNAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

Window = tuple[slice, slice]
_LUMINANCE = np.array([0.2125, 0.7154, 0.0721], np.float32)  # ITU-R BT.709
_SAMPLES = 1_000_000
_SAMPLED_PLANES = 16
_CACHED_PLANE_PX = 1 << 25
_CACHED_SIDE = 4096


@dataclass
class ImageReader:
    """Reads planes of any array-like block by block.

    Parameters
    ----------
    image : array
        NumPy, memory-mapped, dask or zarr: anything with shape, dtype and slicing.
        Of `Levels` each view is read from the one that fits its zoom.
    axes : str
        Checked axes of the image.
    in_channels : int
        Channels of the network.
    channel : int, optional
        Which channel, for networks with one.
    normalisation : Normalisation
        Percentiles of the intensity range, which is taken over a whole frame.
    notes : list of str
        What was decided without being asked, for the provenance.
    finest : ImageReader, optional
        Of a coarser level the reader of the image: intensities are normalised alike.
    """

    image: Any
    axes: str
    in_channels: int = 1
    channel: int | None = None
    normalisation: Normalisation = field(default_factory=Normalisation)
    notes: list[str] = field(default_factory=list)
    finest: ImageReader | None = None

    def __post_init__(self) -> None:
        """Decide on the channels."""
        self._ranges: dict[int, list[tuple[float, float]]] = {}
        self._cache: tuple[PlaneIndex, NDArray[np.float32]] | None = None
        arrays = self.image.arrays if isinstance(self.image, Levels) else (self.image,)
        self.is_lazy = not isinstance(arrays[0], np.ndarray)
        self._is_grey_of_colour = False
        self._channels: int | slice = slice(None)
        if self.in_channels == 1:
            self._choose_one()
        else:
            self._match_channels()
        coarser = [replace(self, image=a, notes=[], finest=self) for a in arrays[1:]]
        self._levels = [self, *coarser]

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        shape = self.image.shape
        return axis_size(self.axes, shape, "Y"), axis_size(self.axes, shape, "X")

    @property
    def depth(self) -> int:
        """Planes of a frame."""
        return axis_size(self.axes, self.image.shape, "Z")

    @property
    def keeps_planes(self) -> bool:
        """Whether a plane is in memory, or small enough to be read as a whole."""
        rows, columns = self.plane_shape
        return not self.is_lazy or rows * columns <= _CACHED_PLANE_PX

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels that `raw` returns."""
        return np.dtype(np.float32 if self._is_grey_of_colour else self.image.dtype)

    @property
    def channels(self) -> int | slice:
        """Which channels of the image are read."""
        return self._channels

    def with_ranges(
        self, image: Any, ranges: Sequence[Sequence[tuple[float, float]]]
    ) -> ImageReader:
        """Return a reader of another array of the same kind, with known ranges.

        Parameters
        ----------
        image : array
            Of the same shape; need not hold more than what will be read.
        ranges : sequence
            What `range_of` is to return for each frame.
        """
        other = replace(self, image=image, notes=[], finest=None)
        other._ranges = {t: list(found) for t, found in enumerate(ranges)}
        return other

    def for_zoom(self, zoom: float, z_zoom: float | None = None) -> ImageReader:
        """Return the level that is read for a zoom: no coarser than what is wanted.

        Parameters
        ----------
        zoom, z_zoom : float
            Network pixels per image pixel, within planes and across them. Without the
            latter all planes of the image are wanted.
        """
        # Planes may be wanted closer together than those of the image are.
        least = self.depth * min(1.0, 1.0 if z_zoom is None else z_zoom / (1 + SNAP))
        levels = [level for level in self._levels if level.depth >= least]
        widths = [max(self._steps_to(level)) for level in levels]
        return levels[choose_level(widths, 1 / zoom)]

    def _steps_to(self, level: ImageReader) -> list[float]:
        """Return how many pixels one of a level is wide, rows and columns."""
        sizes = zip(self.plane_shape, level.plane_shape, strict=True)
        return [fine / coarse for fine, coarse in sizes]

    def range_of(self, t: int) -> list[tuple[float, float]]:
        """Return the intensity range of each channel of a frame, from a sample."""
        if self.finest is not None:
            return self.finest.range_of(t)
        if t not in self._ranges:
            sample = list(self._samples(t))
            self._ranges[t] = [
                intensity_range(
                    np.concatenate([s[c].ravel() for s in sample]),
                    self.normalisation,
                    max_samples=2 * _SAMPLES,
                )
                for c in range(self.in_channels)
            ]
        return self._ranges[t]

    def read(self, plane: PlaneIndex, window: Window) -> NDArray[np.float32]:
        """Return normalised pixels inside the image.

        Parameters
        ----------
        plane : PlaneIndex
            Which plane.
        window : tuple of slice
            Rows and columns with start and stop, within the image.

        Returns
        -------
        ndarray of float32, shape (C, rows, columns)
        """
        rows, columns = self.plane_shape
        if self.is_lazy and self.keeps_planes:
            # Chunks rarely fit the tiles; decoding one per tile would cost more
            # than the network.
            if self._cache is None or self._cache[0] != plane:
                whole = (slice(0, rows), slice(0, columns))
                self._cache = (plane, self._normalised(plane, whole))
            return self._cache[1][(slice(None), *window)]
        return self._normalised(plane, window)

    def read_uncached(self, plane: PlaneIndex, window: Window) -> NDArray[np.float32]:
        """Return what `read` does, for windows in no order, from several threads."""
        return self._normalised(plane, window)

    def raw(self, t: int, z: int, window: Window) -> NDArray[Any]:
        """Return (C, rows, columns) of a window as it is stored."""
        return self._raw(PlaneIndex(t, z), window)

    def overview(self, plane: PlaneIndex, side: int) -> NDArray[np.float32]:
        """Return every n-th normalised pixel of a plane, about `side` by `side`.

        Of a huge plane on disk only the middle is looked at.
        """
        windows = []
        for n in self.plane_shape:
            half = _CACHED_SIDE // 2 if self.is_lazy else n
            low, high = max(0, n // 2 - half), min(n, n // 2 + half)
            windows.append(slice(low, high, max(1, (high - low) // side)))
        return self._normalised(plane, (windows[0], windows[1]))

    def _normalised(self, plane: PlaneIndex, window: Window) -> NDArray[np.float32]:
        raw = self._raw(plane, window)
        ranges = self.range_of(plane.t)
        return np.stack(
            [rescale_intensity(c, r) for c, r in zip(raw, ranges, strict=True)]
        )

    def _raw(self, plane: PlaneIndex, window: Window) -> NDArray[Any]:
        """Return (C, rows, columns) as stored, or grey made from colour."""
        selection = plane_selection(self.axes, plane, window, self._channels)
        block = np.asarray(self.image[selection])
        kept = [
            a for a, s in zip(self.axes, selection, strict=True) if isinstance(s, slice)
        ]
        block = np.moveaxis(
            block, [kept.index(a) for a in "CYX" if a in kept], range(len(kept))
        )
        if self._is_grey_of_colour:
            block = np.tensordot(_LUMINANCE, block.astype(np.float32), axes=1)
        return block if block.ndim == 3 else block[None]

    def _samples(self, t: int) -> Iterator[NDArray[Any]]:
        depth = self.depth
        count = min(depth, _SAMPLED_PLANES)
        rows, columns = self.plane_shape
        budget = _SAMPLES / count
        step = max(1, int(np.ceil((rows * columns / budget) ** 0.5)))
        for i in range(count):
            plane = PlaneIndex(t, (2 * i + 1) * depth // (2 * count))
            if not self.keeps_planes:
                yield from self._patches(plane)
            else:
                yield self._raw(plane, (slice(0, rows, step), slice(0, columns, step)))

    def _patches(self, plane: PlaneIndex) -> Iterator[NDArray[Any]]:
        """Sample a huge plane on disk without reading all its chunks."""
        grid, side = 4, 256
        rows, columns = self.plane_shape
        for i, j in np.ndindex(grid, grid):
            y = max(0, (2 * i + 1) * rows // (2 * grid) - side // 2)
            x = max(0, (2 * j + 1) * columns // (2 * grid) - side // 2)
            yield self._raw(
                plane,
                (slice(y, min(rows, y + side)), slice(x, min(columns, x + side))),
            )

    def _choose_one(self) -> None:
        count = axis_size(self.axes, self.image.shape, "C")
        if "C" not in self.axes:
            if self.channel not in (None, 0):
                raise ImageError(
                    f"Channel {self.channel} was asked for, but the image has none",
                    f"axes {self.axes}",
                    "Leave the channel empty, or correct the axes",
                )
            return
        if self.channel is not None:
            if not 0 <= self.channel < count:
                raise ImageError(
                    f"The image has no channel {self.channel}",
                    f"{count} channels",
                    f"Choose 0 to {count - 1}",
                )
            self._channels = self.channel
        elif self.axes.endswith("C") and count in (3, 4):
            self._channels = slice(0, 3)
            self._is_grey_of_colour = True
            self.notes.append("colour was turned to grey (luminance)")
        else:
            self._channels = 0
            if count > 1:
                self.notes.append(f"channel 0 of {count} was used")

    def _match_channels(self) -> None:
        count = axis_size(self.axes, self.image.shape, "C")
        has_alpha = self.axes.endswith("C") and (count, self.in_channels) == (4, 3)
        if count != self.in_channels and not has_alpha:
            raise ImageError(
                f"The model needs {self.in_channels} channels",
                f"{count} in an image with axes {self.axes}",
                "Correct the axes, or choose a model for that many channels",
            )
        self._channels = slice(0, self.in_channels)


def open_image(
    image: Any,
    axes: str | None,
    *,
    in_channels: int = 1,
    channel: int | None = None,
    normalisation: Normalisation | None = None,
) -> ImageReader:
    """Check an image and make it readable.

    Parameters
    ----------
    image : array_like
        Any real dtype, 2D to 5D.
    axes : str, optional
        Guessed if None.
    in_channels, channel, normalisation
        See `ImageReader`.

    Returns
    -------
    ImageReader

    Raises
    ------
    ImageError, AxesError
        If it cannot be segmented.
    """
    if not (hasattr(image, "shape") and hasattr(image, "dtype")):
        image = np.asarray(image)
    dtype = np.dtype(image.dtype)
    if dtype.kind not in "biuf":
        raise ImageError(
            "The image does not hold real numbers",
            f"dtype {dtype}",
            "Convert it to integers or floats",
        )
    shape = tuple(int(n) for n in image.shape)
    if 0 in shape:
        raise ImageError(
            "The image is empty", f"shape {shape}", "Choose an image with pixels"
        )
    checked = check_axes(axes, shape) if axes else guess_axes(shape)
    return ImageReader(
        image, checked, in_channels, channel, normalisation or Normalisation()
    )
