"""Feature pyramids of timm's convolutional encoders, with dilation in place of strides.

Yu and Koltun, arXiv:1511.07122, and Chen et al., arXiv:1706.05587 (DeepLab v3), section
3.1: where a stage no longer halves the resolution, its convolutions and those after it
look twice as far apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from napari_seg.errors import UnknownModelError
from napari_seg.models.blocks.encoder import build_encoder


class Pyramid(nn.Module):
    """Feature maps of an encoder, finest first.

    Parameters
    ----------
    name : str
        An encoder of timm, e.g. ``"resnet50"``.
    in_channels : int
        Channels of the image.
    output_stride : {4, 8, 16, 32}
        Stride of the coarsest map.
    options : mapping, optional
        What timm is to build otherwise, e.g. ``{"layers": (1, 1, 1, 1)}``.
    stem_pool : bool
        False leaves out the max-pooling of a ResNet's stem: every map is twice as
        fine, for cells of 20 px would be left with 5 pixels after two layers.
    multi_grid : sequence of int, optional
        Dilations of the blocks of the last stage, relative to its own (DeepLab v3,
        section 3.1.1).
    pretrained : bool
        Whether timm fetches trained weights (kept in its cache).

    Attributes
    ----------
    channels, strides : tuple of int
        Of each map.
    """

    net: Any
    """timm's encoder, of which `torch.nn.Module` tells less than we use."""

    def __init__(
        self,
        name: str,
        in_channels: int,
        *,
        output_stride: int = 32,
        options: Mapping[str, Any] | None = None,
        stem_pool: bool = True,
        multi_grid: Sequence[int] = (),
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        finer = 1 if stem_pool else 2
        try:
            self.net = build_encoder(
                name,
                pretrained=pretrained,
                in_chans=in_channels,
                features_only=True,
                output_stride=output_stride * finer,
                **(options or {}),
            )
        except (AssertionError, TypeError) as error:
            # timm refuses so what an encoder cannot do.
            raise UnknownModelError(
                f"The encoder {name} cannot be built with an output stride of "
                f"{output_stride * finer}",
                str(error).splitlines()[0] if str(error) else "",
                "Choose a ResNet, a ConvNeXt or an Xception of timm, and a stride of "
                "8, 16 or 32.",
            ) from error
        strides = self.net.feature_info.reduction()
        if not stem_pool:
            _drop_pool(name, self.net)
            strides = [strides[0], *(stride // 2 for stride in strides[1:])]
        self.channels = tuple(self.net.feature_info.channels())
        self.strides = tuple(strides)
        if multi_grid:
            set_dilation(self.net.layer4, multi_grid, relative=True)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> maps of `channels` at `strides`."""
        found: list[Tensor] = self.net(x)
        return found

    def at(self, stride: int) -> int:
        """Index of the deepest map of that stride."""
        if stride not in self.strides:
            raise ValueError(
                f"The encoder has maps at strides {self.strides} (wanted: {stride})."
            )
        return len(self.strides) - 1 - self.strides[::-1].index(stride)


def set_dilation(
    stage: nn.Module, rates: Sequence[int], *, relative: bool = False
) -> None:
    """Let the 3x3 convolutions of a stage's blocks look further apart.

    Parameters
    ----------
    stage : nn.Module
        Its children are residual blocks; changed in place. No weight is added.
    rates : sequence of int
        Dilation of each block; repeated where there are more blocks.
    relative : bool
        Multiply the dilation that is there.
    """
    for number, block in enumerate(stage.children()):
        rate = rates[number % len(rates)]
        for layer in block.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                each = rate * layer.dilation[0] if relative else rate
                layer.dilation = layer.padding = (each, each)


def _drop_pool(name: str, net: Any) -> None:
    if not hasattr(net, "maxpool"):
        raise ValueError(f"The encoder {name} has no max-pooling to leave out.")
    net.maxpool = nn.Identity()
