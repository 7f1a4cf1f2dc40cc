"""Architectures by name. Listing them loads no torch; building one does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_seg.errors import UnknownModelError
from napari_seg.models.specs import (
    attention,
    context,
    detectors,
    dilated,
    encoder_decoder,
)

if TYPE_CHECKING:
    from torch import nn

    from napari_seg.models.specs.spec import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    spec.name: spec
    for module in (encoder_decoder, dilated, context, attention, detectors)
    for spec in module.SPECS
}


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
        (total stride), `margin` (pixels eaten per side) and `min_size` (the shortest
        side it takes).

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
