"""Tiles cut from an image: on the processor, or where the network runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_seg.imaging.tiling import Slices, Tile, mirror_index
from napari_seg.inference.device import is_out_of_memory
from napari_seg.inference.view import PlaneView, Readable

Inputs = NDArray[np.float32] | Tensor
"""Tiles of one size, (N, C, [planes,] rows, columns)."""
Cutter = Callable[[Sequence[Tile]], Inputs]

_BAND_ROWS = 256
_MOST_PIXELS = 1 << 25


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
    if device.startswith("cuda") and isinstance(view, PlaneView):
        try:
            return PlaneAboard(view, device).cut
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
    return partial(read_tiles, view)


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
        channels = view.reader.in_channels
        if channels * rows * columns > _MOST_PIXELS:
            raise torch.OutOfMemoryError(f"{channels} x {rows} x {columns} pixels")
        self._view = view
        self._plane = torch.empty((channels, rows, columns), device=device)
        self._missing = set(range(-(-rows // _BAND_ROWS)))

    @torch.inference_mode()
    def cut(self, tiles: Sequence[Tile]) -> Tensor:
        """Return tiles of one plan, (N, C, rows, columns), mirrored at the edges."""
        return torch.stack([self._window(tile.read) for tile in tiles])

    def _window(self, window: Slices) -> Tensor:
        sides = self._plane.shape[1:]
        index = [
            mirror_index(s.start, s.stop, n) for s, n in zip(window, sides, strict=True)
        ]
        self._fetch(int(index[0].min()), int(index[0].max()) + 1)
        part = self._plane
        for axis, (s, n, at) in enumerate(zip(window, sides, index, strict=True), 1):
            if s.start >= 0 and s.stop <= n:
                part = part.narrow(axis, s.start, s.stop - s.start)
            else:
                part = part.index_select(axis, torch.from_numpy(at).to(part.device))
        return part

    def _fetch(self, start: int, stop: int) -> None:
        """Read the bands of rows that are not there yet."""
        rows, columns = self._plane.shape[1:]
        wanted = range(start // _BAND_ROWS, -(-stop // _BAND_ROWS))
        for band in self._missing.intersection(wanted):
            low = band * _BAND_ROWS
            window = (slice(low, min(low + _BAND_ROWS, rows)), slice(0, columns))
            read = torch.from_numpy(self._view.read(window))
            self._plane[:, window[0]].copy_(read)
            self._missing.discard(band)
