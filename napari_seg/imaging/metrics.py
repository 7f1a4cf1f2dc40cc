"""How well predicted labels match the truth: AP, PQ, Dice, boundary F, Rand, VI."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.metrics import adapted_rand_error, variation_of_information

from napari_seg.errors import LabelsError
from napari_seg.imaging.matching import THRESHOLDS, checked, count, iou_matrix, match

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BOUNDARY_PX = 2.0
"""Tolerance of the boundary F score."""


@dataclass(frozen=True)
class Metrics:
    """Scores of one image, or of several pooled."""

    n_true: int
    """Objects in the truth."""
    n_predicted: int
    """Objects predicted."""
    true_positives: tuple[int, ...]
    """Matched objects at each IoU threshold of `THRESHOLDS`."""
    matched_iou: float
    """Sum of the IoU of the objects matched at 0.5."""
    mean_iou: float
    """Mean over background and foreground of intersection over union."""
    dice: float
    """Dice coefficient of the foreground."""
    boundary_f: float
    """F score of object outlines within 2 px."""
    rand_error: float
    """Adapted Rand error, truth's background ignored (0 is perfect)."""
    variation_of_information: float
    """Split plus merge entropy in bits (0 is perfect)."""
    n_images: int = 1
    """Images pooled."""

    def average_precision(self, iou: float = 0.5) -> float:
        """TP / (TP + FP + FN) at one IoU threshold; 1 where nothing is to be found."""
        tp = self.true_positives[THRESHOLDS.index(iou)]
        union = self.n_true + self.n_predicted - tp
        return tp / union if union else 1.0

    @property
    def mean_ap(self) -> float:
        """Mean of the average precision over IoU 0.5, 0.55, ..., 0.95."""
        return float(np.mean([self.average_precision(iou) for iou in THRESHOLDS]))

    @property
    def segmentation_quality(self) -> float:
        """SQ: mean IoU of the objects matched at 0.5 (Kirillov et al. 2019)."""
        tp = self.true_positives[0]
        return self.matched_iou / tp if tp else 0.0

    @property
    def recognition_quality(self) -> float:
        """RQ: F1 of the objects matched at 0.5."""
        total = self.n_true + self.n_predicted
        return 2 * self.true_positives[0] / total if total else 1.0

    @property
    def panoptic_quality(self) -> float:
        """PQ = SQ x RQ."""
        if self.n_true + self.n_predicted == 0:
            return 1.0
        return self.segmentation_quality * self.recognition_quality

    def as_dict(self) -> dict[str, float | int]:
        """Flat JSON-ready scores."""
        scores: dict[str, float | int] = {
            "images": self.n_images,
            "true_objects": self.n_true,
            "predicted_objects": self.n_predicted,
        }
        for iou in THRESHOLDS:
            scores[f"ap_{iou:.2f}"] = self.average_precision(iou)
        scores |= {
            "mean_ap": self.mean_ap,
            "pq": self.panoptic_quality,
            "sq": self.segmentation_quality,
            "rq": self.recognition_quality,
        }
        for name in MEAN_FIELDS:
            scores[name] = getattr(self, name)
        return scores


MEAN_FIELDS = tuple(f.name for f in fields(Metrics) if f.type == "float")[1:]
"""Scores that `pool` averages over images; counts are summed."""


def evaluate(predicted: ArrayLike, truth: ArrayLike) -> Metrics:
    """Compare predicted labels with the truth.

    Parameters
    ----------
    predicted, truth : array_like of int, same shape, (Y, X) or (Z, Y, X)
        Instance ids, 0 is background; ids may have gaps.

    Returns
    -------
    Metrics

    Raises
    ------
    LabelsError
        If shapes differ or the arrays are not integers.

    Notes
    -----
    Objects are matched one to one so that as many pairs as possible reach the IoU
    threshold. Average precision is TP / (TP + FP + FN), as in the 2018 Data Science
    Bowl, StarDist and Cellpose; it is not COCO's.
    """
    found, true = checked(predicted, truth)
    iou = iou_matrix(found, true)
    n_predicted, n_true, true_positives = count(iou)
    foreground, background = _semantic_iou(found > 0, true > 0)
    matched = match(iou, THRESHOLDS[0])
    return Metrics(
        n_true=n_true,
        n_predicted=n_predicted,
        true_positives=true_positives,
        matched_iou=float(sum(iou[i, j] for i, j in matched)),
        mean_iou=(foreground + background) / 2,
        dice=2 * foreground / (1 + foreground),
        boundary_f=boundary_f(found, true),
        rand_error=_rand_error(found, true),
        variation_of_information=_variation(found, true),
    )


def pool(scores: Iterable[Metrics]) -> Metrics:
    """Pool images: counts are summed, the other scores averaged over images."""
    parts = list(scores)
    if not parts:
        raise LabelsError("There is nothing to pool", "no images")
    counts = np.sum([part.true_positives for part in parts], axis=0)
    weights = [part.n_images for part in parts]
    means = {
        name: float(np.average([getattr(p, name) for p in parts], weights=weights))
        for name in MEAN_FIELDS
    }
    return Metrics(
        n_true=sum(part.n_true for part in parts),
        n_predicted=sum(part.n_predicted for part in parts),
        true_positives=tuple(int(count) for count in counts),
        matched_iou=sum(part.matched_iou for part in parts),
        n_images=sum(weights),
        **means,
    )


def boundary_f(
    predicted: NDArray[np.integer],
    truth: NDArray[np.integer],
    tolerance_px: float = BOUNDARY_PX,
) -> float:
    """F score of outlines: a boundary pixel counts if the other's is that near."""
    found, true = _outline(predicted), _outline(truth)
    if not found.any() or not true.any():
        return float(found.any() == true.any())
    near_true = ndimage.distance_transform_edt(~true) <= tolerance_px
    near_found = ndimage.distance_transform_edt(~found) <= tolerance_px
    precision, recall = near_true[found].mean(), near_found[true].mean()
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0


def _outline(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    edge = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        first = np.moveaxis(labels, axis, 0)
        differs = first[1:] != first[:-1]
        view = np.moveaxis(edge, axis, 0)
        view[1:] |= differs
        view[:-1] |= differs
    return edge & (labels > 0)


def _semantic_iou(
    found: NDArray[np.bool_], true: NDArray[np.bool_]
) -> tuple[float, float]:
    def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
        union = np.count_nonzero(a | b)
        return np.count_nonzero(a & b) / union if union else 1.0

    return iou(found, true), iou(~found, ~true)


def _rand_error(found: NDArray[np.integer], true: NDArray[np.integer]) -> float:
    if not true.any():
        return 0.0
    # Objects of one pixel hold no pair of pixels: scikit-image divides 0 by 0.
    with np.errstate(invalid="ignore"):
        return float(np.nan_to_num(adapted_rand_error(true, found)[0]))


def _variation(found: NDArray[np.integer], true: NDArray[np.integer]) -> float:
    return float(sum(variation_of_information(true, found))) if true.size else 0.0
