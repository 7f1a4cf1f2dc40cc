"""Images and labels on disk: read with axes and voxel size, written atomically."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.data.bioimages import READERS, read_bioimage
from napari_seg.data.image_data import ImageData, lazy_array
from napari_seg.data.limits import check_size
from napari_seg.data.tiff import LAZY_BYTES, read_tiff, write_tiff
from napari_seg.errors import FormatError, ImageError, LabelsError
from napari_seg.files import atomic_path
from napari_seg.imaging.axes import check_axes

if TYPE_CHECKING:
    import dask.array as da

    from napari_seg.data.image_data import Array

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
READABLE_SUFFIXES = (*TIFF_SUFFIXES, *PICTURE_SUFFIXES, ".zarr")
IMAGE_SUFFIXES = (*READABLE_SUFFIXES, *READERS)
"""With those of microscope makers."""


def read_image(
    path: str | os.PathLike[str], *, lazy_bytes: int = LAZY_BYTES
) -> ImageData:
    """Read an image from TIFF, PNG, JPEG, BMP, Zarr or OME-Zarr.

    CZI, ND2 and LIF are read through bioio, where it is installed.

    Parameters
    ----------
    path : path-like
        The file, or the folder of a Zarr image.
    lazy_bytes : int
        Of a TIFF above this size only what is looked at is read.

    Returns
    -------
    ImageData
        ``(array, axes, spacing)``: a numpy array, or a lazy one where it is large;
        axes as T, C, Z, Y, X; voxel size in um for each of Z, Y, X, or None.
    """
    file = Path(path)
    if not file.exists():
        raise FormatError(f"{file} does not exist", remedy="Check the path.")
    suffix = file.suffix.lower()
    if file.is_dir():
        from napari_seg.data.zarr_folder import read_zarr

        data = read_zarr(file)
    elif suffix in TIFF_SUFFIXES:
        data = read_tiff(file, lazy_bytes=lazy_bytes)
    elif suffix in PICTURE_SUFFIXES:
        data = _read_picture(file)
    elif suffix in READERS:
        data = read_bioimage(file)
    else:
        raise FormatError(
            f"{file.name} is not in a format that can be read",
            f"suffix {suffix or '(none)'}",
            f"Use one of {', '.join(READABLE_SUFFIXES)}.",
        )
    if data.array.dtype.kind not in "buif":
        raise ImageError(
            f"{file.name} does not hold grey values",
            f"dtype {data.array.dtype}",
            "Convert it to an integer or float image.",
        )
    return data


def read_labels(path: str | os.PathLike[str]) -> ImageData:
    """Read instance labels, whatever number type they were saved in.

    Parameters
    ----------
    path : path-like
        As for `read_image`; one id per pixel, 0 is background.

    Returns
    -------
    ImageData
        ``(labels, axes, spacing)`` with int32 labels in memory.
    """
    data = read_image(path)
    if "C" in data.axes:
        raise LabelsError(
            f"{Path(path).name} is a picture, not labels",
            f"axes {data.axes}, shape {data.array.shape}",
            "Labels hold one id per pixel: save them as a grey TIFF.",
        )
    # they become int32, whatever they are stored as
    itemsize = max(4, data.array.dtype.itemsize)
    check_size(data.array.shape, itemsize, Path(path).name)
    array = np.asarray(data.array)
    # ImageJ turns 32-bit integers into floats when it saves them again
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        raise LabelsError(
            f"{Path(path).name} does not hold whole numbers",
            f"dtype {array.dtype}",
            "Labels are integer ids; are these probabilities?",
        )
    return data._replace(array=_as_ids(array, Path(path).name))


def open_labels(path: str | os.PathLike[str]) -> ImageData:
    """Open instance labels as `read_labels` does, but leave large ones on disk.

    Parameters
    ----------
    path : path-like
        As for `read_image`; one id per pixel, 0 is background.

    Returns
    -------
    ImageData
        ``(labels, axes, spacing)`` with int32 labels, a dask array where the file is
        large or a Zarr folder.
    """
    data = read_image(path)
    if isinstance(data.array, np.ndarray) and not isinstance(data.array, np.memmap):
        return read_labels(path)
    if "C" in data.axes or data.array.dtype.kind == "f":
        return read_labels(path)  # which says what is wrong, or rounds
    import dask.array as da

    array = data.array
    if isinstance(array, np.ndarray):
        leading = (1,) * (array.ndim - 2)
        array = da.from_array(array, (*leading, *array.shape[-2:]))
    limits = [_limits(plane) for plane in _planes(array)]
    low, high = min(a for a, _ in limits), max(b for _, b in limits)
    _check_ids(array.dtype, low, high, Path(path).name)
    return data._replace(array=array.astype(np.int32))


def write_labels(
    path: str | os.PathLike[str],
    labels: Array | da.Array,
    axes: str,
    spacing: tuple[float, ...] | None = None,
) -> None:
    """Write labels as an int32 TIFF that ImageJ opens with its physical size.

    Parameters
    ----------
    path : path-like
        The ``.tif`` file; it appears complete or not at all.
    labels : array of int
        Ids with `axes` of T, Z, Y, X; may be lazy, is read plane by plane.
    axes : str
        Axes of `labels`. In the file they are in the order T, Z, Y, X.
    spacing : tuple of float, optional
        Voxel size in um for each of Z, Y, X in `axes`, in that order.
    """
    _write(path, labels, axes, spacing, np.dtype(np.int32))


def write_image(
    path: str | os.PathLike[str],
    image: Array | da.Array,
    axes: str,
    spacing: tuple[float, ...] | None = None,
) -> None:
    """Write a float32 image, such as a weight map, as `write_labels` does."""
    _write(path, image, axes, spacing, np.dtype(np.float32))


def write_picture(
    path: str | os.PathLike[str],
    image: Array | da.Array,
    axes: str,
    spacing: tuple[float, ...] | None = None,
) -> None:
    """Write a microscope's image as it is: its number type and channels are kept.

    Parameters
    ----------
    path, spacing
        As for `write_labels`.
    image : array of number
        Any real type that ImageJ has; 64-bit integers become 32-bit if they fit.
    axes : str
        Axes of `image`. In the file they are in the order T, Z, C, Y, X.
    """
    dtype = np.dtype(_STORED_AS.get(image.dtype.name, image.dtype.name))
    _write(path, image, axes, spacing, dtype, order="TZCYX")


def _write(
    path: str | os.PathLike[str],
    array: Array | da.Array,
    axes: str,
    spacing: tuple[float, ...] | None,
    dtype: np.dtype[Any],
    order: str = "TZYX",
) -> None:
    axes = check_axes(axes, array.shape)
    places = [axes.index(letter) for letter in order if letter in axes]
    if len(places) != len(axes):
        raise FormatError("cannot write a channel axis", axes, "Write one channel.")
    if spacing is not None:
        sizes = dict(zip((a for a in axes if a in "ZYX"), spacing, strict=True))
        spacing = tuple(sizes[letter] for letter in "ZYX" if letter in axes)
    ordered = lazy_array(array).transpose(places)
    limits = [_limits(plane) for plane in _planes(ordered)]
    low = min((low for low, _ in limits), default=0.0)
    high = max((high for _, high in limits), default=0.0)
    if order == "TZYX" and dtype.kind == "i":
        _check_ids(array.dtype, low, high, Path(path).name)
    _check_range(dtype, array.dtype, (low, high), Path(path).name)
    converted = (plane.astype(dtype) for plane in _planes(ordered))
    axes = "".join(axes[i] for i in places)
    with atomic_path(path) as temporary:
        write_tiff(
            temporary, converted, ordered.shape, dtype, axes, spacing, (low, high)
        )


def _planes(array: Array | da.Array) -> Iterator[Array]:
    """Yield the planes of shape (row, column), last leading axis fastest."""
    for index in np.ndindex(*array.shape[:-2]):
        yield np.asarray(array[index])


def _limits(plane: Array) -> tuple[float, float]:
    """Return the smallest and largest value; zeros for an empty plane."""
    if plane.size == 0:
        return 0.0, 0.0
    return float(plane.min()), float(plane.max())


def _as_ids(array: Array, name: str) -> Array:
    low, high = _limits(array)
    kind = np.dtype(np.int64) if array.dtype.kind == "f" else array.dtype
    _check_ids(kind, low, high, name)
    return array.astype(np.int32)


def _check_ids(dtype: np.dtype[Any], low: float, high: float, name: str) -> None:
    """Raise unless the values fit instance ids in int32."""
    if dtype.kind not in "bui" or low < 0 or high > np.iinfo(np.int32).max:
        raise LabelsError(
            f"{name} does not hold instance ids",
            f"dtype {dtype}, values {low:g} to {high:g}",
            "Labels are whole numbers from 0 (background) to 2147483647.",
        )


def _check_range(
    dtype: np.dtype[Any], of: np.dtype[Any], limits: tuple[float, float], name: str
) -> None:
    """Raise where integers would wrap around in the type they are stored as."""
    if dtype.kind not in "iu" or of.kind not in "iu":
        return
    info = np.iinfo(dtype)
    if limits[0] < info.min or limits[1] > info.max:
        raise ImageError(
            f"{name} cannot hold so large numbers",
            f"{of} from {limits[0]:g} to {limits[1]:g}",
            "Convert the image to float32.",
        )


def _read_picture(path: Path) -> ImageData:
    """Read a PNG, JPEG or BMP; transparency is dropped, colour tables resolved."""
    from PIL import Image  # not needed for TIFF, which is the rule

    try:
        with Image.open(path) as picture:
            mode = _PILLOW_MODES.get(picture.mode, picture.mode)
            array = np.asarray(picture.convert(mode))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FormatError(
            f"cannot read {path.name} as a picture",
            str(error) or type(error).__name__,
            "Open it in ImageJ and save it as TIFF.",
        ) from error
    return ImageData(array, "YX" if array.ndim == 2 else "YXC", None)


_STORED_AS = {
    "bool": "uint8",
    "int8": "int16",
    "int64": "int32",
    "uint64": "uint32",
    "float16": "float32",
}
"""Types that ImageJ does not read, and the next that it does."""

_PILLOW_MODES = {"LA": "L", "PA": "RGB", "P": "RGB", "RGBA": "RGB", "CMYK": "RGB"}
