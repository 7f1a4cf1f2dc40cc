"""What every reader returns: an array that knows its axes and its voxel size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import dask.array as da

Array = NDArray[np.generic]
"""An image or labels array of any integer or float dtype."""

_UNITS_UM = {
    "angstrom": 1e-4,
    "å": 1e-4,
    "pm": 1e-6,
    "picometer": 1e-6,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "micron": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "inch": 25400.0,
}


class ImageData(NamedTuple):
    """An image as read from a file."""

    array: Array | da.Array
    """The values; a dask array or a memory map where the file is large."""

    axes: str
    """One letter of T, C, Z, Y, X per dimension, in the order of the array."""

    spacing: tuple[float, ...] | None
    """Voxel size in um for each of Z, Y, X in `axes`, in that order; None = unknown."""


def unit_in_um(unit: str) -> float | None:
    """Length of a unit in micrometres.

    Parameters
    ----------
    unit : str
        A name as ImageJ, OME or OME-Zarr write it, e.g. ``"nm"`` or ``"micron"``.

    Returns
    -------
    float or None
        None where the name is not a unit of length, e.g. ``"pixel"``.
    """
    # ImageJ escapes the micro sign, and there are two of them in Unicode.
    name = unit.strip().replace("\\u00B5", "u").replace("\\u00b5", "u")
    name = name.replace("\u00b5", "u").replace("\u03bc", "u").lower()
    if name not in _UNITS_UM and len(name) > 2 and name.endswith("s"):
        name = name[:-1]
    return _UNITS_UM.get(name.replace("metre", "meter"))


def spacing_axes(axes: str) -> str:
    """Return the letters of `axes` that have a voxel size: Z, Y and X."""
    return "".join(letter for letter in axes if letter in "ZYX")


def lazy_array(array: Any) -> Any:
    """Return an array on disk as dask knows it; arrays in memory are themselves."""
    if hasattr(array, "transpose"):
        return array
    import dask.array as da  # slow to import, and seldom needed

    return da.from_array(array, getattr(array, "chunks", None) or "auto")
