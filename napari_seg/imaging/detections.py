"""Objects found one by one: boxes with scores and small masks, painted into labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_seg.imaging.instances import InstanceParams, fill_object_holes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_seg.imaging.stitching import Window
    from napari_seg.types import Labels

MOST_LOST = 0.5
"""Share of its pixels that a find may lose to better ones; beyond it is the same
object again."""
FULL = 255
"""Number that stands for probability 1 in the masks."""


@dataclass(frozen=True)
class Detections:
    """N objects of a window, in any order; 0.8 kB each."""

    boxes: NDArray[np.float32]
    """Shape (N, 4): half-open y0, x0, y1, x1 in pixels of the window."""
    scores: NDArray[np.float32]
    """Shape (N,): how sure the network is of each, 0..1."""
    masks: NDArray[np.uint8]
    """Shape (N, bins, bins): probabilities inside the box, in 1/255."""

    @classmethod
    def none(cls, bins: int = 28) -> Detections:
        """No objects."""
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros((0, bins, bins), np.uint8),
        )

    def __len__(self) -> int:
        return len(self.scores)

    def of(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Detections:
        """Return some of the objects."""
        return Detections(self.boxes[rows], self.scores[rows], self.masks[rows])

    def moved(self, rows: int, columns: int) -> Detections:
        """Return the objects in the coordinates of another window."""
        shift = np.array([rows, columns, rows, columns], np.float32)
        return replace(self, boxes=self.boxes + shift)

    def best_first(self, least_score: float) -> Detections:
        """Return those above a score, the best first; of equals in their order."""
        kept = self.of(self.scores > least_score)
        return kept.of(np.argsort(-kept.scores, kind="stable"))


def join(parts: Sequence[Detections]) -> Detections:
    """Put the objects of several windows together."""
    if not parts:
        return Detections.none()
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.masks for part in parts]),
    )


def paste(
    mask: NDArray[np.uint8], box: NDArray[np.float32], shape: Sequence[int]
) -> tuple[Window, NDArray[np.float32]]:
    """Bring a mask to the pixels of its box, linearly.

    Parameters
    ----------
    mask : ndarray of uint8, shape (bins, bins)
    box : ndarray of float32, shape (4,)
        y0, x0, y1, x1.
    shape : sequence of int
        Rows and columns of the image.

    Returns
    -------
    window : tuple of slice
        The whole pixels under the box, clipped to the image; may be empty.
    probabilities : ndarray of float32
        Of that window, 0..1. Beyond the outermost bins they fade to 0 within a bin.
    """
    spans, weights = [], []
    for axis, length in enumerate(shape):
        low, high = float(box[axis]), float(box[axis + 2])
        bins = mask.shape[axis]
        start = min(max(int(np.floor(low)), 0), length)
        stop = max(min(int(np.ceil(high)), length), start)
        # Pixel and bin centres are at one half; a hat is one bin wide on each side.
        at = (np.arange(start, stop) + 0.5 - low) * (bins / max(high - low, 1e-3))
        distance = np.abs(at[:, None] - (np.arange(bins) + 0.5))
        spans.append(slice(start, stop))
        weights.append(np.maximum(1 - distance, 0).astype(np.float32))
    values = weights[0] @ (mask.astype(np.float32) / FULL) @ weights[1].T
    return (spans[0], spans[1]), values


def paint(
    found: Detections, shape: Sequence[int], params: InstanceParams | None = None
) -> tuple[Labels, NDArray[np.float32]]:
    """Paint objects into labels; where they overlap, the better score wins.

    Parameters
    ----------
    found : Detections
        Of a window.
    shape : sequence of int
        Rows and columns of the window.
    params : InstanceParams, optional
        ``threshold`` is the mask probability of an outline, ``seed_threshold`` the
        score above which an object counts.

    Returns
    -------
    labels : ndarray of int32
        Ids 1..N without gaps, the best score first. A find that would lose more than
        half of its pixels is left out; of one that is torn the largest piece is kept.
    scores : ndarray of float32, shape (N + 1,)
        By id; 0 for the background.
    """
    params = params or InstanceParams()
    labels = np.zeros(tuple(shape), np.int32)
    best = found.best_first(params.seed_threshold)
    scores = [0.0]
    for box, score, mask in zip(best.boxes, best.scores, best.masks, strict=True):
        window, probabilities = paste(mask, box, shape)
        inside = probabilities > params.threshold
        free = inside & (labels[window] == 0)
        size = np.count_nonzero(free)
        if size == 0 or size < (1 - MOST_LOST) * np.count_nonzero(inside):
            continue
        labels[window][_largest_piece(free)] = len(scores)
        scores.append(float(score))
    if params.fill_holes:
        labels = fill_object_holes(labels)
    sizes = np.bincount(labels.ravel(), minlength=len(scores))
    kept = sizes >= max(params.min_size_px, 1)
    kept[0] = True
    table = np.where(kept, np.cumsum(kept) - 1, 0).astype(np.int32)
    return table[labels], np.array(scores, np.float32)[kept]


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def foreground_map(
    found: Detections, shape: Sequence[int], seed_threshold: float
) -> NDArray[np.float32]:
    """Probability that a pixel belongs to any object.

    Parameters
    ----------
    found : Detections
        Of a window.
    shape : sequence of int
        Rows and columns of the window.
    seed_threshold : float
        Score above which objects count in full; fainter ones at most by half, in
        proportion to their scores, so that alone they are no foreground.

    Returns
    -------
    ndarray of float32
        The largest of the mask probabilities over a pixel.
    """
    result = np.zeros(tuple(shape), np.float32)
    for box, score, mask in zip(found.boxes, found.scores, found.masks, strict=True):
        window, probabilities = paste(mask, box, shape)
        share = float(score) / max(seed_threshold, 1e-6)
        weight = 1.0 if score > seed_threshold else 0.5 * share
        np.maximum(result[window], weight * probabilities, out=result[window])
    return result
