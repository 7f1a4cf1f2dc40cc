"""Average precision of a network on validation pairs, by the path users take."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_seg.errors import DatasetError
from napari_seg.imaging.instances import InstanceParams
from napari_seg.imaging.matching import THRESHOLDS as IOU_THRESHOLDS
from napari_seg.imaging.matching import checked, count, iou_matrix
from napari_seg.imaging.metrics import Metrics, evaluate, pool
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.segment import Segmentation, iter_derive, iter_segment
from napari_seg.training.pairs import TrainingPair, TrainingPlane
from napari_seg.training.progress import Picture
from napari_seg.training.stuff import without_stuff
from napari_seg.types import Progress, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.models.card import Card
    from napari_seg.models.checkpoint import Checkpoint

Result = TypeVar("Result")
Plane = TypeVar("Plane")

LARGEST_PX = 640
"""Larger validation images are cropped to this side, in network pixels, ..."""
FEW = 8
"""... but fewer than so many to as much in all as so many would be."""

THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8)
"""Foreground probabilities tried by `iter_calibrate`: border weights make a network see
more foreground than there is."""
SEED_THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Interior probabilities tried by `iter_calibrate`."""
MASK_THRESHOLDS = THRESHOLDS[:3]
"""Mask probabilities tried for networks that find objects, which know no border ..."""
SCORES = (0.2, 0.3, 0.4, 0.5, 0.6)
"""... and scores: of theirs few are higher. To paint every object anew takes long."""
SMALLEST_SHARES = (0.0, 0.025, 0.05, 0.1, 0.15, 0.25)
"""Smallest areas tried, as shares of a disc of the object diameter."""

STEP = 0.11
"""Distance of neighbouring thresholds, and a little."""

Choice = tuple[float, float, float]
"""Threshold, seed threshold and smallest area in network pixels."""


def total_score(metrics: Metrics) -> float:
    """Choose weights by this: the mean of AP at 0.5 and the mean AP.

    AP at 0.5 alone is blind to outlines.
    """
    return (metrics.average_precision(0.5) + metrics.mean_ap) / 2


@dataclass(frozen=True)
class Validation:
    """What a network makes of the validation planes."""

    metrics: Metrics
    """Pooled over the planes."""
    picture: Picture
    """The first plane that has an object."""


def validate(
    checkpoint: Checkpoint, pairs: Sequence[TrainingPlane], *, device: str = "cpu"
) -> Metrics:
    """Pool the metrics of all pairs, segmented with the true object size."""
    return run(iter_validate(checkpoint, pairs, device=device)).metrics


def iter_validate(
    checkpoint: Checkpoint, pairs: Sequence[TrainingPlane], *, device: str = "cpu"
) -> Generator[Progress, None, Validation]:
    """Segment all planes with the true object size and score them.

    Yields
    ------
    Progress
        Stage ``"validate"``, many a plane.
    """
    scores: list[Metrics] = []
    picture: Picture | None = None
    for number, plane in enumerate(pairs):
        pair = crop(plane, checkpoint.card, len(pairs))
        job = _iter_segment(checkpoint, pair, device, keep=False)
        found = yield from as_stage(job, "validate", number, len(pairs))
        scores.append(_score_known(found.labels, pair.labels))
        if picture is None or (not picture.truth.any() and pair.labels.any()):
            picture = _picture(pair, found.labels)
        yield Progress("validate", number + 1, len(pairs))
    if picture is None:
        raise DatasetError("There is nothing to validate on", "no images")
    return Validation(pool(scores), picture)


def iter_calibrate(
    checkpoint: Checkpoint,
    pairs: Sequence[TrainingPlane],
    *,
    device: str = "cpu",
    near: Card | None = None,
) -> Generator[Progress, None, Card]:
    """Find the thresholds that score best; the network runs once a pair.

    Parameters
    ----------
    checkpoint : Checkpoint
    pairs : sequence of TrainingPlane
    device : str
    near : Card, optional
        Of the model that shall not be forgotten: only thresholds within a step of its
        own are tried, and no larger smallest area, for these few pairs tell nothing
        of what it finds elsewhere.

    Yields
    ------
    Progress
        Stage ``"calibrate"``, many a plane.

    Returns
    -------
    Card
        With the best thresholds and smallest area.
    """
    choices = _choices(checkpoint.card, near)
    counts = {choice: np.zeros(2 + len(IOU_THRESHOLDS)) for choice in choices}
    for number, full in enumerate(pairs):
        pair = crop(full, checkpoint.card, len(pairs))
        job = _iter_segment(checkpoint, pair, device, keep=True)
        found = yield from as_stage(job, "calibrate", number, len(pairs))
        for key, group in groupby(choices, key=lambda choice: choice[:2]):
            again = iter_derive(found, InstanceParams(*key))
            labels = yield from as_stage(again, "calibrate", number, len(pairs))
            sizes = np.bincount(labels.ravel())
            known, truth = without_ignored(labels, pair.labels)
            ids = np.unique(known[known > 0])
            iou = iou_matrix(*checked(known, truth))
            for choice in group:
                # Of the small ones only rows are dropped: what else overlaps stays.
                large = sizes[ids] >= choice[2] / found.zoom**2
                n_found, n_true, matches = count(iou[large])
                counts[choice] += (n_found, n_true, *matches)
            yield Progress("calibrate", number, len(pairs))
    yield Progress("calibrate", len(pairs), len(pairs))
    # Of equals the first: the middle of the range comes before its ends.
    best = max(choices, key=lambda choice: _score(counts[choice]))
    return replace(
        checkpoint.card,
        threshold=best[0],
        seed_threshold=best[1],
        smallest_px=round(best[2], 1),
    )


def without_ignored(
    found: NDArray[np.int32], truth: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Take away what lies where nobody looked, which is neither right nor wrong.

    Parameters
    ----------
    found, truth : ndarray of int32, same shape
        Predicted and true ids; -1 in the truth where labels do not count.

    Returns
    -------
    found, truth : ndarray of int32
        Predicted objects with more than half of their pixels there are gone, and of
        the others those pixels.
    """
    ignored = truth < 0
    if not ignored.any():
        return found, truth
    size = np.bincount(found.ravel())
    there = np.bincount(found[ignored], minlength=len(size))
    outside = np.where(2 * there > size, 0, np.arange(len(size), dtype=np.int32))
    kept = np.where(ignored, 0, outside.astype(np.int32)[found])
    return kept, np.maximum(truth, 0)


def _score_known(found: NDArray[np.int32], truth: NDArray[np.int32]) -> Metrics:
    return evaluate(*without_ignored(found, truth))


def _choices(card: Card, near: Card | None) -> list[Choice]:
    disc = np.pi / 4 * card.object_diameter_px**2
    if card.ndim == 3:  # a ball, 2/3 of the cylinder around it
        disc *= max(2 / 3 * card.object_diameter_px / (card.z_step_px or 1.0), 1.0)
    areas = [share * disc for share in SMALLEST_SHARES]
    finds = card.finds_objects
    levels = MASK_THRESHOLDS if finds else THRESHOLDS
    seeds = SCORES if finds else SEED_THRESHOLDS
    choices = list(product(levels, seeds, areas))
    if near is not None:
        choices = _near(choices, card, near)
    return sorted(
        choices, key=lambda c: (abs(c[0] - 0.5), c[0], abs(c[1] - 0.5), c[1], c[2])
    )


def _near(choices: Sequence[Choice], card: Card, near: Card) -> list[Choice]:
    """Keep what is near the thresholds of a model, which are among them themselves."""
    share = (card.object_diameter_px / near.object_diameter_px) ** card.ndim
    own = near.threshold, near.seed_threshold, near.smallest_px * share
    kept = [
        choice
        for choice in choices
        if all(abs(choice[i] - own[i]) <= STEP for i in (0, 1)) and choice[2] <= own[2]
    ]
    return [own, *kept]


def _score(counts: NDArray[np.float64]) -> float:
    n_found, n_true, matches = counts[0], counts[1], counts[2:]
    precision = matches / np.maximum(n_found + n_true - matches, 1)
    return float(precision[0] + precision.mean()) / 2


def _iter_segment(
    checkpoint: Checkpoint, pair: TrainingPair, device: str, *, keep: bool
) -> Generator[Progress, None, Segmentation]:
    params = params_for(pair, checkpoint.card, device)
    params = replace(params, keep_probabilities=keep)
    return iter_segment(pair.image, checkpoint, params)


def params_for(pair: TrainingPair, card: Card, device: str) -> SegmentParams:
    """Return how a pair is segmented: at the true size of its objects."""
    return SegmentParams(
        axes="CZYX" if pair.labels.ndim == 3 else "CYX",
        device=device,
        channel=0 if card.in_channels == 1 else None,
        diameter_px=pair.diameter_px or card.object_diameter_px,
    )


def as_stage(
    job: Generator[Progress, None, Result], stage: str, done: int, total: int
) -> Generator[Progress, None, Result]:
    """Pass a job on under another name: only that it moves is of interest."""
    while True:
        try:
            next(job)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        yield Progress(stage, done, total)


def evenly(planes: Sequence[Plane], most: int) -> list[Plane]:
    """At most so many of the planes, evenly spaced."""
    if len(planes) <= most:
        return list(planes)
    return [
        planes[i] for i in np.linspace(0, len(planes) - 1, most).round().astype(int)
    ]


def crop(plane: TrainingPlane, card: Card, count: int) -> TrainingPair:
    """Cut a window that has objects, if there are any, out of one of `count` planes."""
    zoom = card.object_diameter_px / plane.diameter_px if plane.diameter_px else 1.0
    few = FEW if len(plane.shape) == 2 else 1  # volumes are much as it is
    side = max(int(LARGEST_PX * math.sqrt(max(few / count, 1.0)) / zoom), 1)
    objects = plane.spots.objects
    window = [slice(0, length) for length in plane.shape[:-2]]
    objects = objects[:, -2:]
    for axis, length in enumerate(plane.shape[-2:]):
        # The corner, unless there is nothing to see.
        start = 0
        if len(objects) and not (objects < side).all(axis=1).any():
            middle = int(objects[len(objects) // 2][axis])
            start = min(max(middle - side // 2, 0), max(length - side, 0))
        window.append(slice(start, min(start + side, length)))
    image, labels = plane.read(tuple(window))
    truth = without_stuff(labels)  # only objects are scored
    return TrainingPair(plane.name, image, truth, plane.diameter_px, plane.source)


def _picture(pair: TrainingPair, found: NDArray[np.int32]) -> Picture:
    """Show a plane, or that plane of a volume with the most objects."""
    if pair.labels.ndim == 2:
        return Picture(pair.name, pair.image, found, pair.labels)
    z = int(np.argmax((pair.labels > 0).sum(axis=(1, 2))))
    return Picture(pair.name, pair.image[:, z], found[z], pair.labels[z])
