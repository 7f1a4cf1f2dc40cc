"""Masks of one open image, from a file of any format."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.data.formats.overlaps import REFUSE, resolving
from napari_seg.data.formats.registry import FORMATS, find_format
from napari_seg.data.io import READABLE_SUFFIXES, read_labels, write_labels
from napari_seg.errors import FormatError, LabelsError
from napari_seg.imaging.axes import spatial_axes, spatial_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.data.annotated import AnnotatedImage

_NEEDS_IMAGE = ("imagej-roi", "yolo-seg")


@dataclass(frozen=True)
class Imported:
    """Masks that fit an image."""

    labels: NDArray[np.int32]
    """With the axes of the image without C."""
    format: str
    """Where they come from."""
    count: int
    """Objects."""
    contested: int = 0
    """Pixels that two objects of the file claimed."""


@dataclass(frozen=True)
class Merged:
    """Masks added to labels that were there; nothing of those is changed."""

    labels: NDArray[np.integer]
    """In the type of those that were there."""
    renumbered: int = 0
    """Objects whose id was taken, and which got the next free one."""
    hidden: int = 0
    """Pixels of the new objects that belong to old ones, and stay theirs."""


def import_masks(
    path: str | Path,
    name: str,
    axes: str,
    shape: tuple[int, ...],
    overlaps: str = REFUSE,
) -> Imported:
    """Read the masks of one image.

    Parameters
    ----------
    path : path-like
        Labels as TIFF or PNG, or any format of `FORMATS`.
    name : str
        Of the image: a file of many images is searched for it.
    axes, shape : str, tuple of int
        Of the image.
    overlaps : str
        What to do where objects overlap.

    Raises
    ------
    FormatError
        If the masks are of another shape (both are named), of another image, or the
        file cannot be read. `OverlapError` if objects overlap and that is refused.
    """
    file = Path(path)
    letters, expected = spatial_axes(axes), spatial_shape(axes, shape)
    is_labels = file.suffix.lower() in READABLE_SUFFIXES and file.suffix != ".zarr"
    if is_labels:
        labels = _fitting(read_labels(file).array, file, expected)
        return Imported(labels, "labels", _count(labels))
    kind = find_format(file).name
    with resolving(overlaps) as found, tempfile.TemporaryDirectory() as folder:
        images = None
        if kind in _NEEDS_IMAGE:
            # These formats learn the size from the image, which is open already.
            images = Path(folder)
            blank = np.zeros(expected, np.int32)
            write_labels(images / f"{file.stem}.tif", blank, letters)
        items = list(FORMATS[kind].read(file, images))
        item = _chosen(items, name, file)
        labels = _fitting(item.labels, file, expected)
        return Imported(labels, kind, _count(labels), found.contested)


def merge_masks(old: NDArray[np.integer], new: NDArray[np.int32]) -> Merged:
    """Add masks to labels; old objects keep every pixel and their ids."""
    taken = np.unique(old[old > 0])
    ids = np.unique(new[new > 0])
    clashing = np.intersect1d(ids, taken)
    top = int(max(taken.max(initial=0), ids.max(initial=0))) + len(clashing)
    largest = int(np.iinfo(old.dtype).max)
    if top > largest:
        raise LabelsError(
            "the labels cannot hold the ids of the masks",
            f"{old.dtype} ends at {largest}, {top} is needed",
            "Convert the labels layer to int32, or import the masks as a new layer.",
        )
    given = ids.astype(np.int64)
    given[np.isin(ids, clashing)] = np.arange(top - len(clashing) + 1, top + 1)
    covered = (old > 0) & (new > 0)
    merged = old.copy()
    free = (old == 0) & (new > 0)
    merged[free] = given[np.searchsorted(ids, new[free])]
    return Merged(merged, len(clashing), int(np.count_nonzero(covered)))


def _count(labels: NDArray[np.int32]) -> int:
    return int(np.count_nonzero(np.unique(labels) > 0))


def _chosen(items: list[AnnotatedImage], name: str, file: Path) -> AnnotatedImage:
    named = [item for item in items if item.name in (name, Path(name).stem)]
    chosen = named or (items if len(items) == 1 else [])
    if not chosen:
        known = ", ".join(item.name for item in items[:5])
        raise FormatError(
            f"{file.name} has no masks of the image {name}",
            f"those of {known}" if items else "no image at all",
            "Give the layer of the image the name it has in the file.",
        )
    return chosen[0]


def _fitting(
    labels: NDArray[np.generic] | object, file: Path, expected: tuple[int, ...]
) -> NDArray[np.int32]:
    array = np.asarray(labels, np.int32)
    if array.shape != expected:
        raise FormatError(
            f"the masks of {file.name} are not of this image",
            f"masks {array.shape}, image {expected}",
            "Select the image that they were made for.",
        )
    return array
