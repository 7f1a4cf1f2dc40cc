"""Networks that go down to coarse maps and come up again."""

from __future__ import annotations

from napari_seg.models.specs.spec import Architecture, Reference

SLIM_VGG = {"width": 12, "dense": 128, "norm": "batch", "dropout": 0.1}
"""VGG-16 at a fifth of its width."""
_FCN = "the authors' code, with its fixed kernels"

SPECS = (
    Architecture(
        name="patch-classifier",
        title="Sliding-window classifier",
        family="classifier",
        authors="Ciresan et al.",
        year=2012,
        paper="NIPS 2012, Deep Neural Networks Segment Neuronal Membranes",
        good_at="an honest, slow baseline for textures",
        network="napari_seg.models.patch_classifier:PatchClassifier",
        training_arguments={"kernels_px": (4, 5, 4), "width": 24, "hidden": 64},
        reference=Reference(
            219_290, "network of 95 px windows, table 1 of the paper, by hand", 1, 2
        ),
    ),
    Architecture(
        name="equal-size-fcn",
        title="Equal-size FCN",
        family="fully convolutional",
        authors="after Long et al.",
        year=2015,
        paper="arXiv:1411.4038, section 3",
        good_at="small spots, exact to the pixel; little context",
        network="napari_seg.models.equal_size:EqualSizeFCN",
        training_arguments={"width": 32, "norm": "batch"},
        reference=Reference(259_266, "eight layers of 64 channels, by hand", 1, 2),
    ),
    *(
        Architecture(
            name=f"fcn{stride}s",
            title=f"FCN-{stride}s",
            family="fully convolutional",
            authors="Long et al.",
            year=2015,
            paper="arXiv:1411.4038",
            good_at=good_at,
            network=f"napari_seg.models.fcn:FCN{stride}s",
            training_arguments=SLIM_VGG | {"rim_px": 1, "core_px": 3},
            reference=Reference(parameters, _FCN),
        )
        for stride, parameters, good_at in (
            (32, 136_152_917, "where large regions are; coarse outlines"),
            (16, 134_815_994, "large objects, less coarse than FCN-32s"),
            (8, 134_489_759, "large objects; the finest of the FCNs"),
        )
    ),
    Architecture(
        name="deconvnet",
        title="DeconvNet",
        family="encoder and decoder",
        authors="Noh et al.",
        year=2015,
        paper="arXiv:1505.04366",
        good_at="outlines of single, large objects",
        network="napari_seg.models.deconvnet:DeconvNet",
        training_arguments={"width": 12, "dense": 128, "core_px": 3},
        reference=Reference(251_805_653, "the authors' code, 252 M in the paper"),
    ),
    Architecture(
        name="segnet",
        title="SegNet",
        family="encoder and decoder",
        authors="Badrinarayanan et al.",
        year=2015,
        paper="arXiv:1511.00561",
        good_at="large images on little memory; regions and textures",
        network="napari_seg.models.segnet:SegNet",
        training_arguments={"width": 16},
        reference=Reference(
            29_449_355, "table 4 of the paper: 29.45 M", num_classes=11
        ),
    ),
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
        volume_arguments={"channels": (16, 32, 64, 128), "flat_levels": 1},
        reference=Reference(31_030_658, "figure 1 of the paper, counted by hand", 1, 2),
        ndims=(2, 3),
    ),
)
