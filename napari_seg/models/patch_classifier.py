"""Deep Neural Networks Segment Neuronal Membranes in Electron Microscopy (2012).

Ciresan, Giusti, Gambardella and Schmidhuber, NIPS 2012, table 1: a network of four
convolutions, each with a max-pooling, and two fully connected layers says of the middle
of a window what it is. The window slides over all pixels; beyond the border the image
is mirrored (section 2.2).

The same weights are also used as one fully convolutional network, which computes only
once what neighbouring windows share: poolings of stride 1, and layers after them that
are dilated by what was not strided (Giusti et al. 2013, arXiv:1302.1700, keep fragments
instead). Its logits are those of the sliding window, at every pixel.

Departures from the paper: ReLU in place of the squashing function of the time, no
foveation, no average of several networks, no calibration of the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_seg.models.blocks.conv import init_he
from napari_seg.models.blocks.dense import DenseNetwork
from napari_seg.models.blocks.mirror import mirror_pad

CORE_PX = 3
"""Side of the map that the fully connected layers read."""


class PatchClassifier(DenseNetwork):
    """Class of the middle pixel of a window.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    kernels_px : sequence of int
        Sides of the convolutions, each followed by a 2x2 max-pooling.
    width : int
        Channels (maps) of each.
    hidden : int
        Channels of the fully connected layer.
    sliding : bool
        Cut out a window for each pixel, as in the paper, instead of computing all
        pixels at once. Slow, and the same.
    windows : int
        Windows at once.

    Attributes
    ----------
    window_px : int
        Side of the window, an odd number.
    dilates : bool
        True: its layers are applied dilated, although they do not look so.
    """

    dilates = True

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        *,
        kernels_px: Sequence[int] = (4, 5, 4, 4),
        width: int = 48,
        hidden: int = 200,
        sliding: bool = False,
        windows: int = 1024,
    ) -> None:
        super().__init__()
        self.window_px = CORE_PX
        for side in reversed(kernels_px):
            self.window_px = 2 * self.window_px + side - 1
        if not self.window_px % 2:
            raise ValueError(
                f"Kernels of {tuple(kernels_px)} px make a window without a middle "
                f"({self.window_px} px). Let the first be even."
            )
        self.sliding, self.windows = sliding, windows
        widths = [in_channels, *[width] * len(kernels_px)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(n_in, width, side)
            for n_in, side in zip(widths, kernels_px, strict=False)
        )
        # Written as convolutions: to a window they are fully connected.
        self.hidden = nn.Conv2d(widths[-1], hidden, CORE_PX)
        self.head = nn.Conv2d(hidden, num_classes, 1)
        init_he(self)

    def logits(self, x: Tensor) -> dict[str, Any]:
        """Logits of the size of the image."""
        padded = mirror_pad(x, self.window_px // 2)
        if not self.sliding:
            return {"out": self._dense(padded)}
        return {"out": torch.stack([self._slide(each) for each in padded])}

    def classify(self, windows: Tensor) -> Tensor:
        """Classify windows, (N, C, window, window), with strides: (N, K)."""
        x = windows
        for conv in self.convolutions:
            x = functional.max_pool2d(functional.relu(conv(x)), 2)
        return self.head(functional.relu(self.hidden(x))).flatten(1)

    def _slide(self, padded: Tensor) -> Tensor:
        """Classify the window around each pixel: (K, H, W)."""
        side = self.window_px
        views = padded.unfold(1, side, 1).unfold(2, side, 1).movedim(0, 2)
        rows, columns = views.shape[:2]
        found = []
        for start in range(0, rows * columns, self.windows):
            number = torch.arange(start, min(start + self.windows, rows * columns))
            cut = views[number // columns, number % columns]
            found.append(self.classify(cut))
        return torch.cat(found).T.reshape(-1, rows, columns)

    def _dense(self, padded: Tensor) -> Tensor:
        """Classify all pixels at once: (N, K, H, W)."""
        x, step = padded, 1
        for conv in self.convolutions:
            assert isinstance(conv, nn.Conv2d)
            x = functional.conv2d(x, conv.weight, conv.bias, dilation=step)
            x = functional.max_pool2d(functional.relu(x), 2, stride=1, dilation=step)
            step *= 2
        x = functional.conv2d(x, self.hidden.weight, self.hidden.bias, dilation=step)
        out: Tensor = self.head(functional.relu(x))
        return out
