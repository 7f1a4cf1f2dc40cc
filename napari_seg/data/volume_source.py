"""A volume on disk of any size, read region by region."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.data.io import TIFF_SUFFIXES, read_image
from napari_seg.data.tiff import read_tiff
from napari_seg.data.zarr_folder import ZarrImage, open_zarr
from napari_seg.errors import FormatError, ImageError

_UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError)
"""What codecs and file systems fail with."""


def open_volume(path: Path) -> ZarrImage:
    """Open an image without reading it, whatever its size.

    Parameters
    ----------
    path : pathlib.Path
        A Zarr array, an OME-Zarr image (all its levels) or any file that
        `read_image` takes; TIFF files are mapped, however small.

    Returns
    -------
    ZarrImage
        Arrays that are read by slicing: Zarr, memory-mapped or dask.
    """
    if not path.exists():
        raise FormatError(f"{path} does not exist", remedy="Check the path.")
    if path.is_dir():
        return open_zarr(path)
    is_tiff = path.suffix.lower() in TIFF_SUFFIXES
    found = read_tiff(path, lazy_bytes=0) if is_tiff else read_image(path)
    return ZarrImage((found.array,), found.axes, found.spacing)


def path_of(array: Any) -> Path | None:
    """Return the folder or file that a lazy array is read from, if that can be known.

    Parameters
    ----------
    array : array
        Zarr, memory-mapped, or dask made of one of these and not changed since.
    """
    if isinstance(array, np.memmap):
        whole = array.offset == 0 or array.base is not None
        return Path(array.filename) if array.filename and whole else None
    root = getattr(getattr(array, "store", None), "root", None)
    if root is not None:
        return Path(root) / getattr(array, "path", "")
    graph = getattr(array, "dask", None)
    if graph is None or len(graph.layers) > 2:
        return None
    inner = (v for layer in graph.layers.values() for v in layer.values())
    for value in inner:
        store = getattr(value, "store", None)
        if store is not None and getattr(value, "shape", None) == array.shape:
            return path_of(value)
    return None


def find_volume(places: Sequence[Path], shape: Sequence[int]) -> Path:
    """Return the first of some paths that holds an image of a shape.

    Raises
    ------
    ImageError
        If none does.
    """
    for path in places:
        try:
            found = open_volume(path)
        except FormatError:
            continue
        if tuple(found.arrays[0].shape) == tuple(shape):
            return path
    raise ImageError(
        "The image is not a file that can be read block by block",
        ", ".join(str(p) for p in places) or "only in memory",
        "Save it as Zarr or TIFF and open that",
    )


def read_region(
    array: Any, index: Sequence[slice | int], name: str
) -> NDArray[np.generic]:
    """Read a part of an array, or name the chunk that cannot be read.

    Parameters
    ----------
    array : array
        NumPy, memory-mapped, Zarr or dask.
    index : sequence of slice or int
        With start and stop.
    name : str
        Of the image, for the message.

    Raises
    ------
    FormatError
        Naming the first chunk that fails.
    """
    try:
        return _read(array, tuple(index))
    except _UNREADABLE as error:
        place = _bad_chunk(array, index)
        raise FormatError(
            f"cannot read {place or 'a part'} of {name}",
            " ".join(f"{type(error).__name__}: {error}".split())[:200],
            "Copy the image again, or write that chunk anew.",
        ) from error


def _read(array: Any, index: tuple[slice | int, ...]) -> NDArray[np.generic]:
    part = array[index]
    if hasattr(part, "dask"):
        # A worker of a cluster must not ask the cluster to read for it.
        part = part.compute(scheduler="synchronous")
    return np.asarray(part)


def _bad_chunk(array: Any, index: Sequence[slice | int]) -> str:
    """Return the key of the first chunk under an index that cannot be read."""
    chunks = getattr(array, "chunks", None)
    if not chunks or not isinstance(chunks[0], int):
        return ""
    spans = [
        range(i, i + 1) if isinstance(i, int) else range(*i.indices(size))
        for i, size in zip(index, array.shape, strict=True)
    ]
    grid = [
        range(span[0] // side, span[-1] // side + 1)
        for span, side in zip(spans, chunks, strict=True)
    ]
    for place in product(*grid):
        voxel = tuple(
            slice(i * side, i * side + 1) for i, side in zip(place, chunks, strict=True)
        )
        try:
            _read(array, voxel)
        except _UNREADABLE:
            key = array.metadata.encode_chunk_key(place)
            return f"chunk {Path(getattr(array, 'path', '')) / key}"
    return ""


class NamedArray:
    """An array that says which of its chunks cannot be read.

    Parameters
    ----------
    array : array
        As for `read_region`.
    name : str
        Of the image.
    """

    def __init__(self, array: Any, name: str) -> None:
        self._array = array
        self._name = name
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, index: Sequence[slice | int]) -> NDArray[np.generic]:
        return read_region(self._array, index, self._name)
