"""How far two annotators agree on the same image, object by object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.imaging.matching import THRESHOLDS, checked, iou_matrix, match
from napari_seg.imaging.metrics import Metrics, evaluate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Pair:
    """An object as both have drawn it, or as one has."""

    first: int | None
    """Its id in the first labels; None if it is not there."""
    second: int | None
    """Its id in the second labels; None if it is not there."""
    dice: float
    """2 |A and B| / (|A| + |B|); 0 where only one has it."""


@dataclass(frozen=True)
class Agreement:
    """What two annotators have in common; nothing depends on who is first."""

    metrics: Metrics
    """AP, PQ and the others; the second annotator's labels are taken for the truth."""
    pairs: tuple[Pair, ...]
    """All objects of both, those with the least agreement first."""

    @property
    def matched_dice(self) -> float:
        """Mean Dice of the objects that both have; 1 if neither has any."""
        found = [pair.dice for pair in self.pairs if pair.dice]
        return float(np.mean(found)) if found else float(not self.pairs)

    @property
    def dice(self) -> float:
        """Mean Dice of all objects; those that only one has count as 0."""
        found = [pair.dice for pair in self.pairs]
        return float(np.mean(found)) if found else 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers."""
        metrics = self.metrics
        return {
            "objects_first": metrics.n_predicted,
            "objects_second": metrics.n_true,
            "objects_both": metrics.true_positives[0],
            "ap_0.50": metrics.average_precision(0.5),
            "ap_0.75": metrics.average_precision(0.75),
            "mean_ap": metrics.mean_ap,
            "pq": metrics.panoptic_quality,
            "dice_per_object": self.dice,
            "dice_of_matched": self.matched_dice,
            "dice_of_pixels": metrics.dice,
        }


def agreement(first: ArrayLike, second: ArrayLike) -> Agreement:
    """Compare the labels of two annotators.

    Parameters
    ----------
    first, second : array_like of int, same shape, (Y, X) or (Z, Y, X)
        Instance ids, 0 is background; the ids of one need not be those of the other.

    Returns
    -------
    Agreement
        An object of the first and one of the second are the same if they overlap
        with an IoU of at least 0.5; each has at most one partner.

    Raises
    ------
    LabelsError
        If shapes differ or the arrays are not integers.
    """
    a, b = checked(first, second)
    iou = iou_matrix(a, b)
    ids = [np.unique(labels[labels > 0]).tolist() for labels in (a, b)]
    matched = match(iou, THRESHOLDS[0])
    pairs = [
        Pair(ids[0][i], ids[1][j], float(2 * iou[i, j] / (1 + iou[i, j])))
        for i, j in matched
    ]
    known = [{i for i, _ in matched}, {j for _, j in matched}]
    pairs += [Pair(x, None, 0.0) for i, x in enumerate(ids[0]) if i not in known[0]]
    pairs += [Pair(None, x, 0.0) for i, x in enumerate(ids[1]) if i not in known[1]]
    pairs.sort(key=lambda pair: pair.dice)
    return Agreement(evaluate(a, b), tuple(pairs))
