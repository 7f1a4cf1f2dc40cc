"""What to look at next: planes and objects by how unsure a model is of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import LabelsError
from napari_seg.imaging.axes import (
    PlaneIndex,
    guess_axes,
    iter_planes,
    plane_selection,
)
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.segment import Segmentation, iter_segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.types import Progress

FLIPS = ("Y", "X")
"""Axes along which the image is mirrored, one run each."""


@dataclass(frozen=True)
class RankedPlane:
    """A plane and how unsure the model is of it."""

    plane: PlaneIndex
    """Which plane."""
    score: float
    """0 (sure) to 1."""


@dataclass(frozen=True)
class RankedObject:
    """An object and how unsure the model is of it."""

    object_id: int
    """Its id in the labels."""
    score: float
    """0 (sure) to 1."""
    plane: PlaneIndex
    """Its most unsure plane."""
    centre: tuple[float, float]
    """Mean row and column in that plane."""


@dataclass(frozen=True)
class Ranking:
    """Planes and objects, the most unsure first."""

    planes: tuple[RankedPlane, ...]
    """All planes."""
    objects: tuple[RankedObject, ...]
    """All objects."""

    def next_object(self, done: Collection[int] = ()) -> RankedObject | None:
        """Return the most unsure object that is not done; None when all are."""
        return next((o for o in self.objects if o.object_id not in done), None)

    def next_plane(self, done: Collection[PlaneIndex] = ()) -> RankedPlane | None:
        """Return the most unsure plane that is not done; None when all are."""
        return next((p for p in self.planes if p.plane not in done), None)


def entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Entropy of each pixel, as a share of the largest possible.

    Parameters
    ----------
    probabilities : ndarray of float, shape (K, ...)
        Class probabilities that sum to 1.

    Returns
    -------
    ndarray of float32, shape (...)
        0 where one class is certain, 1 where all are alike.
    """
    p = np.clip(probabilities, 1e-12, 1)
    return (-(p * np.log(p)).sum(axis=0) / math.log(len(p))).astype(np.float32)


def rank_by_entropy(segmentation: Segmentation) -> Ranking:
    """Rank by the entropy of the probabilities that a segmentation kept.

    Parameters
    ----------
    segmentation : Segmentation
        With probabilities.

    Returns
    -------
    Ranking
        An object's score is the mean entropy of its pixels; a plane's is its entropy
        a pixel of likely foreground, so that empty planes are not the surest.
    """
    labels, axes = segmentation.labels, segmentation.axes
    tally = _Tally()
    planes = []
    for plane in iter_planes(axes, labels.shape):
        probabilities = segmentation.probabilities_of(plane)
        unsure = entropy(np.asarray(probabilities))
        ids = _nearest(_upright(labels, axes, plane), unsure.shape)
        tally.add(plane, ids, unsure, segmentation.zoom)
        likely = float((1 - probabilities[0]).sum())
        planes.append(RankedPlane(plane, min(float(unsure.sum()) / max(likely, 1), 1)))
    return Ranking(_sorted(planes), tally.ranked())


def rank_by_disagreement(
    labels: NDArray[np.integer], others: Sequence[NDArray[np.integer]], axes: str
) -> Ranking:
    """Rank by how little other segmentations of the same image agree.

    Parameters
    ----------
    labels : ndarray of int
        The labels to correct; axes as in `axes`.
    others : sequence of ndarray of int, shape of `labels`
        From mirrored images (`iter_flipped`), or from another model.
    axes : str
        Letters of T, Z, Y, X.

    Returns
    -------
    Ranking
        An object's score is 1 less its best overlap (intersection over union) with an
        object of the others, on average over these and over its planes; a plane's is
        the mean over its objects and, seen from the others, over theirs.
    """
    if not others or any(other.shape != labels.shape for other in others):
        raise LabelsError(
            "There is nothing to compare with",
            f"{[other.shape for other in others]} beside {labels.shape}",
            "Give other labels of the same image.",
        )
    tally = _Tally()
    planes = []
    for plane in iter_planes(axes, labels.shape):
        ids = _upright(labels, axes, plane)
        unsure = np.zeros(ids.shape, np.float32)
        scores: list[float] = []
        for other in others:
            theirs = _upright(other, axes, plane)
            own, foreign = _lonely(ids, theirs), _lonely(theirs, ids)
            unsure += _painted(ids, own) / len(others)
            scores += [*own.values(), *foreign.values()]
        tally.add(plane, ids, unsure, 1.0)
        planes.append(RankedPlane(plane, float(np.mean(scores)) if scores else 0.0))
    return Ranking(_sorted(planes), tally.ranked())


def iter_flipped(
    image: Any,
    model: str | Path | Checkpoint,
    params: SegmentParams | None = None,
    *,
    flips: Sequence[str] = FLIPS,
) -> Generator[Progress, None, list[NDArray[np.int32]]]:
    """Segment mirrored copies of an image, for `rank_by_disagreement`.

    Parameters
    ----------
    image : array_like
        NumPy, memory-mapped, dask or zarr array.
    model, params
        As for `iter_segment`. Give the diameter of the first run, so that only the
        mirroring differs.
    flips : sequence of str
        Axes to mirror, e.g. ``("Y", "X", "YX")``.

    Yields
    ------
    Progress
        Those of the runs.

    Returns
    -------
    list of ndarray of int32
        Labels in the orientation of the image, one a flip.
    """
    params = params or SegmentParams()
    shape = tuple(int(n) for n in image.shape)
    axes = params.axes or guess_axes(shape)
    settings = replace(params, axes=axes, keep_probabilities=False, focus=None)
    found = []
    for flip in flips:
        part = _mirrored(image, axes, flip)
        result = yield from iter_segment(part, model, settings)
        found.append(_mirrored(result.labels, result.axes, flip))
    return found


def _mirrored(array: Any, axes: str, flip: str) -> Any:
    if not hasattr(array, "__array_function__"):  # zarr knows no negative steps
        import dask.array as da

        array = da.from_array(array)
    step = {True: slice(None, None, -1), False: slice(None)}
    return array[tuple(step[axis in flip] for axis in axes)]


def _upright(labels: NDArray[Any], axes: str, plane: PlaneIndex) -> NDArray[Any]:
    part = np.asarray(labels[plane_selection(axes, plane)])
    return part.T if axes.index("X") < axes.index("Y") else part


def _nearest(labels: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Ids in another resolution."""
    if labels.shape == shape:
        return labels
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * old / n).astype(int), old - 1)
        for n, old in zip(shape, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, columns)]


def _lonely(ids: NDArray[Any], theirs: NDArray[Any]) -> dict[int, float]:
    """Score objects by 1 less their best IoU with any of the others' objects."""
    own, inverse, size = np.unique(ids, return_inverse=True, return_counts=True)
    other, their_inverse, their_size = np.unique(
        theirs, return_inverse=True, return_counts=True
    )
    pairs, both = np.unique(
        inverse.ravel() * len(other) + their_inverse.ravel(), return_counts=True
    )
    mine, foreign = np.divmod(pairs, len(other))
    iou = both / (size[mine] + their_size[foreign] - both)
    iou[other[foreign] == 0] = 0
    best = np.zeros(len(own))
    np.maximum.at(best, mine, iou)
    return {int(i): 1 - float(b) for i, b in zip(own, best, strict=True) if i != 0}


def _painted(ids: NDArray[Any], scores: dict[int, float]) -> NDArray[np.float32]:
    present, inverse = np.unique(ids, return_inverse=True)
    values = np.array([scores.get(int(i), 0.0) for i in present], np.float32)
    return values[inverse].reshape(ids.shape)


def _sorted(planes: list[RankedPlane]) -> tuple[RankedPlane, ...]:
    return tuple(sorted(planes, key=lambda p: (-p.score, p.plane.t, p.plane.z)))


class _Tally:
    """Sums of a score over the pixels of each object, plane by plane."""

    def __init__(self) -> None:
        self._sums: dict[int, list[float]] = {}
        self._worst: dict[int, RankedObject] = {}

    def add(
        self,
        plane: PlaneIndex,
        ids: NDArray[Any],
        unsure: NDArray[np.float32],
        zoom: float,
    ) -> None:
        """Add a plane; `zoom` is its pixels per pixel of the image."""
        present, inverse, counts = np.unique(
            ids, return_inverse=True, return_counts=True
        )
        flat = inverse.ravel()
        sums = np.bincount(flat, unsure.ravel(), len(present))
        rows, columns = (
            np.bincount(flat, grid.ravel(), len(present)) / counts
            for grid in np.indices(ids.shape)
        )
        for i in np.flatnonzero(present):
            object_id, mean = int(present[i]), float(sums[i] / counts[i])
            total = self._sums.setdefault(object_id, [0.0, 0.0])
            total[0] += float(sums[i])
            total[1] += float(counts[i])
            worst = self._worst.get(object_id)
            if worst is None or mean > worst.score:
                centre = (
                    (float(rows[i]) + 0.5) / zoom - 0.5,
                    (float(columns[i]) + 0.5) / zoom - 0.5,
                )
                self._worst[object_id] = RankedObject(object_id, mean, plane, centre)

    def ranked(self) -> tuple[RankedObject, ...]:
        """Return all objects with their means, the most unsure first."""
        found = [
            replace(worst, score=self._sums[i][0] / self._sums[i][1])
            for i, worst in self._worst.items()
        ]
        return tuple(sorted(found, key=lambda o: (-o.score, o.object_id)))
