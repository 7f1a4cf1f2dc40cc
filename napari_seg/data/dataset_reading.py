"""A data set read back, one image at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.dataset_index import read_index
from napari_seg.data.io import read_image, read_labels
from napari_seg.data.limits import inside
from napari_seg.imaging.axes import iter_planes, plane_selection, spatial_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.data.dataset_index import DatasetItem


def read_items(folder: str | Path) -> Iterator[AnnotatedImage]:
    """Read a data set, one image at a time.

    Yields
    ------
    AnnotatedImage
        Objects that are not to be learnt from are `ignored`.

    Raises
    ------
    DatasetError, FormatError
        If the index or a file of it cannot be read.
    """
    folder = Path(folder)
    for item in read_index(folder):
        image = read_image(inside(folder, item.image))
        labels = read_labels(inside(folder, item.labels)).array
        yield AnnotatedImage(
            item.name,
            np.asarray(labels, np.int32),
            image.axes,
            image.array,
            image.spacing,
            channels=item.channels,
            states=item.states,
            classes=item.classes,
            scores=item.scores,
            uncertainties=item.uncertainties,
            ignored=_ignored(item, np.asarray(labels), image.axes),
            group=item.group,
            split=item.split or "",
            provenance=item.provenance,
        )


def _ignored(item: DatasetItem, labels: NDArray[np.int32], axes: str) -> frozenset[int]:
    """Objects that are neither correct themselves nor in a correct plane."""
    if item.correct_ids is None and item.correct_planes is None:
        return frozenset()
    correct = set(item.correct_ids or ())
    planes = iter_planes(spatial_axes(axes), labels.shape)
    for number, plane in enumerate(planes):
        if number in (item.correct_planes or ()):
            shown = labels[plane_selection(spatial_axes(axes), plane)]
            correct |= set(np.unique(shown).tolist())
    return frozenset(np.unique(labels).tolist()) - correct - {0}
