"""Panoptic segmentation: every pixel has a class, and objects have an id as well.

Kirillov et al. 2019, Panoptic Segmentation, arXiv:1801.00868.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.errors import LabelsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

VOID = 255
"""Class of pixels that do not count."""
_MATCHED = 0.5


@dataclass(frozen=True)
class Panoptic:
    """A class and an id for every pixel.

    Parameters
    ----------
    classes : ndarray of int, any shape
        Number of the class; `VOID` where nothing is known.
    ids : ndarray of int, same shape
        Ids of objects; 0 in stuff. The same id in two classes is two segments.
    """

    classes: NDArray[np.integer]
    ids: NDArray[np.integer]

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit each other."""
        if self.classes.shape != self.ids.shape:
            raise LabelsError(
                "Classes and ids must have the same shape",
                f"{self.classes.shape} and {self.ids.shape}",
            )


@dataclass(frozen=True)
class PanopticQuality:
    """Quality of a class, or the mean over classes (section 4.2)."""

    pq: float
    """Panoptic quality, SQ times RQ."""
    sq: float
    """Segmentation quality: mean IoU of matched segments; 0 without any."""
    rq: float
    """Recognition quality: F1 of the matches."""
    n_matched: int = 0
    """True positives."""
    n_extra: int = 0
    """False positives."""
    n_missed: int = 0
    """False negatives."""


def join_panoptic(
    labels: NDArray[np.integer], semantic: NDArray[np.integer], object_class: int = 1
) -> Panoptic:
    """Join objects and classes; where they disagree, objects win (section 5.2).

    Parameters
    ----------
    labels : ndarray of int, any shape
        Ids of objects, 0 elsewhere.
    semantic : ndarray of int, same shape
        Classes; object pixels that belong to no object become background (0).
    object_class : int, optional
        Number of the class of all objects.
    """
    rest = np.where(semantic == object_class, 0, semantic)
    classes = np.where(labels > 0, object_class, rest)
    return Panoptic(classes.astype(np.int32), np.asarray(labels, np.int32))


def panoptic_quality(
    predicted: Panoptic, truth: Panoptic, classes: Collection[int]
) -> dict[int, PanopticQuality]:
    """Score each class; `mean_quality` averages them.

    Parameters
    ----------
    predicted, truth : Panoptic
        Of the same shape.
    classes : collection of int
        Classes to score, e.g. without the background.

    Returns
    -------
    dict of int to PanopticQuality
        Segments match if their IoU is above 0.5, which can hold for one pair only.
        Void pixels of the truth count for nothing, and predicted segments that lie
        there by more than half are not extra.
    """
    if predicted.classes.shape != truth.classes.shape:
        raise LabelsError(
            "Prediction and truth must have the same shape",
            f"{predicted.classes.shape} and {truth.classes.shape}",
        )
    ours, theirs = _segments(predicted), _segments(truth)
    void = truth.classes.ravel() == VOID
    pairs = np.stack([ours.number, theirs.number], axis=1)[~void]
    found, overlap = np.unique(pairs, axis=0, return_counts=True)
    in_void = np.bincount(ours.number[void], minlength=len(ours.classes))
    areas = np.bincount(ours.number, minlength=len(ours.classes))
    true_areas = np.bincount(theirs.number, minlength=len(theirs.classes))
    left, right = found[:, 0], found[:, 1]
    union = areas[left] - in_void[left] + true_areas[right] - overlap
    iou = overlap / union
    is_match = (ours.classes[left] == theirs.classes[right]) & (iou > _MATCHED)
    matched = np.zeros(len(ours.classes), bool)
    matched[left[is_match]] = True
    extra = ~matched & (2 * in_void <= areas)
    result = {}
    for number in classes:
        own = is_match & (ours.classes[left] == number)
        n_matched = int(own.sum())
        n_extra = int((extra & (ours.classes == number)).sum())
        n_missed = int((theirs.classes == number).sum()) - n_matched
        result[number] = _quality(float(iou[own].sum()), n_matched, n_extra, n_missed)
    return result


def mean_quality(qualities: dict[int, PanopticQuality]) -> PanopticQuality:
    """Average over the classes that occur in the prediction or in the truth."""
    there = [q for q in qualities.values() if q.n_matched + q.n_extra + q.n_missed]
    if not there:
        return PanopticQuality(1.0, 1.0, 1.0)
    return PanopticQuality(
        float(np.mean([q.pq for q in there])),
        float(np.mean([q.sq for q in there])),
        float(np.mean([q.rq for q in there])),
        sum(q.n_matched for q in there),
        sum(q.n_extra for q in there),
        sum(q.n_missed for q in there),
    )


def pool_quality(
    images: Sequence[dict[int, PanopticQuality]],
) -> dict[int, PanopticQuality]:
    """Score each class over several images, segments pooled as if of one."""
    pooled = {}
    for number in dict.fromkeys(n for image in images for n in image):
        each = [image[number] for image in images if number in image]
        pooled[number] = _quality(
            sum(quality.sq * quality.n_matched for quality in each),
            sum(quality.n_matched for quality in each),
            sum(quality.n_extra for quality in each),
            sum(quality.n_missed for quality in each),
        )
    return pooled


@dataclass(frozen=True)
class _Segments:
    """Segments of a panoptic segmentation, numbered from 0."""

    number: NDArray[np.intp]
    """Of each pixel."""
    classes: NDArray[np.integer]
    """Of each segment."""


def _segments(panoptic: Panoptic) -> _Segments:
    both = np.stack([panoptic.classes.ravel(), panoptic.ids.ravel()], axis=1)
    known, number = np.unique(both, axis=0, return_inverse=True)
    return _Segments(number.reshape(-1), known[:, 0])


def _quality(
    total_iou: float, n_matched: int, n_extra: int, n_missed: int
) -> PanopticQuality:
    sq = total_iou / n_matched if n_matched else 0.0
    count = n_matched + n_extra / 2 + n_missed / 2
    rq = n_matched / count if count else 0.0
    return PanopticQuality(sq * rq, sq, rq, n_matched, n_extra, n_missed)
