"""Volumes with known objects, and what is asked of their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_seg.inference.params import SegmentParams
from napari_seg.inference.volumes import (
    VolumeOptions,
    VolumeResult,
    iter_segment_volume,
)
from napari_seg.types import run

SHAPE = (24, 72, 160)
PARAMS = SegmentParams(axes="ZYX", diameter_px=12.0)


def balls(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.float32]:
    """Draw bright balls of 12 pixels on a lattice, and a rod through many cells."""
    z, y, x = np.indices(shape, np.float32)
    pitch = 24
    offsets = [axis % pitch - pitch / 2 for axis in (z, y, x)]
    distance = np.sqrt(sum(o * o for o in offsets))
    image = np.clip(6.55 - distance, 0, 1)
    image[:, 24:48] = 0
    image[12:18, 33:39, 5:-5] = 1
    return image.astype(np.float32)


def store(path: Path, image: NDArray[Any], chunks: tuple[int, ...]) -> Path:
    """Write a bare Zarr array with named axes."""
    names = ["t", "z", "y", "x"][-image.ndim :]
    array = zarr.create_array(
        path,
        shape=image.shape,
        chunks=chunks,
        dtype=image.dtype,
        dimension_names=names,
    )
    array[...] = image
    return path


def segmented(
    volume: Any,
    out: Path,
    model: Any,
    params: SegmentParams = PARAMS,
    **options: Any,
) -> tuple[NDArray[np.int32], VolumeResult]:
    """Segment, and read the labels back."""
    options.setdefault("cell", (16, 64, 64))
    steps = iter_segment_volume(volume, out, model, params, VolumeOptions(**options))
    result = run(steps)
    return read(out), result


def read(out: Path, level: int = 0) -> NDArray[np.int32]:
    """Read labels whole."""
    return np.asarray(zarr.open_array(out / str(level), mode="r")[...])


def same_partition(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether two labelings differ by the names of their objects only."""
    width = int(second.max()) + 1
    pairs = np.unique(first.astype(np.int64) * width + second)
    return len(pairs) == len(np.unique(first)) == len(np.unique(second))
