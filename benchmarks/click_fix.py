"""Mend what a network got wrong in an image, object by object, with one tool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.click_pieces import View, cut_piece, read_grid
from benchmarks.robot import Rule, Tool, Trial, play
from napari_seg.data.io import read_labels
from napari_seg.imaging.edits import next_free_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOOD_IOU = 0.9
"""Objects matched at least so well are right."""
NO_MATCH_IOU = 0.1
"""Less than this is no find of the object at all."""
KINDS = ("outline", "merged", "split", "missed")


@dataclass(frozen=True)
class Segmented:
    """An image with its truth and what a network made of it.

    Parameters
    ----------
    name : str
    image : ndarray, channels last where it has any
    truth, labels : ndarray of int32, shape of the grid
    probabilities : ndarray of float32, shape (K, *grid)
    spacing : tuple of float
    """

    name: str
    image: NDArray[Any]
    truth: NDArray[np.int32]
    labels: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    spacing: tuple[float, ...]


@dataclass(frozen=True)
class Mended:
    """One wrong object and the clicks it took.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    trial : Trial
    """

    kind: str
    trial: Trial


def segmented(folder: Path, name: str, model: Any) -> Segmented:
    """Run a network on one image, with the settings of the panel."""
    from napari_seg.inference.segment import segment

    image, spacing = read_grid(folder / "images" / name)
    truth = np.asarray(read_labels(folder / "masks" / name).array)
    found = segment(image, model)
    return Segmented(name, image, truth, found.labels, found.probabilities, spacing)


@dataclass(frozen=True)
class Overlaps:
    """How objects of two labels arrays overlap; row and column 0 are background.

    Parameters
    ----------
    shared : csr_matrix of int, shape (largest label + 1, largest true id + 1)
        Common pixels.
    iou : csr_matrix of float, same shape
        Without the background.
    """

    shared: csr_matrix
    iou: csr_matrix

    def best(self, true_id: int) -> tuple[int, float]:
        """Return the label that fits a true object best, and its IoU; 0 if none."""
        column = self.iou[:, [true_id]].toarray().ravel()
        label = int(column.argmax())
        return (label, float(column[label])) if column[label] > 0 else (0, 0.0)

    def owner(self, label: int) -> int:
        """Return the true object that a label fits best; 0 if none."""
        row = self.iou[[label]].toarray().ravel()
        return int(row.argmax()) if row.max() > 0 else 0


def overlaps(labels: NDArray[np.int32], truth: NDArray[np.int32]) -> Overlaps:
    """Compare two labels arrays of one shape."""
    shape = int(labels.max()) + 1, int(truth.max()) + 1
    ones = np.ones(labels.size, np.int64)
    shared = csr_matrix((ones, (labels.ravel(), truth.ravel())), shape)
    shared.sum_duplicates()
    found, true = np.bincount(labels.ravel()), np.bincount(truth.ravel())
    pairs = shared.tocoo()
    both = (pairs.row > 0) & (pairs.col > 0)
    row, col, common = pairs.row[both], pairs.col[both], pairs.data[both]
    iou = csr_matrix((common / (found[row] + true[col] - common), (row, col)), shape)
    return Overlaps(shared, iou)


def kind_of_error(over: Overlaps, true_id: int) -> str | None:
    """Say what is wrong with the find of a true object; None where it is right."""
    _, iou = over.best(true_id)
    if iou >= GOOD_IOU:
        return None
    true = np.asarray(over.shared.sum(axis=0)).ravel()
    found = np.asarray(over.shared.sum(axis=1)).ravel()
    column = over.shared[:, [true_id]].toarray().ravel()
    column[0] = 0
    main = int(column.argmax())
    row = over.shared[[main]].toarray().ravel() if column[main] else np.zeros(1)
    held = np.flatnonzero(row[1:] > 0.5 * true[1 : len(row)]) + 1
    if true_id in held and len(held) > 1:
        return "merged"
    parts = (column > 0.5 * found) & (column > 0.1 * true[true_id])
    if parts.sum() > 1:
        return "split"
    return "missed" if iou < NO_MATCH_IOU else "outline"


def mend(
    data: Segmented, make_tool: Callable[[View], Tool], rule: Rule = Rule.FITTED
) -> list[Mended]:
    """Correct every wrong object of an image, the best-found first, as a user would.

    What was corrected stays: a label that held two nuclei is trimmed to the one it
    fits best, then the other one is made anew beside it. A label that is mostly
    another object's is never chosen.
    """
    labels = data.labels.copy()
    before = overlaps(labels, data.truth)
    ids = [int(i) for i in np.unique(data.truth) if i > 0]
    wrong = {i: k for i in ids if (k := kind_of_error(before, i))}
    mended = []
    for true_id in sorted(wrong, key=lambda i: -before.best(i)[1]):
        now = overlaps(labels, data.truth)
        label, _ = now.best(true_id)
        if label and now.owner(label) != true_id:
            label = 0
        trial = _mend_object(data, labels, true_id, label, make_tool, rule)
        mended.append(Mended(wrong[true_id], trial))
    return mended


def _mend_object(
    data: Segmented,
    labels: NDArray[np.int32],
    true_id: int,
    label: int,
    make_tool: Callable[[View], Tool],
    rule: Rule,
) -> Trial:
    """Correct one object and write it into the labels."""
    piece = cut_piece(
        f"{data.name}:{true_id}",
        data.image,
        data.truth == true_id,
        labels,
        data.spacing,
        object_id=label,
        probabilities=data.probabilities,
    )
    tool, start = make_tool(piece.view), piece.view.start()
    trial = play(tool, piece.truth, start, piece.view.spacing, rule=rule)
    new_id = label or next_free_id(labels)
    here = labels[piece.box]
    here[start] = 0
    here[trial.mask] = new_id
    return trial


def spurious(data: Segmented) -> int:
    """Count labels where there is no object: one click of the Delete tool each."""
    over = overlaps(data.labels, data.truth)
    best = np.asarray(over.iou.max(axis=1).todense()).ravel()
    ids = np.unique(data.labels)
    return int((best[ids[ids > 0]] < NO_MATCH_IOU).sum())
