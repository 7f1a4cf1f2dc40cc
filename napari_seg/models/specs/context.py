"""Networks that give the pixels of a coarse map their surroundings."""

from __future__ import annotations

from typing import Any

from napari_seg.models.specs.spec import Architecture, Reference

# A slim ResNet-18 whose maps are twice as fine: cells of 20 px would be left with 2
# pixels at a stride of 8, and have 5 after its first layers.
SLIM: dict[str, Any] = {
    "encoder": "resnet18",
    "encoder_options": {"channels": (32, 64, 128, 256)},
    "output_stride": 8,
    "stem_pool": False,
}
SLIM_RATES = (1, 2, 4)
"""Doubled at stride 8, where a patch of 160 px has 20 pixels. Taps that never fell into
it would be as they were drawn, and look at a larger image all the same."""

SPECS = (
    Architecture(
        name="deeplab-v3",
        title="DeepLab v3",
        family="dilated",
        authors="Chen et al.",
        year=2017,
        paper="arXiv:1706.05587",
        good_at="large structures of several sizes; thin gaps are blurred",
        network="napari_seg.models.deeplab_v3:DeepLabV3",
        training_arguments={**SLIM, "width": 128, "rates": SLIM_RATES},
        reference=Reference(
            39_048_533, "ResNet-50 and the head of section 3.3, counted by hand"
        ),
        pretrainable=True,
    ),
    Architecture(
        name="deeplab-v3plus",
        title="DeepLab v3+",
        family="dilated",
        authors="Chen et al.",
        year=2018,
        paper="arXiv:1802.02611",
        good_at="structures of several sizes with clean edges",
        network="napari_seg.models.deeplab_v3:deeplab_v3plus",
        training_arguments={**SLIM, "width": 128, "rates": SLIM_RATES},
        reference=Reference(
            40_352_181, "ResNet-50, pyramid and decoder of section 3.1, by hand"
        ),
        pretrainable=True,
    ),
    Architecture(
        name="pspnet",
        title="PSPNet",
        family="dilated",
        authors="Zhao et al.",
        year=2017,
        paper="arXiv:1612.01105",
        good_at="tissue regions, where the whole scene says what is what",
        network="napari_seg.models.pspnet:PSPNet",
        training_arguments=SLIM,
        reference=Reference(
            46_592_597 + 2_365_205, "ResNet-50, head and auxiliary head, by hand"
        ),
        aux_weight=0.4,  # section 3.3
        pretrainable=True,
    ),
    Architecture(
        name="bisenet",
        title="BiSeNet",
        family="real-time",
        authors="Yu et al.",
        year=2018,
        paper="arXiv:1808.00897",
        good_at="speed: many or huge images, large objects",
        network="napari_seg.models.bisenet:BiSeNet",
        training_arguments={"stem_pool": False},
        reference=Reference(
            1_541_963 + 2 * 150_163,
            "the authors' code with Xception39, and its two auxiliary heads",
            num_classes=19,
        ),
        aux_weight=1.0,  # equation 2 with alpha 1
    ),
    Architecture(
        name="cspn",
        title="CSPN",
        family="propagation",
        authors="Cheng et al.",
        year=2018,
        paper="arXiv:1808.00150; SPN arXiv:1710.01020",
        good_at="borders that follow the edges of the image",
        network="napari_seg.models.cspn:CSPN",
        training_arguments={"steps": 8},
    ),
)
