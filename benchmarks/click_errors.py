"""What is wrong with labels, object by object of the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOOD_IOU = 0.9
"""Objects matched at least so well are right."""
NO_MATCH_IOU = 0.1
"""Less than this is no find of the object at all."""
KINDS = ("outline", "merged", "split", "missed")


@dataclass(frozen=True)
class Overlaps:
    """How objects of two labels arrays overlap; row and column 0 are background.

    Parameters
    ----------
    shared : ndarray of int, shape (largest label + 1, largest true id + 1)
        Common pixels.
    iou : ndarray of float, same shape
        Without the background.
    """

    shared: NDArray[np.int64]
    iou: NDArray[np.float64]

    def best(self, true_id: int) -> tuple[int, float]:
        """Return the label that fits a true object best, and its IoU; 0 if none."""
        label = int(self.iou[:, true_id].argmax())
        return label, float(self.iou[label, true_id])

    def owner(self, label: int) -> int:
        """Return the true object that a label fits best; 0 if none."""
        return int(self.iou[label].argmax())

    def main_label(self, true_id: int) -> int:
        """Return the label that covers most of a true object; 0 if none."""
        return (
            int(self.shared[1:, true_id].argmax()) + 1 if self._is_found(true_id) else 0
        )

    def held_by(self, label: int) -> list[int]:
        """Return the true objects of which a label covers more than half."""
        if not label:
            return []
        size = self.shared.sum(axis=0)
        return [int(i) for i in np.flatnonzero(self.shared[label] > 0.5 * size) if i]

    def parts_of(self, true_id: int) -> list[int]:
        """Return labels that are mostly this object, each a tenth of it at least."""
        column, found = self.shared[:, true_id], self.shared.sum(axis=1)
        good = (column > 0.5 * found) & (column > 0.1 * self.shared[:, true_id].sum())
        return [int(i) for i in np.flatnonzero(good) if i]

    def _is_found(self, true_id: int) -> bool:
        return bool(self.shared[1:, true_id].any())


def overlaps(labels: NDArray[np.int32], truth: NDArray[np.int32]) -> Overlaps:
    """Compare two labels arrays of one shape."""
    shape = int(labels.max()) + 1, int(truth.max()) + 1
    ones = np.ones(labels.size, np.int64)
    shared = csr_matrix((ones, (labels.ravel(), truth.ravel())), shape).toarray()
    union = shared.sum(axis=1)[:, None] + shared.sum(axis=0)[None] - shared
    iou = shared / np.maximum(union, 1)
    iou[0], iou[:, 0] = 0, 0
    return Overlaps(shared, iou)


def kind_of_error(over: Overlaps, true_id: int) -> str | None:
    """Say what is wrong with the find of a true object; None where it is right."""
    _, iou = over.best(true_id)
    if iou >= GOOD_IOU:
        return None
    held = over.held_by(over.main_label(true_id))
    if true_id in held and len(held) > 1:
        return "merged"
    if len(over.parts_of(true_id)) > 1:
        return "split"
    return "missed" if iou < NO_MATCH_IOU else "outline"
