"""What a detector learns from labels: boxes, masks, and where nobody looked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

THINNEST_PX = 3
"""An object whose box is thinner cannot be learnt from."""
SLIVER_SHARE = 0.25
"""Share of the ordinary diameter below which an object at the border of a patch is a
sliver: the patch does not show what it is."""


def instance_targets(
    labels: NDArray[np.integer], diameter_px: float
) -> dict[str, Tensor]:
    """Boxes and masks of the objects of a patch.

    Parameters
    ----------
    labels : ndarray of int, shape (Y, X)
        Ids, 0 for background, -1 where nobody looked.
    diameter_px : float
        Ordinary object diameter.

    Returns
    -------
    dict
        ``boxes`` (N, 4), float32, half-open x0, y0, x1, y1; ``labels`` (N,), int64,
        all 1; ``masks`` (N, Y, X), bool; ``ignored`` (Y, X), bool: unknown pixels,
        and the objects that are too thin or cut to slivers by the border.
    """
    ignored = labels < 0
    _, dense = np.unique(np.maximum(labels, 0), return_inverse=True)
    dense = dense.reshape(labels.shape)
    if labels.size and labels.max() > 0 and not (labels <= 0).any():
        dense = dense + 1  # no background that could be number 0
    boxes, ids = [], []
    for number, box in enumerate(ndimage.find_objects(dense), start=1):
        if box is None:
            continue
        if _is_to_learn(box, labels.shape, SLIVER_SHARE * diameter_px):
            boxes.append([box[1].start, box[0].start, box[1].stop, box[0].stop])
            ids.append(number)
        else:
            ignored = ignored | (dense == number)
    masks = dense[None] == np.array(ids, dense.dtype)[:, None, None]
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.ones(len(ids), dtype=torch.int64),
        "masks": torch.from_numpy(masks),
        "ignored": torch.from_numpy(ignored),
    }


def _is_to_learn(
    box: tuple[slice, ...], shape: tuple[int, ...], sliver_px: float
) -> bool:
    sides = [part.stop - part.start for part in box]
    is_cut = any(
        part.start == 0 or part.stop == length
        for part, length in zip(box, shape, strict=True)
    )
    return min(sides) >= max(THINNEST_PX, sliver_px if is_cut else 0)
