"""Labels of an item of a data set, written again as they are being corrected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.data.dataset import add_items, stage_item
from napari_seg.data.dataset_index import (
    INDEX,
    DatasetItem,
    array_sha256,
    locked,
    read_index,
    write_index,
)
from napari_seg.data.io import read_image, read_labels, write_labels
from napari_seg.data.limits import inside
from napari_seg.errors import DatasetError

if TYPE_CHECKING:
    from napari_seg.data.annotated import AnnotatedImage


def save_item(folder: str | Path, item: AnnotatedImage) -> DatasetItem:
    """Add an image with its labels, or write new labels for one that is there.

    Parameters
    ----------
    folder : path-like
        The data set; it is begun if it is not there.
    item : AnnotatedImage
        Under its name. The image of an item that is there is not written again.

    Returns
    -------
    DatasetItem
        As it is in the index now.

    Raises
    ------
    DatasetError
        If the labels do not fit the image that is there under this name.
    FormatError
        If the folder cannot be written to.

    Notes
    -----
    The labels are written beside the old ones, and renamed over them. A program that
    is killed between that and the index leaves whole labels, and `check_dataset` says
    that they are newer than the index.
    """
    folder = Path(folder)
    known = read_index(folder) if (folder / INDEX).exists() else []
    old = next((one for one in known if one.name == item.name), None)
    if old is None:
        return add_items(folder, [item])[0]
    new = stage_item(item)
    with locked(folder):
        # Labels and index together: of two writers one comes after the other.
        return _write_again(folder, old, item, new)


def _write_again(
    folder: Path, old: DatasetItem, item: AnnotatedImage, new: DatasetItem
) -> DatasetItem:
    target = inside(folder, old.labels)
    if target.exists():
        _check_fits(folder, old, item)
    write_labels(target, item.labels, item.label_axes, item.spacing)
    stored = read_labels(target)
    entry = replace(
        new,
        name=old.name,
        image=old.image,
        labels=old.labels,
        split=old.split,
        group=old.group,
        axes=old.axes,
        spacing_um=old.spacing_um,
        channels=old.channels,
        image_sha256=old.image_sha256,
        labels_sha256=array_sha256(np.asarray(stored.array)),
    )
    # Read anew: somebody may have added items meanwhile.
    items = [entry if one.name == item.name else one for one in read_index(folder)]
    write_index(folder, items)
    return entry


def _check_fits(folder: Path, old: DatasetItem, item: AnnotatedImage) -> None:
    stored = read_image(inside(folder, old.labels)).array
    if sorted(stored.shape) != sorted(item.labels.shape):
        raise DatasetError(
            f"the labels do not fit the image that {folder} has as {item.name}",
            f"labels {tuple(item.labels.shape)}, there {tuple(stored.shape)}",
            "Nothing was written: choose another folder for the labels.",
        )
