"""Region proposals and region heads that leave out where nobody looked.

torchvision's parts call every proposal without a true object background. In labels
that are known only in part that is wrong, and so it is at an object of which the
patch shows a sliver. Such proposals are neither right nor wrong here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.roi_heads import (
    RoIHeads,
    fastrcnn_loss,
    maskrcnn_inference,
)
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import roi_align

from napari_seg.models.blocks.keypoints import Targets, keypoint_loss, places_of

MOST_IGNORED = 0.3
"""Share of ignored pixels above which a proposal without an object is not judged."""

Features = dict[str, Tensor]
"""Maps of a pyramid by name, the finest first."""


class Proposals(RegionProposalNetwork):
    """Region proposal network (Ren et al., arXiv:1506.01497, section 3.1)."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: Targets
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Match anchors to objects; -1 where they are not judged."""
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        return _without_ignored(labels, anchors, targets), boxes


class RegionHeads(RoIHeads):
    """Class, box and mask of each proposal (He et al., arXiv:1703.06870, section 3).

    torchvision's samples masks half a pixel off, which a street scene forgives and a
    cell does not; here all regions are aligned.
    """

    _targets: Targets = []  # noqa: RUF012 - replaced, never changed

    def forward(
        self,
        features: Features,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: Targets | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Return objects, or the losses where targets are given."""
        if targets is not None:
            return [], self._learn(features, proposals, targets)
        logits, shifts = self._classify(features, proposals)
        boxes, scores, labels = self.postprocess_detections(
            logits, shifts, proposals, image_shapes
        )
        masks = maskrcnn_inference(self._outline(features, boxes), labels)
        parts = {"boxes": boxes, "scores": scores, "labels": labels, "masks": masks}
        if self.has_keypoint():
            logits = self._point(features, boxes)
            sizes = [len(each) for each in boxes]
            parts["keypoints"] = list(places_of(logits, torch.cat(boxes)).split(sizes))
        found = zip(*parts.values(), strict=True)
        return [dict(zip(parts, each, strict=True)) for each in found], {}

    def _learn(
        self, features: Features, proposals: list[Tensor], targets: Targets
    ) -> dict[str, Tensor]:
        self._targets = targets
        try:
            proposals, matched, labels, wanted = self.select_training_samples(
                proposals, targets
            )
        finally:
            self._targets = []
        logits, shifts = self._classify(features, proposals)
        of_class, of_box = fastrcnn_loss(logits, shifts, labels, wanted)
        positive = [each > 0 for each in labels]
        boxes = [p[rows] for p, rows in zip(proposals, positive, strict=True)]
        matched = [m[rows] for m, rows in zip(matched, positive, strict=True)]
        of_mask = mask_loss(self._outline(features, boxes), boxes, matched, targets)
        losses = {
            "loss_classifier": of_class,
            "loss_box_reg": of_box,
            "loss_mask": of_mask,
        }
        if self.has_keypoint():
            logits = self._point(features, boxes)
            losses["loss_keypoint"] = keypoint_loss(logits, boxes, matched, targets)
        return losses

    def _classify(
        self, features: Features, boxes: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        logits, shifts = self.box_predictor(
            self.box_head(self.box_roi_pool(features, boxes))
        )
        return logits, shifts

    def _outline(self, features: Features, boxes: list[Tensor]) -> Tensor:
        logits: Tensor = self.mask_predictor(
            self.mask_head(self.mask_roi_pool(features, boxes))
        )
        return logits

    def _point(self, features: Features, boxes: list[Tensor]) -> Tensor:
        logits: Tensor = self.keypoint_predictor(
            self.keypoint_head(self.keypoint_roi_pool(features, boxes))
        )
        return logits

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


class PyramidAlign(nn.Module):
    """RoIAlign from the level of a pyramid that fits the size of each region.

    He et al., arXiv:1703.06870, section 3; the level by equation 1 of Lin et al.,
    arXiv:1612.03144.

    Parameters
    ----------
    bins, samples : int
        Bins per side, and points per side that are averaged in each.
    finest_px : float
        Regions up to this side are read from the first level, of stride 2; up to twice
        of it from the second, of stride 4; and so on.
    """

    def __init__(self, bins: int, samples: int, finest_px: float) -> None:
        super().__init__()
        self.bins = bins
        self.samples = samples
        self.finest_px = finest_px

    def forward(self, features: Features, boxes: list[Tensor]) -> Tensor:
        """Read regions.

        Parameters
        ----------
        features : dict of str to Tensor
            The levels, of strides 2, 4, ...; each (N, C, H, W).
        boxes : list of Tensor, shape (M, 4)
            For each image x0, y0, x1, y1 in pixels.

        Returns
        -------
        Tensor of shape (sum of M, C, bins, bins)
        """
        regions = torch.cat(
            [functional.pad(b, (1, 0), value=float(i)) for i, b in enumerate(boxes)]
        )
        sides = ((regions[:, 3:] - regions[:, 1:3]).prod(dim=1)).sqrt()
        level = (sides / self.finest_px).clamp(min=1e-6).log2().ceil()
        level = level.clamp(0, len(features) - 1)
        rows, found = [], []
        for number, feature in enumerate(features.values()):
            rows.append(torch.where(level == number)[0])
            scale = 0.5 ** (number + 1)
            read = (feature, regions[rows[-1]], self.bins, scale, self.samples)
            found.append(roi_align(*read, aligned=True))
        return torch.cat(found)[torch.cat(rows).argsort()]


def mask_loss(
    logits: Tensor, boxes: list[Tensor], matched: list[Tensor], targets: Targets
) -> Tensor:
    """Binary cross-entropy of the mask of the true class only.

    Parameters
    ----------
    logits : Tensor of shape (N, K, bins, bins)
    boxes : list of Tensor, shape (M, 4)
        For each image; N in all.
    matched : list of Tensor of int64, shape (M,)
        Number of the object of each box.
    targets : list of dict
        With ``masks`` and ``labels``.

    Returns
    -------
    Tensor
        Mean over all boxes and bins (He et al., arXiv:1703.06870, section 3); 0 for no
        box.
    """
    if not len(logits):
        return logits.sum() * 0
    wanted, classes = [], []
    for where, number, target in zip(boxes, matched, targets, strict=True):
        if not len(where):
            continue
        regions = torch.cat([number[:, None].to(where), where], dim=1)
        masks = target["masks"][:, None].to(where)
        wanted.append(roi_align(masks, regions, logits.shape[-1], aligned=True)[:, 0])
        classes.append(target["labels"][number])
    of_class = torch.cat(classes)
    mine = logits[torch.arange(len(logits), device=logits.device), of_class]
    return functional.binary_cross_entropy_with_logits(mine, torch.cat(wanted))


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
