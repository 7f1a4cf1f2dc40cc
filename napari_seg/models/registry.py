"""Architectures by name. Listing them loads no torch; building one does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_seg.errors import UnknownModelError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """A network that can be built and trained."""

    name: str
    """Name for `build_network` and ``--architecture``."""
    summary: str
    """Title, year and what it is, in one line."""
    build: Callable[..., nn.Module]
    """Keyword-only builder: in_channels, num_classes, ndim and options."""
    training_arguments: dict[str, Any]
    """Arguments for training from scratch where the caller gives none."""
    aux_weight: float = 0.4
    """Weight of the loss of its auxiliary heads, if it has any."""
    pretrainable: bool = False
    """Whether `build` takes ``pretrained=True``, for an encoder trained elsewhere."""
    kind: Literal["dense", "detector"] = "dense"
    """Whether it classifies pixels, or finds objects one by one. A detector is built
    for objects of a size, ``diameter_px``."""


def build_network(
    name: str, *, in_channels: int, num_classes: int, ndim: int = 2, **options: Any
) -> nn.Module:
    """Build an untrained network.

    Parameters
    ----------
    name : str
        An architecture of `list_models`, e.g. ``"unet"``.
    in_channels, num_classes : int
        Channels of the image and of the logits.
    ndim : {2, 3}
        Spatial dimensions.
    **options
        Arguments of the architecture, e.g. ``channels=(32, 64, 128)``.

    Returns
    -------
    torch.nn.Module
        ``forward`` takes (N, C, *spatial) and returns a dict with the logits (N, K,
        *spatial less twice `margin`) under ``"out"``; that of a detector returns the
        objects of each image, see `maskrcnn.py`. It has the attributes `divisor`
        (total stride) and `margin` (pixels eaten per side).

    Raises
    ------
    UnknownModelError
        If there is no such architecture.
    """
    return find_architecture(name).build(
        in_channels=in_channels, num_classes=num_classes, ndim=ndim, **options
    )


def find_architecture(name: str) -> Architecture:
    """Architecture of that name, or UnknownModelError, which lists them."""
    architecture = ARCHITECTURES.get(name)
    if architecture is None:
        raise UnknownModelError(
            f"There is no architecture named {name!r}",
            remedy=f"Choose one of: {', '.join(sorted(ARCHITECTURES))}.",
        )
    return architecture


def _build_unet(
    *, in_channels: int, num_classes: int, ndim: int = 2, **options: Any
) -> nn.Module:
    from napari_seg.models.unet import UNet

    return UNet(in_channels, num_classes, ndim=ndim, **options)


def _build_dpt(
    *, in_channels: int, num_classes: int, ndim: int = 2, **options: Any
) -> nn.Module:
    from napari_seg.models.dpt import DPT

    return DPT(in_channels, num_classes, ndim=ndim, **options)


def _build_maskrcnn(
    *, in_channels: int, num_classes: int, ndim: int = 2, **options: Any
) -> nn.Module:
    from napari_seg.models.maskrcnn import MaskRCNN

    return MaskRCNN(in_channels, num_classes, ndim=ndim, **options)


ARCHITECTURES: dict[str, Architecture] = {
    entry.name: entry
    for entry in (
        Architecture(
            name="unet",
            summary="U-Net (Ronneberger et al. 2015), 2D or 3D",
            build=_build_unet,
            training_arguments={
                "channels": (24, 48, 96, 192, 256),
                "padding": "same",
                "norm": "batch",
            },
        ),
        Architecture(
            name="dpt",
            summary="DPT, a vision transformer (Ranftl et al. 2021), 2D",
            build=_build_dpt,
            training_arguments={
                "encoder": "vit_tiny_patch16_224",
                "patch_px": 8,
                "image_px": 256,
                "stem": True,
                "channels": (32, 64, 96, 192),
                "fusion": 64,
            },
            aux_weight=0.2,  # section 4.2
            pretrainable=True,
        ),
        Architecture(
            name="maskrcnn",
            summary="Mask R-CNN (He et al. 2017), finds objects one by one, 2D",
            build=_build_maskrcnn,
            training_arguments={},
            kind="detector",
        ),
    )
}
