"""Training data of all kinds: open layers, folders of pairs, exported data sets."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.data.io import read_image, read_labels
from napari_seg.errors import DatasetError, ImageError
from napari_seg.imaging.axes import (
    axis_size,
    guess_axes,
    iter_planes,
    spatial_axes,
    spatial_shape,
)
from napari_seg.inference.reader import ImageReader, open_image
from napari_seg.training.checked import IGNORED, Checked
from napari_seg.training.lazy import LabelsReader, LazyPlane, scan_plane
from napari_seg.training.pairs import (
    TrainingPair,
    TrainingPlane,
    dense_ids,
    median_diameter,
)
from napari_seg.training.volumes import iter_volumes
from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.imaging.normalise import Normalisation
    from napari_seg.training.stuff import StuffClass

IN_MEMORY_BYTES = 256 * 2**20
"""Sources that would take more, normalised, are read patch by patch."""


@dataclass(frozen=True)
class ArraySource:
    """An image with labels, e.g. two open layers; neither is copied or changed."""

    image: Any
    """NumPy, memory-mapped, dask or zarr array, 2D to 5D, any real dtype."""
    labels: Any
    """Ids in the image's shape without channels; 0 is background, -1 unknown."""
    name: str = "layer"
    """Name in messages and of the planes."""
    axes: str | None = None
    """Axes of the image, letters of TCZYX; guessed if None."""
    checked: Checked | None = None
    """What of the labels is correct; None: all."""
    group: str = ""
    """Sources of one group stay on one side of a split; the name if empty."""
    for_validation: bool | None = None
    """Whether it is for validation; None leaves it to the split."""
    origin: str = ""
    """Files it was read from, for messages."""
    semantic: Any = None
    """Values of classes beside the objects, in the shape of the labels."""
    spacing: tuple[float, ...] | None = None
    """Distance between pixels along each of Z, Y, X the image has; None if unknown."""

    @property
    def key(self) -> str:
        """Name of the group: what has the same never parts company in a split."""
        return self.group or self.name


@dataclass(frozen=True)
class FileSource:
    """A pair of files, opened when its turn comes."""

    image: Path
    """Image file or Zarr folder."""
    labels: Path
    """Labels file or Zarr folder."""
    group: str = ""
    """As for `ArraySource`; the image's path if empty."""
    for_validation: bool | None = None
    """As for `ArraySource`."""
    checked: Checked | None = None
    """As for `ArraySource`."""
    semantic: Path | None = None
    """File with the classes beside the objects."""

    @property
    def key(self) -> str:
        """As for `ArraySource`."""
        return self.group or str(self.image)

    def open(self) -> ArraySource:
        """Read both, lazily where they are large."""
        image = read_image(self.image)
        # Labels saved as floats are put right, but only in memory.
        in_memory = isinstance(image.array, np.ndarray)
        labels = (read_labels if in_memory else read_image)(self.labels)
        return ArraySource(
            image.array,
            labels.array,
            self.image.stem,
            image.axes,
            self.checked,
            self.key,
            self.for_validation,
            f"{self.labels} and {self.image}",
            None if self.semantic is None else read_image(self.semantic).array,
            image.spacing,
        )


Source = ArraySource | FileSource


@dataclass(frozen=True)
class Reading:
    """How sources are read."""

    in_channels: int | None = None
    """Channels of the network; None takes those of the first image."""
    normalisation: Normalisation | None = None
    """Percentiles that become 0 and 1."""
    stuff: tuple[StuffClass, ...] = ()
    """Classes beside the objects."""
    volumes: bool = False
    """Whether frames of stacks are learnt from as a whole, and not plane by plane."""
    in_memory_bytes: int = IN_MEMORY_BYTES
    """Larger sources are read patch by patch."""


def iter_read(
    sources: Sequence[Source], reading: Reading
) -> Generator[Progress, None, list[TrainingPlane]]:
    """Read sources one after the other.

    Yields
    ------
    Progress
        Stage ``"load"``, one step a source, and between the planes of large ones.

    Returns
    -------
    list of TrainingPlane
        Stacks give one a plane, or one a frame; where nothing counts it is left out.

    Raises
    ------
    DatasetError
        If a pair does not fit; it is named.
    """
    planes: list[TrainingPlane] = []
    for number, source in enumerate(sources):
        yield Progress("load", number, len(sources))
        opened = source.open() if isinstance(source, FileSource) else source
        if reading.in_channels is None:
            reading = replace(reading, in_channels=_channels(opened))
        for plane in _planes(opened, reading):
            yield Progress("load", number, len(sources), message=opened.name)
            if plane is not None:
                planes.append(plane)
    yield Progress("load", len(sources), len(sources))
    return planes


def marked_sides(sources: Sequence[Source]) -> dict[str, bool]:
    """Side of each group that was chosen beforehand: True is validation.

    Raises
    ------
    DatasetError
        If parts of one group were put on both sides.
    """
    sides: dict[str, bool] = {}
    for source in sources:
        if source.for_validation is None:
            continue
        if sides.setdefault(source.key, source.for_validation) != source.for_validation:
            raise DatasetError(
                f"{source.key} is in the training and in the validation set",
                remedy="Keep everything that comes from one stack on one side.",
            )
    return sides


def _channels(source: ArraySource) -> int:
    shape = tuple(source.image.shape)
    return axis_size(source.axes or guess_axes(shape), shape, "C")


def _planes(source: ArraySource, reading: Reading) -> Iterator[TrainingPlane | None]:
    channels = reading.in_channels or 1
    reader = _open(source, channels, reading.normalisation)
    checked = source.checked or Checked()
    semantic = _semantic(source) if reading.stuff else None
    axes = spatial_axes(reader.axes)
    labels = LabelsReader(source.labels, axes, checked, semantic, reading.stuff)
    shape = spatial_shape(reader.axes, reader.image.shape)
    lazy = 4 * (channels + 1) * int(np.prod(shape)) > reading.in_memory_bytes
    whole = (slice(0, reader.plane_shape[0]), slice(0, reader.plane_shape[1]))
    group = source.key
    if reading.volumes:
        name, spacing = source.name, source.spacing
        yield from iter_volumes(name, group, reader, labels, spacing, lazy=lazy)
        return
    count = int(np.prod(shape)) // (whole[0].stop * whole[1].stop)
    for number, plane in enumerate(iter_planes(labels.axes, shape)):
        reader.range_of(plane.t)  # now, not in whichever thread reads first
        name = source.name if count == 1 else f"{source.name}-{number:04d}"
        if not checked.uses_plane(number):
            yield None
        elif lazy:
            diameter, spots = scan_plane(labels, plane, number, reader.plane_shape)
            known = len(spots.objects) + len(spots.background) > 0
            yield (
                LazyPlane(name, group, diameter, spots, reader, labels, plane, number)
                if known
                else None
            )
        else:
            ids = dense_ids(labels.read(plane, number, whole))
            image = reader.read_uncached(plane, whole)
            known = bool((ids != IGNORED).any())
            diameter = median_diameter(ids)
            yield TrainingPair(name, image, ids, diameter, group) if known else None


def _semantic(source: ArraySource) -> Any:
    name = source.origin or source.name
    if source.semantic is None:
        raise DatasetError(
            f"{name} does not say where the classes beside the objects are",
            "no file of that name in semantic/",
            "Put one beside images/ and labels/, or train without these classes.",
        )
    if tuple(source.semantic.shape) != tuple(source.labels.shape):
        raise DatasetError(
            f"The classes of {name} do not fit its labels",
            f"classes {tuple(source.semantic.shape)}, labels "
            f"{tuple(source.labels.shape)}",
            "They must have the same shape.",
        )
    return source.semantic


def _open(
    source: ArraySource, channels: int, normalisation: Normalisation | None
) -> ImageReader:
    try:
        reader = open_image(
            source.image,
            source.axes,
            in_channels=channels,
            normalisation=normalisation,
        )
    except ImageError as error:
        raise DatasetError(
            f"{source.origin or source.name} cannot be trained on: {error.problem}",
            error.found,
            error.remedy,
        ) from error
    _check(source, reader)
    return reader


def _check(source: ArraySource, reader: ImageReader) -> None:
    dtype = np.dtype(source.labels.dtype)
    name = source.origin or source.name
    if dtype.kind not in "iub":
        raise DatasetError(
            f"The labels of {name} are not whole numbers",
            f"dtype {dtype}",
            "Labels are integer ids, 0 is background.",
        )
    expected = spatial_shape(reader.axes, reader.image.shape)
    if tuple(source.labels.shape) != expected:
        raise DatasetError(
            f"The labels of {name} do not fit its image",
            f"labels {tuple(source.labels.shape)}, image {tuple(reader.image.shape)} "
            f"({reader.axes})",
            "Labels must have the image's shape without channels.",
        )
