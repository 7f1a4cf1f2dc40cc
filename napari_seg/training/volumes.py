"""Whole frames of stacks to learn from, in memory or read patch by patch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.errors import DatasetError
from napari_seg.imaging.axes import PlaneIndex, axis_size, spacing_by_axis
from napari_seg.training.checked import IGNORED
from napari_seg.training.lazy import LabelsReader, scan_plane, thin
from napari_seg.training.pairs import (
    Spots,
    TrainingPair,
    TrainingPlane,
    Window,
    dense_ids,
    median_diameter,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.inference.reader import ImageReader


_NOWHERE = np.zeros((0, 3), np.int32)


@dataclass(frozen=True)
class LazyVolume:
    """One frame of a large stack with its labels; holds a few positions only."""

    name: str
    """File stem or layer, and the frame's number."""
    source: str
    """What it came from."""
    reader: ImageReader
    """Reads the image."""
    labels: LabelsReader
    """Reads the labels."""
    t: int
    """Which frame."""
    diameter_px: float = 0.0
    """Median object diameter within planes; 0 without objects."""
    z_aspect: float | None = None
    """Distance of planes over that of pixels; None if it is not known."""
    spots: Spots = field(default_factory=lambda: Spots(_NOWHERE, _NOWHERE))
    """Where patches may be centred."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows and columns."""
        return (self.reader.depth, *self.reader.plane_shape)

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return self.reader.in_channels

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Image (C, planes, rows, columns) and ids of a window."""
        planes, *inner = window
        rows, columns = inner
        numbers = range(planes.start, planes.stop)
        image = [
            self.reader.read_uncached(PlaneIndex(self.t, z), (rows, columns))
            for z in numbers
        ]
        ids = [self._ids(z, (rows, columns)) for z in numbers]
        return np.stack(image, axis=1), dense_ids(np.stack(ids))

    def _ids(self, z: int, window: tuple[slice, slice]) -> NDArray[np.int32]:
        number = self.t * self.reader.depth + z
        if self.labels.checked.uses_plane(number):
            return self.labels.read(PlaneIndex(self.t, z), number, window)
        shape = [part.stop - part.start for part in window]
        return np.full(shape, IGNORED, np.int32)


def iter_volumes(
    name: str,
    group: str,
    reader: ImageReader,
    labels: LabelsReader,
    spacing: tuple[float, ...] | None,
    *,
    lazy: bool,
) -> Iterator[TrainingPlane | None]:
    """Yield one volume a frame; None where nothing counts.

    Raises
    ------
    DatasetError
        If the image is no stack.
    """
    if "Z" not in reader.axes:
        raise DatasetError(
            f"{name} is no stack, and volumes are to be learnt",
            f"axes {reader.axes}, shape {tuple(reader.image.shape)}",
            "Train in two dimensions, or take out what is no stack.",
        )
    frames = axis_size(reader.axes, reader.image.shape, "T")
    for t in range(frames):
        reader.range_of(t)  # now, not in whichever thread reads first
        own = name if frames == 1 else f"{name}-{t:04d}"
        aspect = _aspect(reader, spacing)
        volume = LazyVolume(own, group, reader, labels, t, z_aspect=aspect)
        yield _scanned(volume) if lazy else _held(volume)


def _aspect(reader: ImageReader, spacing: tuple[float, ...] | None) -> float | None:
    if spacing is None:
        return None
    by_axis = spacing_by_axis(reader.axes, spacing)
    return by_axis["Z"] / float(np.sqrt(by_axis["Y"] * by_axis["X"]))


def _held(volume: LazyVolume) -> TrainingPair | None:
    image, ids = volume.read(tuple(slice(0, n) for n in volume.shape))
    if not (ids != IGNORED).any():
        return None
    diameter = median_diameter(ids)
    origin = volume.source, volume.z_aspect
    return TrainingPair(volume.name, image, ids, diameter, *origin)


def _scanned(volume: LazyVolume) -> LazyVolume | None:
    depth, rows, columns = volume.shape
    objects, background, diameters = [], [], []
    for z in range(depth):
        number = volume.t * depth + z
        if not volume.labels.checked.uses_plane(number):
            continue
        where = PlaneIndex(volume.t, z), number, (rows, columns)
        diameter, spots = scan_plane(volume.labels, *where)
        diameters.append(diameter)
        objects.append(_at(z, spots.objects))
        background.append(_at(z, spots.background))
    rng = np.random.default_rng(volume.t)
    found = Spots(
        thin(np.concatenate([_NOWHERE, *objects]), rng),
        thin(np.concatenate([_NOWHERE, *background]), rng),
    )
    if not len(found.objects) + len(found.background):
        return None
    known = [diameter for diameter in diameters if diameter > 0]
    diameter = float(np.median(known)) if known else 0.0
    return replace(volume, diameter_px=diameter, spots=found)


def _at(z: int, places: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.insert(places, 0, z, axis=1)
