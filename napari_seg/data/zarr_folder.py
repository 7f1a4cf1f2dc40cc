"""Zarr arrays and OME-Zarr images, opened without reading their pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from napari_seg.data.image_data import ImageData, spacing_axes, unit_in_um
from napari_seg.errors import FormatError
from napari_seg.imaging.axes import guess_axes


def read_zarr(path: Path) -> ImageData:
    """Open a Zarr array or the full-resolution level of an OME-Zarr image.

    Parameters
    ----------
    path : pathlib.Path
        The folder.

    Returns
    -------
    ImageData
        A dask array, its axes and its spacing in um.
    """
    import dask.array as da  # slow to import, and only needed here

    found = open_zarr(path)
    return ImageData(da.from_zarr(found.arrays[0]), found.axes, found.spacing)


class ZarrImage(NamedTuple):
    """An image in a Zarr folder, as Zarr itself gives it."""

    arrays: tuple[Any, ...]
    """Zarr arrays of all levels, the finest first."""
    axes: str
    """One letter of T, C, Z, Y, X per dimension."""
    spacing: tuple[float, ...] | None
    """Voxel size of the finest in um for each of Z, Y, X, in that order."""


def open_zarr(path: Path) -> ZarrImage:
    """Open a Zarr array, or all levels of an OME-Zarr image.

    Raises
    ------
    FormatError
        If there is none.
    """
    import zarr

    try:
        node = zarr.open(path, mode="r")
        if isinstance(node, zarr.Array):
            axes = guess_axes(node.shape, names=_dimension_names(node))
            return ZarrImage((node,), axes, None)
        image = _multiscales(node.attrs, path)
        arrays: tuple[Any, ...] = tuple(node[d["path"]] for d in image["datasets"])
        shape = arrays[0].shape
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise FormatError(
            f"cannot read {path.name} as Zarr",
            str(error) or type(error).__name__,
            "Give the folder of a Zarr array or of an OME-Zarr image.",
        ) from error
    described = image.get("axes", [])
    names = [str(a["name"] if isinstance(a, Mapping) else a) for a in described]
    axes = guess_axes(shape, names=names)
    return ZarrImage(arrays, axes, _spacing(image, axes))


def _dimension_names(array: Any) -> list[str] | None:
    """Return the names Zarr 3 or xarray give the axes of a bare array."""
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")
    return [str(name) for name in names] if names else None


def _multiscales(attributes: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the first image of the group (OME-Zarr 0.5 nests it under "ome")."""
    ome: Mapping[str, Any] = attributes.get("ome", attributes)
    if not ome.get("multiscales"):
        raise FormatError(
            f"{path.name} holds no OME-Zarr image",
            "a Zarr group without multiscales",
            "Give the folder of one image inside it.",
        )
    first: dict[str, Any] = ome["multiscales"][0]
    return first


def _spacing(level: Mapping[str, Any], axes: str) -> tuple[float, ...] | None:
    """Read the voxel size in um from the scale of the full-resolution level."""
    steps = level["datasets"][0].get("coordinateTransformations", [])
    scale = next((step["scale"] for step in steps if step.get("type") == "scale"), None)
    described = level.get("axes", [])
    if scale is None or len(scale) != len(axes) or len(described) != len(axes):
        return None
    sizes = {}
    for letter, factor, axis in zip(axes, scale, described, strict=True):
        unit = unit_in_um(str(axis.get("unit", "")) if isinstance(axis, dict) else "")
        if letter in "ZYX" and unit:
            sizes[letter] = float(factor) * unit
    wanted = spacing_axes(axes)
    return tuple(sizes[a] for a in wanted) if set(sizes) == set(wanted) else None
