"""Networks that look far by dilated ("atrous") convolutions instead of pooling."""

from __future__ import annotations

from napari_seg.models.specs.spec import Architecture, Reference

SLIM_RATES = (2, 4, 8, 12)
"""Of a patch of 160 px the map at stride 8 has 20 pixels. Taps that never fell into it
would be as they were drawn, and look at a larger image all the same."""
SLIM_RESNET = {"channels": (16, 32, 64, 128)}

SPECS = (
    Architecture(
        name="dilated-context",
        title="Dilated VGG with context module",
        family="dilated",
        authors="Yu and Koltun",
        year=2016,
        paper="arXiv:1511.07122",
        good_at="large structures that need wide surroundings",
        network="napari_seg.models.dilated_context:DilatedContext",
        training_arguments={
            "width": 12,
            "dense": 128,
            "padding": "same",
            "norm": "batch",
            "dropout": 0.1,
        },
        reference=Reference(
            134_346_581 + 28_392, "front end and basic module of the authors' code"
        ),
    ),
    Architecture(
        name="drn",
        title="DRN",
        family="dilated",
        authors="Yu et al.",
        year=2017,
        paper="arXiv:1705.09914",
        good_at="large structures, smoother outlines than plain dilation",
        network="napari_seg.models.drn:DRN",
        training_arguments={"variant": "D", "depth": 22, "width": 5},
        reference=Reference(
            15_880_752 + 512 * 19 + 19,
            "DRN-D-22 of the authors' code, 19 classes",
            num_classes=19,
        ),
    ),
    Architecture(
        name="deeplab-v1",
        title="DeepLab v1",
        family="dilated",
        authors="Chen et al.",
        year=2015,
        paper="arXiv:1412.7062",
        good_at="large structures, with a dense CRF afterwards",
        network="napari_seg.models.deeplab:DeepLabV1",
        training_arguments={
            "width": 12,
            "dense": 128,
            "rate": 6,
            "norm": "batch",
            "dropout": 0.1,
        },
        reference=Reference(20_505_429, "table 2 of the paper: 20.5 M, LargeFOV"),
    ),
    Architecture(
        name="deeplab-v2",
        title="DeepLab v2",
        family="dilated",
        authors="Chen et al.",
        year=2017,
        paper="arXiv:1606.00915",
        good_at="large structures of several sizes, with a dense CRF afterwards",
        network="napari_seg.models.deeplab:DeepLabV2",
        training_arguments={
            "encoder": "resnet18",
            "encoder_options": SLIM_RESNET,
            "stem_pool": False,
            "rates": SLIM_RATES,
        },
        reference=Reference(44_048_532, "ResNet-101 of the authors' code"),
        pretrainable=True,
    ),
    Architecture(
        name="hdc",
        title="HDC and DUC",
        family="dilated",
        authors="Wang et al.",
        year=2018,
        paper="arXiv:1702.08502",
        good_at="cells after a few minutes of training; no grid as of plain dilation",
        network="napari_seg.models.hdc:HDC",
        training_arguments={
            "rates": "1-2-5",
            "encoder": "resnet18",
            "encoder_options": SLIM_RESNET,
            "stem_pool": False,
        },
        reference=Reference(
            42_500_160 + 22_414_528,
            "ResNet-101 and one convolution for 8x8 pixels, 19 classes, by hand",
            num_classes=19,
        ),
        pretrainable=True,
    ),
)
