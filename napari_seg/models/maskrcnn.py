"""Mask R-CNN (2017): objects as boxes, each with a score and a small mask.

He, Gkioxari, Dollar and Girshick, arXiv:1703.06870, on the feature pyramid of Lin et
al., arXiv:1612.03144; region proposals and the layers of the heads are torchvision's.

Departures from the paper, for cells instead of street scenes:
  - images come normalised, and with objects of a known size: they are neither resized
    nor shifted, and anchors are multiples of that size;
  - the pyramid begins at stride 2, where the regions of ordinary cells are read from,
    and ends at stride 16; the trunk is narrow and drawn at random;
  - hundreds of objects in a tile: more proposals and detections are kept, and boxes
    may overlap more before the weaker one goes;
  - proposals where nobody looked are not judged (see `blocks/regions.py`);
  - the keypoints (section 5), if asked for, are those that every mask has: its centre
    and its four extreme points (see `blocks/keypoints.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.keypoint_rcnn import (
    KeypointRCNNHeads,
    KeypointRCNNPredictor,
)
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FeaturePyramidNetwork

from napari_seg.models.blocks.dense import next_multiple, pad_to
from napari_seg.models.blocks.keypoints import KEYPOINTS
from napari_seg.models.blocks.regions import Proposals, PyramidAlign, RegionHeads
from napari_seg.models.blocks.residual import ResidualTrunk

if TYPE_CHECKING:
    from napari_seg.models.blocks.conv import Norm

ANCHORS = ((0.6, 1.0), (1.6, 2.5), (4.0, 6.0))
"""Sides of the anchors at strides 4, 8 and 16, in object diameters."""
RATIOS = (0.5, 1.0, 2.0)
"""Heights over widths of the anchors."""
FINEST = 1.6
"""Objects up to so many diameters are read at stride 2, twice as large ones at 4."""
LOWEST_SCORE = 0.05
"""Fainter objects are not returned at all."""
BOX_BINS, MASK_BINS = 7, 14
"""Bins per side of RoIAlign; masks have twice as many pixels."""


class MaskRCNN(nn.Module):
    """Boxes, scores and masks of objects, in 2D.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image; classes with the background.
    diameter_px : float
        Typical diameter (pixels) of the objects, from which anchors are made.
    channels, blocks : sequence of int
        Channels and residual blocks at strides 2, 4, 8 and 16.
    pyramid : int
        Channels of the feature pyramid.
    box_channels, mask_channels : int
        Width of the two layers of the box head and the three of the mask head.
    norm : {"batch", "group"}
        Normalisation of the trunk.
    detections : int
        Objects of an image at most.
    keypoints : bool
        Learn and return the points of each object, too.

    Attributes
    ----------
    divisor : int
        Total stride.
    margin : int
        0: nothing is eaten.
    min_size : int
        Shortest side that is taken.
    fusible : str
        The part that maps an image to feature maps.
    """

    margin = 0
    min_size = 1
    fusible = "encoder"

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        *,
        diameter_px: float = 24.0,
        channels: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (2, 2, 2, 2),
        pyramid: int = 64,
        box_channels: int = 256,
        mask_channels: int = 64,
        norm: Norm = "batch",
        detections: int = 1000,
        keypoints: bool = False,
    ) -> None:
        super().__init__()
        if len(channels) != 4:
            raise ValueError(f"Mask R-CNN has four levels (found: {len(channels)}).")
        self.divisor = 2 ** len(channels)
        self.encoder = ResidualTrunk(in_channels, channels, blocks, norm)
        self.pyramid = FeaturePyramidNetwork(list(channels), pyramid)
        self.proposals = _proposals(pyramid, diameter_px, detections)
        self.heads = _heads(
            pyramid, num_classes, diameter_px, box_channels, mask_channels, detections
        )
        if keypoints:
            width = mask_channels
            self.heads.keypoint_roi_pool = PyramidAlign(
                MASK_BINS, 1, FINEST * diameter_px
            )
            self.heads.keypoint_head = KeypointRCNNHeads(pyramid, (width,) * 4)
            self.heads.keypoint_predictor = KeypointRCNNPredictor(width, len(KEYPOINTS))

    def forward(
        self, images: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses where targets are given, otherwise objects.

        Parameters
        ----------
        images : Tensor of shape (N, C, H, W)
            Normalised, of any size.
        targets : list of dict, optional
            For each image ``boxes`` (M, 4) as x0, y0, x1, y1; ``labels`` (M,) from 1;
            ``masks`` (M, H, W); and, if need be, ``ignored`` (H, W), bool.

        Returns
        -------
        dict or list of dict
            ``loss_classifier``, ``loss_box_reg``, ``loss_mask``, ``loss_objectness``
            and ``loss_rpn_box_reg``, scalars; or for each image ``boxes`` (M, 4) in
            pixels, ``scores`` and ``labels`` (M,), and ``masks`` (M, 1, 28, 28),
            probabilities inside the box, the best first. With keypoints also
            ``loss_keypoint``, or ``keypoints`` (M, 5, 3): x, y and 1 for each of
            `KEYPOINTS`.
        """
        sizes = [(images.shape[2], images.shape[3])] * len(images)
        padded = pad_to(images, [self.input_size(n) for n in images.shape[2:]])
        features = self.pyramid(self.encoder(padded))
        # They hold no dropout or batch norm: to them "training" only means that there
        # are targets.
        self.proposals.training = targets is not None
        # Corners of boxes need more digits than half precision has.
        with torch.autocast(images.device.type, enabled=False):
            features = {name: value.float() for name, value in features.items()}
            coarse = {name: value for name, value in features.items() if name != "0"}
            listed = ImageList(padded, sizes)
            proposed, losses = self.proposals(listed, coarse, targets)
            found, more = self.heads(features, proposed, sizes, targets)
        if targets is None:
            objects: list[dict[str, Tensor]] = found
            return objects
        return {**more, **losses}

    def input_size(self, at_least: int) -> int:
        """Smallest size without padding that is not below `at_least`."""
        return next_multiple(at_least, self.divisor)


def _proposals(channels: int, diameter_px: float, detections: int) -> Proposals:
    anchors = AnchorGenerator(
        tuple(tuple(side * diameter_px for side in sides) for sides in ANCHORS),
        (RATIOS,) * len(ANCHORS),
    )
    return Proposals(
        anchors,
        RPNHead(channels, len(ANCHORS[0]) * len(RATIOS)),
        # Of 0.7 and 0.3 in the paper: a cell of 20 px shifted by 2 has 0.68.
        fg_iou_thresh=0.6,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 600, "testing": 2 * detections},
        post_nms_top_n={"training": 300, "testing": detections},
        nms_thresh=0.7,
    )


def _heads(
    channels: int,
    num_classes: int,
    diameter_px: float,
    box_channels: int,
    mask_channels: int,
    detections: int,
) -> RegionHeads:
    finest_px = FINEST * diameter_px
    return RegionHeads(
        box_roi_pool=PyramidAlign(BOX_BINS, 2, finest_px),
        box_head=TwoMLPHead(channels * BOX_BINS**2, box_channels),
        box_predictor=FastRCNNPredictor(box_channels, num_classes),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=96,
        positive_fraction=0.35,
        bbox_reg_weights=None,
        score_thresh=LOWEST_SCORE,
        # Touching cells have overlapping boxes; two finds of one cell are told apart
        # by their masks later.
        nms_thresh=0.6,
        detections_per_img=detections,
        # A bin of an ordinary cell is about a pixel of the finest map.
        mask_roi_pool=PyramidAlign(MASK_BINS, 1, finest_px),
        mask_head=MaskRCNNHeads(channels, (mask_channels,) * 3, 1),
        mask_predictor=MaskRCNNPredictor(mask_channels, mask_channels, num_classes),
    )
