"""Networks that go down to coarse maps and come up again."""

from __future__ import annotations

from napari_seg.models.specs.spec import Architecture, Reference

SPECS = (
    Architecture(
        name="unet",
        title="U-Net",
        family="encoder and decoder",
        authors="Ronneberger et al.",
        year=2015,
        paper="arXiv:1505.04597; in 3D arXiv:1606.06650",
        good_at="few images, thin borders between touching cells",
        network="napari_seg.models.unet:UNet",
        training_arguments={
            "channels": (24, 48, 96, 192, 256),
            "padding": "same",
            "norm": "batch",
        },
        reference=Reference(31_030_658, "figure 1 of the paper, counted by hand", 1, 2),
        ndims=(2, 3),
    ),
)
