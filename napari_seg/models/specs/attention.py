"""Networks in which far pixels look at each other."""

from __future__ import annotations

from napari_seg.models.specs.spec import Architecture, Reference

SPECS = (
    Architecture(
        name="dpt",
        title="DPT",
        family="transformer",
        authors="Ranftl et al.",
        year=2021,
        paper="arXiv:2103.13413",
        good_at="what only the whole picture tells; many images",
        network="napari_seg.models.dpt:DPT",
        training_arguments={
            "encoder": "vit_tiny_patch16_224",
            "patch_px": 8,
            "image_px": 256,
            "stem": True,
            "channels": (32, 64, 96, 192),
            "fusion": 64,
        },
        reference=Reference(
            112_576_980 - 1_180_672 - 770_536,
            "Base of the authors' code, less a unit that nothing reaches and the "
            "transformer's own classifier",
            num_classes=150,
        ),
        aux_weight=0.2,  # section 4.2
        rate=0.5,
        pretrainable=True,
    ),
    Architecture(
        name="danet",
        title="DANet",
        family="attention",
        authors="Fu et al.",
        year=2019,
        paper="arXiv:1809.02983",
        good_at="alike objects all over the image; large structures",
        network="napari_seg.models.danet:DANet",
        training_arguments={
            "encoder": "resnet18",
            "encoder_options": {"channels": (32, 64, 128, 256)},
            "stem_pool": False,
        },
        reference=Reference(47_465_729, "ResNet-50 and the authors' head, by hand"),
        aux_weight=1.0,  # all three outputs count alike in the authors' code
        pretrainable=True,
    ),
    Architecture(
        name="segmenter",
        title="Segmenter",
        family="transformer",
        authors="Strudel et al.",
        year=2021,
        paper="arXiv:2105.05633",
        good_at="large regions told apart by far context; many images",
        network="napari_seg.models.segmenter:Segmenter",
        training_arguments={
            "encoder": "vit_tiny_patch16_224",
            "patch_px": 8,
            "image_px": 256,
        },
        reference=Reference(
            4_050_348 + 21_983_616,
            "ViT-Small for 512 px and mask decoder, 26.4 million in the authors' table "
            "with a classifier that nothing uses",
            num_classes=150,
        ),
        rate=0.25,
        pretrainable=True,
    ),
)
