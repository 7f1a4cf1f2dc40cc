"""The decoder of SegNet and DeconvNet: VGG-16 mirrored, with max-unpoolings."""

from __future__ import annotations

from torch import Tensor, nn

from napari_seg.models.blocks.conv import CONV, CONV_TRANSPOSE, Norm, norm_layer
from napari_seg.models.blocks.upsample import unpool
from napari_seg.models.blocks.vgg import CONVOLUTIONS, Features


class UnpoolingDecoder(nn.Module):
    """Five stages, coarse to fine, each of a max-unpooling and convolutions.

    Parameters
    ----------
    channels : tuple of int
        Of the stages of the encoder, finest first. The last convolution of each stage
        has those of the next finer one.
    norm : {"batch", "group"}, optional
    transposed : bool
        Transposed 3x3 convolutions (DeconvNet) instead of plain ones (SegNet). With
        stride 1 they can compute the same; the difference is history.
    omit_last : bool
        Leave the last convolution to the caller (SegNet's gives the logits).
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        norm: Norm | None,
        *,
        transposed: bool = False,
        omit_last: bool = False,
    ) -> None:
        super().__init__()
        conv = CONV_TRANSPOSE[2] if transposed else CONV[2]
        self.stages = nn.ModuleList()
        for stage in reversed(range(len(channels))):
            width, finer = channels[stage], channels[max(stage - 1, 0)]
            count = CONVOLUTIONS[stage]
            widths = [width] * count + [finer]
            layers: list[nn.Module] = []
            for number in range(count - (omit_last and not stage)):
                layers += [
                    conv(widths[number], widths[number + 1], 3, padding=1),
                    norm_layer(norm, widths[number + 1], 2),
                    nn.ReLU(inplace=True),
                ]
            self.stages.append(nn.Sequential(*layers))

    def forward(self, x: Tensor, features: Features) -> Tensor:
        """Map of the encoder's last pooling -> map of the size of the image."""
        switches, sizes = list(features.switches), list(features.sizes)
        for stage in self.stages:
            x = stage(unpool(x, switches.pop(), size=sizes.pop()))
        return x
