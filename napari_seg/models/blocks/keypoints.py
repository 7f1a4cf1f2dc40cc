"""Points of objects that a detector may learn beside their masks.

He et al., arXiv:1703.06870, section 5: a heat map for each point of a region, a
softmax over its pixels. The points are those a mask has without anybody marking them:
its centre, and the four extreme points (Zhou et al., arXiv:1901.08043).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import keypointrcnn_loss

Targets = list[dict[str, Tensor]]
"""For each image ``boxes``, ``labels``, ``masks`` and perhaps ``ignored`` (Y, X)."""
KEYPOINTS = ("centre", "top", "left", "bottom", "right")
"""In the order in which they are learnt and returned."""


def keypoints_of(masks: Tensor) -> Tensor:
    """Return the points of masks.

    Parameters
    ----------
    masks : Tensor of bool, shape (N, Y, X)
        None is empty.

    Returns
    -------
    Tensor of float32, shape (N, 5, 3)
        x, y and 1 for each of `KEYPOINTS`; pixels are squares whose centres lie at one
        half. Of several topmost pixels the mean is taken, and so for the others.
    """
    size = masks.float().sum((1, 2))
    rows, columns = masks.sum(2).float(), masks.sum(1).float()
    middles = [
        torch.arange(n, device=masks.device, dtype=torch.float32) + 0.5
        for n in masks.shape[1:]
    ]
    centre = columns @ middles[1] / size, rows @ middles[0] / size
    top, bottom = _ends(rows > 0)
    left, right = _ends(columns > 0)
    each = torch.arange(len(masks), device=masks.device)

    def middle(line: Tensor, positions: Tensor) -> Tensor:
        return line.float() @ positions / line.sum(1)

    points = (
        centre,
        (middle(masks[each, top], middles[1]), top + 0.5),
        (left + 0.5, middle(masks[each, :, left], middles[0])),
        (middle(masks[each, bottom], middles[1]), bottom + 0.5),
        (right + 0.5, middle(masks[each, :, right], middles[0])),
    )
    seen = torch.ones_like(size)
    return torch.stack([torch.stack([x, y, seen], dim=1) for x, y in points], dim=1)


def keypoint_loss(
    logits: Tensor, boxes: list[Tensor], matched: list[Tensor], targets: Targets
) -> Tensor:
    """Cross-entropy over the pixels of each heat map.

    Parameters
    ----------
    logits : Tensor of shape (N, 5, bins, bins)
    boxes : list of Tensor, shape (M, 4)
        For each image; N in all.
    matched : list of Tensor of int64, shape (M,)
        Number of the object of each box.
    targets : list of dict
        With ``masks``.

    Returns
    -------
    Tensor
        Mean over the points that lie in their boxes; 0 without any.
    """
    points = [keypoints_of(target["masks"]) for target in targets]
    if not any(len(each) for each in matched):
        return logits.sum() * 0
    # torchvision reads them as one row a point, however they lie in memory.
    loss: Tensor = keypointrcnn_loss(logits.contiguous(), boxes, points, matched)
    return loss


def places_of(logits: Tensor, boxes: Tensor) -> Tensor:
    """Read the points off heat maps.

    torchvision enlarges each map to its box, one by one, which takes a second for the
    hundreds of objects of a tile; a cell is smaller than its map.

    Parameters
    ----------
    logits : Tensor of shape (N, 5, bins, bins)
    boxes : Tensor of shape (N, 4)

    Returns
    -------
    Tensor of shape (N, 5, 3)
        x, y and 1: the middle of the highest bin.
    """
    bins = logits.shape[-1]
    best = logits.flatten(2).argmax(2)
    shares = torch.stack([best % bins, best // bins], dim=2).to(boxes) + 0.5
    corners, sides = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
    places = corners + shares / bins * sides
    return torch.cat([places, torch.ones_like(places[..., :1])], dim=2)


def _ends(is_taken: Tensor) -> tuple[Tensor, Tensor]:
    """First and last True of each row of (N, L)."""
    taken = is_taken.int()
    return taken.argmax(1), taken.shape[1] - 1 - taken.flip(1).argmax(1)
