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
from napari_seg.imaging.levels import Levels
from napari_seg.imaging.object_table import (
    ObjectTable,
    best_overlaps,
    object_table,
)
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.planes import is_transposed
from napari_seg.inference.segment import Segmentation, iter_segment
from napari_seg.types import Progress, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.models.checkpoint import Checkpoint

FLIPS = ("Y", "X")
"""Axes along which the image is mirrored, one run each."""


@dataclass(frozen=True)
class RankedPlane:
    """A plane and how unsure the model is of it."""

    plane: PlaneIndex
    """Which plane."""
    score: float
    """0 (sure) to 1."""
    area: int = 0
    """Pixels of its objects."""


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
    box: tuple[int, int, int, int]
    """Where it lies in that plane: half-open (y0, x0, y1, x1)."""
    area: int
    """Its pixels in that plane."""


@dataclass(frozen=True)
class Ranking:
    """Planes and objects, the most unsure first."""

    planes: tuple[RankedPlane, ...]
    """All planes."""
    objects: tuple[RankedObject, ...]
    """All objects."""

    @property
    def mean_score(self) -> float:
        """How unsure the model is of the planes on average."""
        return float(np.mean([p.score for p in self.planes])) if self.planes else 0.0

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
        An object's score is the mean entropy of its pixels; a plane's is the mean
        entropy of all pixels, weighed by how likely they are foreground: neither the
        share of background nor faint doubt all over it decides.
    """
    return run(iter_rank_by_entropy(segmentation))


def iter_rank_by_entropy(
    segmentation: Segmentation,
) -> Generator[Progress, None, Ranking]:
    """Rank plane by plane; see `rank_by_entropy`."""
    labels, axes = segmentation.labels, segmentation.axes
    tally = Tally()
    total = count_planes(axes, labels.shape)
    for done, plane in enumerate(iter_planes(axes, labels.shape)):
        yield Progress("rank", done, total)
        probabilities = np.asarray(segmentation.probabilities_of(plane))
        unsure = entropy(probabilities)
        likely = 1 - probabilities[0]
        ids = upright(labels, axes, plane)
        total_likely = float(likely.sum())
        score = float((unsure * likely).sum()) / max(total_likely, 1e-6)
        tally.add(plane, object_table(ids, _nearest(unsure, ids.shape)), score)
    return tally.ranking()


def uncertainties(
    segmentation: Segmentation | None, labels: NDArray[np.integer]
) -> dict[int, float]:
    """How unsure the model is of each object, 0 (sure) to 1, as `rank_by_entropy` says.

    Parameters
    ----------
    segmentation : Segmentation or None
        What the labels were made from.
    labels : ndarray of int
        What became of its labels.

    Returns
    -------
    dict of int to float
        By id; empty where no probabilities of these labels were kept.
    """
    kept = segmentation
    if kept is None or kept.network_probabilities is None:
        return {}
    if kept.labels.shape != labels.shape:
        return {}
    kept = replace(kept, labels=labels.astype(np.int32, copy=False))
    ranking = rank_by_entropy(kept)
    return {each.object_id: round(each.score, 4) for each in ranking.objects}


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
    return run(iter_rank_by_disagreement(labels, others, axes))


def iter_rank_by_disagreement(
    labels: NDArray[np.integer], others: Sequence[NDArray[np.integer]], axes: str
) -> Generator[Progress, None, Ranking]:
    """Rank plane by plane; see `rank_by_disagreement`."""
    if not others or any(other.shape != labels.shape for other in others):
        raise LabelsError(
            "There is nothing to compare with",
            f"{[other.shape for other in others]} beside {labels.shape}",
            "Give other labels of the same image.",
        )
    tally = Tally()
    total = count_planes(axes, labels.shape)
    for done, plane in enumerate(iter_planes(axes, labels.shape)):
        yield Progress("rank", done, total)
        ids = upright(labels, axes, plane)
        table = object_table(ids)
        unsure = np.zeros(len(table.ids))
        scores: list[float] = []
        for other in others:
            own, foreign = best_overlaps(ids, upright(other, axes, plane))
            unsure += [1 - own[i] for i in table.ids.tolist()]
            scores += [1 - best for best in (*own.values(), *foreign.values())]
            yield Progress("rank", done, total)
        table = replace(table, values=unsure / len(others))
        tally.add(plane, table, float(np.mean(scores)) if scores else 0.0)
    return tally.ranking()


def place_now(
    labels: NDArray[np.integer], axes: str, ranked: RankedObject
) -> NDArray[np.bool_] | None:
    """Look up an object where it was when it was ranked.

    Parameters
    ----------
    labels : ndarray of int
        As they are now.
    axes : str
        Letters of T, Z, Y, X.
    ranked : RankedObject
        Of an earlier ranking of these labels.

    Returns
    -------
    ndarray of bool, or None
        Its mask within ``ranked.box``; None if it was changed there or is gone.
    """
    y0, x0, y1, x1 = ranked.box
    top, left = max(y0 - 1, 0), max(x0 - 1, 0)
    # One pixel more on each side, to see whether it has grown.
    window = slice(top, y1 + 1), slice(left, x1 + 1)
    part = np.asarray(labels[plane_selection(axes, ranked.plane, window)])
    mask = (part.T if is_transposed(axes) else part) == ranked.object_id
    table = object_table(mask.astype(np.uint8))
    if table.areas.tolist() != [ranked.area]:
        return None
    if not np.allclose(table.centres[0] + (top, left), ranked.centre):
        return None
    return np.asarray(mask[y0 - top : y1 - top, x0 - left : x1 - left])


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
    if isinstance(array, Levels):
        array = array.arrays[0]
    if not hasattr(array, "__array_function__"):  # zarr knows no negative steps
        import dask.array as da

        array = da.from_array(array)
    step = {True: slice(None, None, -1), False: slice(None)}
    return array[tuple(step[axis in flip] for axis in axes)]


def count_planes(axes: str, shape: Sequence[int]) -> int:
    """Return the number of planes of an array."""
    return sum(1 for _ in iter_planes(axes, shape))


def upright(labels: NDArray[Any], axes: str, plane: PlaneIndex) -> NDArray[Any]:
    """Return a copy of a plane, rows first."""
    # A copy: in a window the user may go on painting while a plane is looked at.
    part = np.array(labels[plane_selection(axes, plane)])
    return part.T if is_transposed(axes) else part


def _nearest(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Values in another resolution."""
    if values.shape == shape:
        return values
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * old / n).astype(int), old - 1)
        for n, old in zip(shape, values.shape, strict=True)
    )
    return values[np.ix_(rows, columns)]


class Tally:
    """Objects and planes, as they are measured plane by plane."""

    def __init__(self) -> None:
        self._planes: list[RankedPlane] = []
        self._sums: dict[int, list[float]] = {}
        self._worst: dict[int, RankedObject] = {}

    def add(self, plane: PlaneIndex, table: ObjectTable, score: float) -> None:
        """Add a plane with its score; the table's values are its objects' scores."""
        self._planes.append(RankedPlane(plane, score, int(table.areas.sum())))
        columns = (table.ids, table.values, table.areas, table.centres, table.boxes)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for object_id, mean, area, centre, box in rows:
            total = self._sums.setdefault(object_id, [0.0, 0.0])
            total[0] += mean * area
            total[1] += area
            worst = self._worst.get(object_id)
            if worst is None or mean > worst.score:
                self._worst[object_id] = RankedObject(
                    object_id, mean, plane, tuple(centre), tuple(box), area
                )

    def ranking(self) -> Ranking:
        """Return all objects with their means, and all planes."""
        objects = [
            replace(worst, score=self._sums[i][0] / self._sums[i][1])
            for i, worst in self._worst.items()
        ]
        return Ranking(
            tuple(sorted(self._planes, key=lambda p: (-p.score, p.plane.t, p.plane.z))),
            tuple(sorted(objects, key=lambda o: (-o.score, o.object_id))),
        )
