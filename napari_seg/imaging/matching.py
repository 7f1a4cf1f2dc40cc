"""Objects of two labels arrays matched one to one by their overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from napari_seg.errors import LabelsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""IoU 0.5, 0.55, ..., 0.95."""


def count_matches(
    predicted: ArrayLike, truth: ArrayLike
) -> tuple[int, int, tuple[int, ...]]:
    """Count objects and matches only: the quick part of `evaluate`.

    Returns
    -------
    n_predicted, n_true : int
    true_positives : tuple of int
        At each IoU of `THRESHOLDS`.
    """
    return count(iou_matrix(*checked(predicted, truth)))


def iou_matrix(
    predicted: NDArray[np.integer], truth: NDArray[np.integer]
) -> csr_matrix:
    """Intersection over union of every overlapping pair of objects.

    Returns
    -------
    csr_matrix of float, shape (predicted objects, true objects)
        Rows and columns in the order of the ids.
    """
    found_ids, found = np.unique(predicted, return_inverse=True)
    true_ids, true = np.unique(truth, return_inverse=True)
    ones = np.ones(found.size, np.int64)
    shape = (len(found_ids), len(true_ids))
    overlap = coo_matrix((ones, (found.ravel(), true.ravel())), shape).tocsr()
    found_area = np.asarray(overlap.sum(axis=1)).ravel()
    true_area = np.asarray(overlap.sum(axis=0)).ravel()
    pairs = overlap.tocoo()
    union = found_area[pairs.row] + true_area[pairs.col] - pairs.data
    iou = coo_matrix((pairs.data / union, (pairs.row, pairs.col)), shape).tocsr()
    return iou[int(0 in found_ids) :, int(0 in true_ids) :]


def count(iou: csr_matrix) -> tuple[int, int, tuple[int, ...]]:
    """Count predicted, true and, at each IoU of `THRESHOLDS`, matched objects."""
    matches = tuple(len(match(iou, threshold)) for threshold in THRESHOLDS)
    return iou.shape[0], iou.shape[1], matches


def match(iou: csr_matrix, threshold: float) -> list[tuple[int, int]]:
    """Match as many pairs (row, column) as reach an IoU threshold."""
    good = iou >= threshold
    if not good.nnz:
        return []
    partners = maximum_bipartite_matching(good, perm_type="column")
    return [(row, int(col)) for row, col in enumerate(partners) if col >= 0]


def checked(
    predicted: ArrayLike, truth: ArrayLike
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return both as int64, or say what is wrong with them."""
    found, true = np.asarray(predicted), np.asarray(truth)
    if found.shape != true.shape:
        raise LabelsError(
            "Predicted and true labels must have one shape",
            f"{found.shape} and {true.shape}",
            "Compare labels of the same image.",
        )
    checked: Sequence[NDArray[np.generic]] = (found, true)
    for name, array in zip(("Predicted", "True"), checked, strict=True):
        if not (np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
            raise LabelsError(f"{name} labels must be integers", str(array.dtype))
    return found.astype(np.int64), true.astype(np.int64)
