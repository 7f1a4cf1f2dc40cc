"""TIFF pairs: the data set of this program, or any folder of images and labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.dataset import add_items
from napari_seg.data.dataset_index import INDEX
from napari_seg.data.dataset_reading import read_items
from napari_seg.data.formats.files import new_folder
from napari_seg.data.io import read_image, read_labels
from napari_seg.data.pairing import paired_files
from napari_seg.data.provenance import Provenance

if TYPE_CHECKING:
    from napari_seg.imaging.weightmap import BorderWeights

SIDES = ("train", "val")


def write_pairs(
    items: Iterable[AnnotatedImage], out: Path, *, weights: BorderWeights | None = None
) -> None:
    """Add images and labels to a data set, which is begun if it is not there.

    Parameters
    ----------
    items : iterable of AnnotatedImage
        Each must have an image.
    out : pathlib.Path
        The folder.
    weights : BorderWeights, optional
        If given, border weights are written beside.
    """
    if (out / INDEX).exists():
        add_items(out, items, weights=weights)
        return
    with new_folder(out) as folder:
        add_items(folder, items, weights=weights)


def read_pairs(path: Path, images: Path | None = None) -> Iterator[AnnotatedImage]:
    """Read a data set, or a folder of pairs, perhaps with ``train/`` and ``val/``.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    images : pathlib.Path, optional
        Not used: images are beside their labels.
    """
    del images
    if (path / INDEX).is_file():
        yield from read_items(path)
        return
    sides = [side for side in SIDES if (path / side).is_dir()]
    for side in sides or [""]:
        for image_file, labels_file in paired_files(path / side):
            image = read_image(image_file)
            yield AnnotatedImage(
                image_file.stem if not side else f"{side}_{image_file.stem}",
                np.asarray(read_labels(labels_file).array),
                image.axes,
                image.array,
                image.spacing,
                split=side,
                provenance=Provenance(source=str(image_file)),
            )
