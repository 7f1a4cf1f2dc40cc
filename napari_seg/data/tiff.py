"""TIFF in and out, with the axes and voxel sizes of ImageJ and OME."""

from __future__ import annotations

import struct
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_seg.data.image_data import ImageData, spacing_axes, unit_in_um
from napari_seg.data.limits import check_density
from napari_seg.errors import FormatError
from napari_seg.imaging.axes import guess_axes

if TYPE_CHECKING:
    import dask.array as da

    from napari_seg.data.image_data import Array

LAZY_BYTES = 512 * 2**20
"""Arrays larger than this stay on disk and are read piece by piece."""

_BIG_PAGE_BYTES = 256 * 2**20
_LARGEST_DPI_PIXEL_UM = 50.0
_CLASSIC_TIFF_BYTES = 4_000_000_000

_DAMAGED = (
    tifffile.TiffFileError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    RuntimeError,
    struct.error,
    zlib.error,
)


def read_tiff(path: Path, *, lazy_bytes: int = LAZY_BYTES) -> ImageData:
    """Read the first series of a TIFF file, at full resolution.

    Parameters
    ----------
    path : pathlib.Path
        A TIFF, ImageJ TIFF or OME-TIFF file.
    lazy_bytes : int
        Above this size the array is a memory map or a dask array.

    Returns
    -------
    ImageData
        Array, axes and spacing in um.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            check_density(series.nbytes, path)
            axes = _axes(series)
            spacing = _spacing(tif, axes)
            is_small = series.nbytes <= lazy_bytes
            array = series.asarray() if is_small else _lazy(path)
    # tifffile reports damage with whatever its parser happens to run into
    except _DAMAGED as error:
        raise FormatError(
            f"cannot read {path.name} as TIFF",
            str(error) or type(error).__name__,
            "Open it in ImageJ and save it again as TIFF.",
        ) from error
    return ImageData(array, axes, spacing)


def _lazy(path: Path) -> Array | da.Array:
    """Return the first series as a memory map, or as dask where compressed."""
    tif = tifffile.TiffFile(path)
    series = tif.series[0]
    if series.dataoffset is not None:
        tif.close()
        mapped: Array = tifffile.memmap(path, mode="r")
        return mapped
    import dask.array as da  # slow to import, and seldom needed
    import zarr

    # A chunk for each strip would be thousands for an ordinary plane.
    page = series.keyframe
    by_page = not page.is_tiled and page.nbytes <= _BIG_PAGE_BYTES
    store = series.aszarr(level=0, chunkmode="page" if by_page else "strile")
    # The file stays open for as long as anything can still read from it.
    weakref.finalize(store, tif.close)
    return da.from_zarr(zarr.open(store, mode="r"))


def _axes(series: tifffile.TiffPageSeries) -> str:
    """Translate tifffile's letters; guess where the file does not tell."""
    if set(series.axes) & set("TCZS"):
        return guess_axes(series.shape, names=list(series.axes))
    # "QYX" or "IYX": some stack, whose shape tells more than these letters
    return guess_axes(series.shape)


def _spacing(tif: tifffile.TiffFile, axes: str) -> tuple[float, ...] | None:
    """Read the voxel size in um from OME, ImageJ or plain TIFF metadata."""
    sizes = _ome_sizes(tif) if tif.ome_metadata else _tag_sizes(tif)
    if "Y" not in sizes or "X" not in sizes:
        return None
    # ImageJ, too, takes a missing plane distance as one unit
    return tuple(sizes.get(axis, 1.0) for axis in spacing_axes(axes))


def _ome_sizes(tif: tifffile.TiffFile) -> dict[str, float]:
    """Return the PhysicalSize attributes of the first image, in um."""
    image = tifffile.xml2dict(tif.ome_metadata or "").get("OME", {}).get("Image", {})
    pixels: dict[str, Any] = (image[0] if isinstance(image, list) else image)["Pixels"]
    sizes = {}
    for axis in "ZYX":
        size = float(pixels.get(f"PhysicalSize{axis}", 0))
        unit = unit_in_um(str(pixels.get(f"PhysicalSize{axis}Unit", "um")))
        if size > 0 and unit:
            sizes[axis] = size * unit
    return sizes


def _tag_sizes(tif: tifffile.TiffFile) -> dict[str, float]:
    """Return the sizes that the resolution tags and ImageJ's text give, in um."""
    page = tif.pages.first
    meta = tif.imagej_metadata or {}
    unit = unit_in_um(str(meta.get("unit", "")))
    if unit is None and not meta and page.resolutionunit == 3:  # centimetre
        unit = 1e4
    if unit is None:
        return {}
    sizes = {}
    for axis, tag in (("Y", "YResolution"), ("X", "XResolution")):
        numerator, denominator = page.tags[tag].value if tag in page.tags else (0, 1)
        if numerator > 0:
            sizes[axis] = unit * denominator / numerator
    if not meta and any(size > _LARGEST_DPI_PIXEL_UM for size in sizes.values()):
        return {}  # a printing resolution such as 72 dpi, not a microscope's
    if float(meta.get("spacing", 0)) > 0:
        sizes["Z"] = float(meta["spacing"]) * unit
    return sizes


def write_tiff(
    path: Path,
    planes: Iterator[Array],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
    spacing: tuple[float, ...] | None,
    value_range: tuple[float, float],
) -> None:
    """Write planes as a compressed TIFF that ImageJ opens with its calibration.

    tifffile's own ImageJ mode refuses int32, which ImageJ itself reads well (as
    32-bit signed). So this writes ordinary pages and ImageJ's text beside them.

    Parameters
    ----------
    path : pathlib.Path
        The file to write.
    planes : iterator of ndarray
        Planes of shape (row, column), Z fastest, then T.
    shape, axes : tuple of int, str
        Of the whole array; `axes` in the order T, Z, Y, X.
    dtype : numpy.dtype
        int32 or float32.
    spacing : tuple of float, optional
        Voxel size in um for each of Z, Y, X in `axes`.
    value_range : (float, float)
        What ImageJ shows as black and white.
    """
    sizes = dict(zip(spacing_axes(axes), spacing, strict=True)) if spacing else {}
    meta: dict[str, Any] = {"min": value_range[0], "max": value_range[1]}
    if sizes:
        meta["unit"] = "um"
    if "Z" in sizes:
        meta["spacing"] = sizes["Z"]
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    with tifffile.TiffWriter(path, bigtiff=size > _CLASSIC_TIFF_BYTES) as writer:
        writer.write(
            planes,
            shape=shape,
            dtype=dtype,
            photometric="minisblack",
            compression="zlib",
            # one strip a plane: what the iterator yields, and compact for labels
            rowsperstrip=shape[-2],
            metadata=None,
            description=tifffile.imagej_description(shape, axes=axes, **meta),
            resolution=(1 / sizes["X"], 1 / sizes["Y"]) if sizes else (1, 1),
            resolutionunit="NONE",
        )
