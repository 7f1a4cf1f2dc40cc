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
        pretrainable=True,
    ),
)
