"""Multi-Scale Context Aggregation by Dilated Convolutions (2016).

Yu and Koltun, arXiv:1511.07122. The front end (section 4): VGG-16 without its last two
poolings, the layers after them dilated instead, unpadded, on the mirrored image. The
context module (section 3 and table 1, "basic" or "large"): eight more convolutions
whose dilations grow from 1 to 16 and which start as the identity.

Departures from the paper:
  - scores are enlarged by interpolation; the authors' fixed kernel of 16 px does the
    same, but for 4 px at the border;
  - the module pads each of its convolutions, where the authors pad once by 33 px;
  - with ``padding="same"`` the front end pads its convolutions, too, instead of
    mirroring the image by 186 px: a tile of 160 px is computed eleven times faster;
  - ``width``, ``dense`` and ``norm``, to train slim ones from nothing and at once; the
    authors trained the front end from VGG's weights, and the module after it.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from napari_seg.models.blocks.conv import Norm, Padding, init_he
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.mirror import mirror_pad
from napari_seg.models.blocks.vgg import VGGEncoder, dense_layer

RATES = (1, 1, 2, 4, 8, 16, 1)
"""Dilations of the 3x3 convolutions of the module (table 1)."""
WIDENING = {"basic": (1,) * 7, "large": (2, 2, 4, 8, 16, 32, 32)}
"""Channels after each of them, in classes (table 1)."""
MIRROR_PX = 186
"""What the unpadded front end eats of each side."""
NOISE = 0.01
"""Spread of the weights that are not part of the identity."""

Size = Literal["basic", "large"]


class ContextModule(nn.Module):
    """Dilated convolutions that see 67x67 scores, and start by doing nothing.

    Parameters
    ----------
    channels : int
        Of the input and of the output.
    size : {"basic", "large"}
    noise : float
        Spread of the weights around the identity (section 3, equations 4 and 5).
    """

    def __init__(
        self, channels: int, size: Size = "basic", noise: float = NOISE
    ) -> None:
        super().__init__()
        if size not in WIDENING:
            raise ValueError(f"context must be basic or large (found: {size!r}).")
        self.layers = nn.Sequential()
        n_in = channels
        for rate, times in zip(RATES, WIDENING[size], strict=True):
            n_out = times * channels
            self.layers.append(nn.Conv2d(n_in, n_out, 3, padding=rate, dilation=rate))
            self.layers.append(nn.ReLU(inplace=True))
            n_in = n_out
        self.layers.append(nn.Conv2d(n_in, channels, 1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                _make_identity(layer, channels, noise)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same."""
        out: Tensor = self.layers(x)
        return out


class DilatedContext(DenseNetwork):
    """Dilated VGG-16 and the context module.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    width : int
        Channels of the first stage of VGG.
    dense : int
        Channels of the two layers that were fully connected.
    context : {"basic", "large"}, optional
        Size of the module; None leaves it out.
    padding : {"valid", "same"}
    norm : {"batch", "group"}, optional
        In the front end.
    dropout : float
        After each of the two layers.
    """

    divisor = 8

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        width: int = 64,
        dense: int = 4096,
        context: Size | None = "basic",
        padding: Padding = "valid",
        norm: Norm | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.mirror_px = MIRROR_PX if padding == "valid" else 0
        self.encoder = VGGEncoder(
            in_channels,
            width=width,
            norm=norm,
            padding=padding,
            strides=(2, 2, 2, 0, 0),
            dilations=(1, 1, 1, 1, 2),
        )
        rim = 12 if padding == "same" else 0
        self.dense = nn.Sequential(
            *dense_layer(
                nn.Conv2d(self.encoder.channels[-1], dense, 7, padding=rim, dilation=4),
                norm,
                dropout,
            ),
            *dense_layer(nn.Conv2d(dense, dense, 1), norm, dropout),
        )
        self.head = nn.Conv2d(dense, num_classes, 1)
        init_he(self)
        self.context = ContextModule(num_classes, context) if context else nn.Identity()

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits at stride 8."""
        x = mirror_pad(x, self.mirror_px) if self.mirror_px else x
        return {"out": self.context(self.head(self.dense(self.encoder(x).pooled[-1])))}


def _make_identity(conv: nn.Conv2d, channels: int, noise: float) -> None:
    """Let a layer pass on its input (equation 5).

    Channels of input and output fall into as many groups as there are classes. Each
    output takes the sum of its group, shared out among the outputs of that group.
    """
    n_out, n_in = conv.out_channels, conv.in_channels
    group_in = torch.arange(n_in) * channels // n_in
    group_out = torch.arange(n_out) * channels // n_out
    same = (group_out[:, None] == group_in[None, :]).float() * channels / n_out
    middle = conv.kernel_size[0] // 2
    with torch.no_grad():
        conv.weight.normal_(0, noise * channels / n_out)
        conv.weight[..., middle, middle] += same.to(conv.weight.device)
        assert conv.bias is not None
        conv.bias.zero_()
