"""Tiles cut from an image: on the processor, or where the network runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_seg.imaging.normalise import CLIP
from napari_seg.imaging.tiling import Slices, Tile, mirror_index
from napari_seg.inference.device import is_out_of_memory
from napari_seg.inference.view import PlaneView, Readable

Inputs = NDArray[np.float32] | Tensor
"""Tiles of one size, (N, C, [planes,] rows, columns)."""
Cutter = Callable[[Sequence[Tile]], Inputs]

_NARROW = (np.dtype(np.uint8), np.dtype(np.uint16))
_BAND_ROWS = 256
"""Rows of the image that come at once, about."""
_MOST_PIXELS = 1 << 24
"""Of larger planes every tile is read for itself."""


def tile_cutter(view: Readable, device: str) -> Cutter:
    """Return what reads tiles of a view.

    A plane that fits is moved to a CUDA device as a whole: its tiles overlap, are
    mirrored at the edges and stacked, which costs a processor more than the network
    costs the device.

    Parameters
    ----------
    view : object with `read`
    device : str
        Where the network runs.

    Returns
    -------
    callable
        Takes tiles of one plan, and returns them stacked. Not for several threads at
        once.
    """
    if not (device.startswith("cuda") and isinstance(view, PlaneView)):
        return partial(read_tiles, view)
    if not view.reader.keeps_planes or _pixels(view) > _MOST_PIXELS:
        return partial(read_tiles, view)
    return _AboardWhileItFits(view, device)


def _pixels(view: PlaneView) -> int:
    rows, columns = view.shape
    return view.reader.in_channels * rows * columns


class _AboardWhileItFits:
    """Cuts tiles on the device until its memory is needed for something else."""

    def __init__(self, view: PlaneView, device: str) -> None:
        self._view = view
        self._device = device
        self._aboard: PlaneAboard | None = None
        self._fits = True

    def __call__(self, tiles: Sequence[Tile]) -> Inputs:
        if self._fits:
            try:
                if self._aboard is None:
                    self._aboard = PlaneAboard(self._view, self._device)
                return self._aboard.cut(tiles)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._aboard, self._fits = None, False
        return read_tiles(self._view, tiles)


def read_tiles(view: Readable, tiles: Sequence[Tile]) -> NDArray[np.float32]:
    """Read tiles of one plan: (N, C, [planes,] rows, columns)."""
    return np.stack([view.read(tile.read) for tile in tiles])


class PlaneAboard:
    """A plane in the memory of a device; rows come there when a tile first needs them.

    Parameters
    ----------
    view : PlaneView
        The plane, in the resolution of the network.
    device : str

    Raises
    ------
    RuntimeError
        If the device has no room for it.
    """

    def __init__(self, view: PlaneView, device: str) -> None:
        rows, columns = view.shape
        self._view = view
        shape = (view.reader.in_channels, rows, columns)
        self._plane = torch.empty(shape, device=device)
        # Of an image on disk a chunk may hold many bands: it is read once, then.
        shrunk = max(1.0, view.axes[0].step)
        lazy = view.reader.is_lazy
        self._band = rows if lazy else max(1, int(_BAND_ROWS / shrunk))
        self._missing = set(range(-(-rows // self._band)))
        self._indices: dict[tuple[int, int, int], Tensor] = {}

    @torch.inference_mode()
    def cut(self, tiles: Sequence[Tile]) -> Tensor:
        """Return tiles of one plan, (N, C, rows, columns), mirrored at the edges."""
        return torch.stack([self._window(tile.read) for tile in tiles])

    def _window(self, window: Slices) -> Tensor:
        _, rows, columns = self._plane.shape
        needed = mirror_index(window[0].start, window[0].stop, rows)
        self._fetch(int(needed.min()), int(needed.max()) + 1)
        part = self._plane
        for axis, (side, n) in enumerate(zip(window, (rows, columns), strict=True), 1):
            if side.start >= 0 and side.stop <= n:
                part = part.narrow(axis, side.start, side.stop - side.start)
            else:
                part = part.index_select(
                    axis, self._mirrored((side.start, side.stop, n))
                )
        return part

    def _mirrored(self, span: tuple[int, int, int]) -> Tensor:
        if span not in self._indices:
            index = torch.from_numpy(mirror_index(*span))
            self._indices[span] = index.to(self._plane.device)
        return self._indices[span]

    def _fetch(self, start: int, stop: int) -> None:
        """Read the bands of rows that are not there yet."""
        rows, columns = self._plane.shape[1:]
        wanted = range(start // self._band, -(-stop // self._band))
        for band in self._missing.intersection(wanted):
            low = band * self._band
            window = (slice(low, min(low + self._band, rows)), slice(0, columns))
            self._plane[:, window[0]] = self._normalised(window)
            self._missing.discard(band)

    def _normalised(self, window: tuple[slice, slice]) -> Tensor:
        """Return normalised rows; small numbers are normalised on the device."""
        view, device = self._view, self._plane.device
        if view.is_resampled or view.reader.dtype not in _NARROW:
            return torch.from_numpy(view.read(window)).to(device)
        plane = view.plane
        raw = np.ascontiguousarray(view.reader.raw(plane.t, plane.z, window))
        if not raw.flags.writeable:  # torch would warn that it might be written to
            raw = raw.copy()
        if raw.dtype == np.uint16:  # which torch hardly computes with
            x = (torch.from_numpy(raw.view(np.int16)).to(device).int() & 0xFFFF).float()
        else:
            x = torch.from_numpy(raw).to(device).float()
        for channel, (low, high) in zip(x, view.reader.range_of(plane.t), strict=True):
            if high > low:
                channel.sub_(low).div_(high - low)
            else:
                channel.zero_()
        return x.clamp_(*CLIP)
