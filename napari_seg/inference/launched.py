"""What a device was given to compute, and what comes of it.

A device that computes by itself is not waited for: what it was given is a function that
returns the result once it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_seg.imaging.tiling import Slices, Tile

Array = NDArray[np.float32]
Predicted = tuple[Tile, Array]
"""A tile, and the probabilities of what it writes."""


def to_host(x: Tensor) -> Tensor:
    """Start copying to the processor; the result is there once `mark` says so.

    From CUDA the copy goes to pinned memory, and nothing waits for it.
    """
    return x.to("cpu", non_blocking=x.device.type == "cuda")


def mark(device: torch.device) -> Callable[[], object]:
    """Return what waits until the device has done all that it was given so far."""
    if device.type != "cuda":
        return lambda: None
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(device))
    return done.synchronize


def joined(results: Sequence[Callable[[], Array]]) -> Array:
    """Wait for the results of parts of a batch, and return one array."""
    done = [result() for result in results]
    return done[0] if len(done) == 1 else np.concatenate(done)


def kept(
    tiles: Sequence[Tile], keep: Slices, result: Callable[[], Array]
) -> list[Predicted]:
    """Wait for the result of a batch, and return what is kept of each tile.

    Parameters
    ----------
    tiles : sequence of Tile
    keep : tuple of slice
        Window of their outputs that was computed.
    result : callable
        Returns that window of all, (N, K, [planes,] rows, columns).
    """
    found = []
    for tile, whole in zip(tiles, result(), strict=True):
        crop = (
            slice(c.start - k.start, c.stop - k.start)
            for c, k in zip(tile.crop, keep, strict=True)
        )
        found.append((tile, whole[(slice(None), *crop)]))
    return found
