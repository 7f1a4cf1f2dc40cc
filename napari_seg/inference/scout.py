"""A look at a small, busy part of an image at one zoom: how large are the objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seg.imaging.axes import PlaneIndex, iter_planes
from napari_seg.imaging.tiling import mirror_index
from napari_seg.inference.view import LOOK_PLANES, PlaneView, view_plane

if TYPE_CHECKING:
    from napari_seg.inference.detector import Detector
    from napari_seg.inference.predictor import Predictor
    from napari_seg.inference.reader import ImageReader
    from napari_seg.models.card import Card

_PART_PX = 256
_PLANES = 3
_OVERVIEW_PX = 256
_LEAST_SIDE = 0.6  # of the trained diameter: below it no object fits the image
_SMALLEST = 0.25  # of the trained diameter: below it a find is dirt


@dataclass(frozen=True)
class Sighting:
    """What was found at one zoom.

    Parameters
    ----------
    zoom : float
        Network pixels per image pixel.
    diameter_px : float
        Median object diameter in image pixels; nan without objects.
    count : int
        Whole objects found.
    confidence : float
        0..1: how decided the network was about them.
    """

    zoom: float
    diameter_px: float
    count: int
    confidence: float


def best_sighting(sightings: Sequence[Sighting], trained_px: float) -> Sighting | None:
    """Return the sighting in which the objects look most like those of the training.

    Parameters
    ----------
    sightings : sequence of Sighting
        From any zooms.
    trained_px : float
        Object diameter of the training.

    Returns
    -------
    Sighting or None
        None if nothing was found.
    """
    found = [s for s in sightings if s.count]
    if not found:
        return None
    return max(found, key=lambda s: _score(s, trained_px))


def _score(sighting: Sighting, trained_px: float) -> float:
    octaves = math.log2(sighting.diameter_px * sighting.zoom / trained_px)
    # Tuned on fluorescence nuclei enlarged and reduced: at a wrong zoom the network
    # finds pieces of the right size, but is undecided about them.
    return sighting.confidence**2 * math.exp(-0.5 * (octaves / 0.8) ** 2)


@dataclass(frozen=True)
class _Part:
    """A window of a plane, read as if it were the plane."""

    view: PlaneView
    window: tuple[slice, slice]

    def read(self, window: tuple[slice, ...]) -> NDArray[np.float32]:
        *planes, rows, columns = window
        moved = tuple(
            slice(s.start + w.start, s.stop + w.start)
            for s, w in zip((rows, columns), self.window, strict=True)
        )
        if not planes:
            return self.view.read(moved)
        return self._slab(planes[0], moved)

    def _slab(self, planes: slice, window: tuple[slice, ...]) -> NDArray[np.float32]:
        """Return planes, numbered so that the plane itself is in the middle."""
        reader, plane = self.view.reader, self.view.plane
        first = plane.z - LOOK_PLANES // 2
        index = mirror_index(planes.start + first, planes.stop + first, reader.depth)
        read = {
            z: replace(self.view, plane=PlaneIndex(plane.t, z), is_alone=False).read(
                window
            )
            for z in set(index.tolist())
        }
        return np.stack([read[z] for z in index.tolist()], axis=1)


class Scout:
    """Looks at parts of an image.

    Parameters
    ----------
    reader : ImageReader
        The image.
    predictor : Predictor or Detector
        The network.
    card : Card
        Classes, thresholds, trained diameter.
    """

    def __init__(
        self, reader: ImageReader, predictor: Predictor | Detector, card: Card
    ) -> None:
        self._reader = reader
        self._predictor = predictor
        self._card = card
        planes = list(iter_planes(reader.axes, reader.image.shape))
        chosen = _spread(planes, _PLANES)
        overviews = {p: _activity(reader.overview(p, _OVERVIEW_PX)) for p in chosen}
        # The busiest planes first: the first and last of a stack are often empty.
        self._activity = dict(
            sorted(overviews.items(), key=lambda item: -float(item[1].mean()))
        )

    def is_worthwhile(self, zoom: float) -> bool:
        """Whether an object of the trained size could fit into the image."""
        least = _LEAST_SIDE * self._card.object_diameter_px
        return zoom == 1 or min(self._reader.plane_shape) * zoom >= least

    def look(self, zoom: float, parts: int = 1) -> Sighting:
        """Segment one part of each of a few planes at a zoom.

        Parameters
        ----------
        zoom : float
            Network pixels per image pixel.
        parts : int, optional
            Planes to look at.

        Returns
        -------
        Sighting
        """
        diameters: list[float] = []
        certainties: list[float] = []
        for plane, activity in list(self._activity.items())[:parts]:
            view = view_plane(self._reader, plane, zoom)
            window = _busiest(activity, view.shape)
            shape = (window[0].stop - window[0].start, window[1].stop - window[1].start)
            part = _Part(view, window)
            labels, certainty = self._predictor.look(part, shape, self._card)
            sizes, certain = self._measure(labels, certainty)
            diameters += sizes
            certainties += certain
        if not diameters:
            return Sighting(zoom, math.nan, 0, 0.0)
        return Sighting(
            zoom,
            float(np.median(diameters)) / zoom,
            len(diameters),
            float(np.mean(certainties)),
        )

    def _measure(
        self, labels: NDArray[np.int32], certainty: NDArray[np.float32]
    ) -> tuple[list[float], list[float]]:
        """Return diameters (network pixels) and certainties of the whole objects."""
        areas = np.bincount(labels.ravel()).astype(float)
        diameters = np.sqrt(4 * areas / math.pi)
        is_whole = diameters > _SMALLEST * self._card.object_diameter_px
        is_whole[0] = False
        is_whole[_cut_ids(labels)] = False
        sums = np.bincount(labels.ravel(), certainty.ravel(), len(areas))
        means = sums / np.maximum(areas, 1)
        return diameters[is_whole].tolist(), means[is_whole].tolist()


def _cut_ids(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the ids that touch a side of the window."""
    sides = [labels[0], labels[-1], labels[:, 0], labels[:, -1]]
    return np.unique(np.concatenate(sides))


def _activity(overview: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much the grey value changes around each pixel of an overview."""
    smooth = ndimage.gaussian_filter(overview.mean(axis=0), 1)
    return np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1))


def _busiest(
    activity: NDArray[np.float32], shape: tuple[int, int]
) -> tuple[slice, slice]:
    """Return the window of a plane with the most activity."""
    ratios = [n / a for n, a in zip(shape, activity.shape, strict=True)]
    sides = [min(_PART_PX, n) for n in shape]
    cover = [max(1, round(s / r)) for s, r in zip(sides, ratios, strict=True)]
    # Zero beyond the image: a window half outside of it sees half as much.
    density = ndimage.uniform_filter(activity, cover, mode="constant")
    peak = np.unravel_index(int(density.argmax()), density.shape)
    rows, columns = (
        _clamped((float(p) + 0.5) * r, side, n)
        for p, r, side, n in zip(peak, ratios, sides, shape, strict=True)
    )
    return rows, columns


def _clamped(centre: float, side: int, size: int) -> slice:
    start = min(max(0, round(centre - side / 2)), size - side)
    return slice(start, start + side)


def _spread(planes: Sequence[PlaneIndex], count: int) -> list[PlaneIndex]:
    """Return a few planes spread evenly over a stack."""
    count = min(count, len(planes))
    return [planes[(2 * i + 1) * len(planes) // (2 * count)] for i in range(count)]
