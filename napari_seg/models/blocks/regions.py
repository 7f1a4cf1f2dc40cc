"""Region proposals and region heads that leave out where nobody looked.

torchvision's parts call every proposal without a true object background. In labels
that are known only in part that is wrong, and so it is at an object of which the
patch shows a sliver. Such proposals are neither right nor wrong here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

MOST_IGNORED = 0.3
"""Share of ignored pixels above which a proposal without an object is not judged."""

Targets = list[dict[str, Tensor]]
"""For each image ``boxes``, ``labels``, ``masks`` and perhaps ``ignored`` (Y, X)."""


class Proposals(RegionProposalNetwork):
    """Region proposal network (Ren et al., arXiv:1506.01497, section 3.1)."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: Targets
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Match anchors to objects; -1 where they are not judged."""
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        return _without_ignored(labels, anchors, targets), boxes


class RegionHeads(RoIHeads):
    """Class, box and mask of each proposal (He et al., arXiv:1703.06870, section 3)."""

    _targets: Targets = []  # noqa: RUF012 - replaced, never changed

    def select_training_samples(
        self, proposals: list[Tensor], targets: Targets | None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Draw proposals to learn from."""
        self._targets = targets or []
        try:
            return super().select_training_samples(proposals, targets)
        finally:
            self._targets = []

    def assign_targets_to_proposals(
        self,
        proposals: list[Tensor],
        gt_boxes: list[Tensor],
        gt_labels: list[Tensor],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Match proposals to objects; -1 where they are not judged."""
        matched, labels = super().assign_targets_to_proposals(
            proposals, gt_boxes, gt_labels
        )
        return matched, _without_ignored(labels, proposals, self._targets)


def _without_ignored(
    labels: list[Tensor], boxes: Sequence[Tensor], targets: Targets
) -> list[Tensor]:
    """Mark background with -1 where much of it is ignored."""
    for mine, where, target in zip(labels, boxes, targets, strict=True):
        ignored = target.get("ignored")
        if ignored is not None and bool(ignored.any()):
            share = ignored_share(ignored, where)
            mine[(mine == 0) & (share > MOST_IGNORED)] = -1
    return labels


def ignored_share(ignored: Tensor, boxes: Tensor) -> Tensor:
    """Share of each box, clipped to the image, that is ignored.

    Parameters
    ----------
    ignored : Tensor of bool, shape (Y, X)
    boxes : Tensor of shape (N, 4)
        x0, y0, x1, y1 in pixels, rounded to whole ones.

    Returns
    -------
    Tensor of float32, shape (N,)
        0 for boxes outside of the image.
    """
    rows, columns = ignored.shape
    # Summed area table: each box costs four look-ups.
    table = torch.zeros(rows + 1, columns + 1, device=ignored.device)
    table[1:, 1:] = ignored.float().cumsum(0).cumsum(1)
    x0, x1 = (boxes[:, i].round().clamp(0, columns).long() for i in (0, 2))
    y0, y1 = (boxes[:, i].round().clamp(0, rows).long() for i in (1, 3))
    total = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    return total / ((y1 - y0) * (x1 - x0)).clamp(min=1)
