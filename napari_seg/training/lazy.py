"""Planes of data that does not fit into memory: patches are read as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.imaging.axes import PlaneIndex, plane_selection
from napari_seg.training.pairs import (
    MAX_SPOTS,
    Spots,
    Window,
    areas_of,
    dense_ids,
    diameter_of,
)
from napari_seg.training.stuff import StuffClass, put_stuff

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.inference.reader import ImageReader
    from napari_seg.training.checked import Checked

SCAN_PX = 2048
"""Side of the blocks in which the labels of a plane are looked through once."""


@dataclass(frozen=True)
class LabelsReader:
    """Reads windows of labels, with what does not count as -1.

    Parameters
    ----------
    labels : array
        Ids with the image's axes but C; NumPy, memory-mapped, dask or zarr.
    axes : str
        Axes of the labels.
    checked : Checked
        What of them counts.
    semantic : array, optional
        Values of the classes beside the objects, in the shape of the labels.
    stuff : sequence of StuffClass, optional
        What these values mean.
    """

    labels: Any
    axes: str
    checked: Checked
    semantic: Any = None
    stuff: tuple[StuffClass, ...] = ()

    def read(
        self, plane: PlaneIndex, number: int, window: tuple[slice, ...]
    ) -> NDArray[np.int32]:
        """Ids of a window of plane `number`, shape (rows, columns).

        Below -1 lie classes beside the objects, see `put_stuff`.
        """
        index = plane_selection(self.axes, plane, window)
        mask = self.checked.mask
        part = None if mask is None else self._upright(mask[index]).astype(bool)
        ids = self.checked.apply(self._upright(self.labels[index]), number, part)
        if self.semantic is not None:
            put_stuff(ids, self._upright(self.semantic[index]), self.stuff)
        return ids

    def _upright(self, part: Any) -> NDArray[Any]:
        array = np.asarray(part)
        return array.T if self.axes.index("X") < self.axes.index("Y") else array


@dataclass(frozen=True)
class LazyPlane:
    """One plane of a large image with its labels; holds a few positions only."""

    name: str
    """File stem or layer, and the plane's number."""
    source: str
    """What it came from."""
    diameter_px: float
    """Median object diameter; 0 without objects."""
    spots: Spots
    """Where patches may be centred."""
    reader: ImageReader
    """Reads the image."""
    labels: LabelsReader
    """Reads the labels."""
    plane: PlaneIndex
    """Which plane."""
    number: int
    """Its number, T outermost."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.reader.plane_shape

    @property
    def z_aspect(self) -> None:
        """None: planes have no distance to learn."""
        return None

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return self.reader.in_channels

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Image (C, rows, columns) and ids (rows, columns) of a window."""
        rows, columns = window
        image = self.reader.read_uncached(self.plane, (rows, columns))
        ids = dense_ids(self.labels.read(self.plane, self.number, window))
        return image, ids


def scan_plane(
    labels: LabelsReader, plane: PlaneIndex, number: int, shape: tuple[int, int]
) -> tuple[float, Spots]:
    """Look through the labels of a plane once, block by block.

    Returns
    -------
    diameter_px : float
        Median object diameter; objects across blocks count once for each part.
    spots : Spots
        Where patches may be centred.
    """
    areas: list[NDArray[np.intp]] = [np.zeros(0, np.intp)]
    found: list[Spots] = []
    for rows, columns in _blocks(shape):
        ids = labels.read(plane, number, (rows, columns))
        areas.append(areas_of(ids))
        here = Spots.of(ids)
        origin = np.array([rows.start, columns.start], np.int32)
        found.append(Spots(here.objects + origin, here.background + origin))
    rng = np.random.default_rng(number)
    objects = thin(np.concatenate([spot.objects for spot in found]), rng)
    background = thin(np.concatenate([spot.background for spot in found]), rng)
    return diameter_of(np.concatenate(areas)), Spots(objects, background)


def _blocks(shape: tuple[int, int]) -> Iterator[Window]:
    for y in range(0, shape[0], SCAN_PX):
        for x in range(0, shape[1], SCAN_PX):
            yield (
                slice(y, min(y + SCAN_PX, shape[0])),
                slice(x, min(x + SCAN_PX, shape[1])),
            )


def thin(positions: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """At most `MAX_SPOTS` of the positions, drawn."""
    if len(positions) <= MAX_SPOTS:
        return positions
    return positions[rng.choice(len(positions), MAX_SPOTS, replace=False)]
