"""Networks that find objects one by one."""

from __future__ import annotations

from napari_seg.models.specs.spec import Architecture

SPECS = (
    Architecture(
        name="maskrcnn",
        title="Mask R-CNN",
        family="detector",
        authors="He et al.",
        year=2017,
        paper="arXiv:1703.06870",
        good_at="objects that overlap or differ much in size, found one by one",
        network="napari_seg.models.maskrcnn:MaskRCNN",
        training_arguments={},
        kind="detector",
    ),
)
