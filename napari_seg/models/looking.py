"""Where a network's answer for a pixel comes from: its gradient and its attention."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_seg.models.blocks.attention import PixelAttention, token_attention

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


class Attention:
    """The last layer in which pixels attend to pixels, overheard during a pass.

    Parameters
    ----------
    layer : nn.Module
        A `PixelAttention`, or timm's attention of tokens.
    prefix : int
        Tokens before those of the patches.
    """

    def __init__(self, layer: nn.Module, prefix: int = 0) -> None:
        self.layer = layer
        self._prefix = prefix
        self._input: Tensor | None = None

    def __enter__(self) -> Attention:
        """Listen."""
        self._hook = self.layer.register_forward_pre_hook(self._keep)
        return self

    def __exit__(self, *error: object) -> None:
        """Listen no more."""
        self._hook.remove()

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._input = inputs[0].detach()

    def map_of(self, pixel: tuple[int, int], size: tuple[int, ...]) -> Array:
        """Return how much a pixel attends to each place.

        Parameters
        ----------
        pixel : (int, int)
            Row and column in the image of the pass.
        size : (int, int)
            Of that image.

        Returns
        -------
        ndarray of float32, shape `size`
            Patches or pixels of the coarse map as squares; their values sum to 1.
        """
        assert self._input is not None  # the pass went through the layer
        with torch.inference_mode():
            found = self._row(pixel, size)
        coarse = found.float().cpu().numpy()
        steps = [max(1, round(n / m)) for n, m in zip(size, coarse.shape, strict=True)]
        blocks = np.kron(coarse, np.ones(steps, np.float32))
        # Unpadded convolutions see a rim that no pixel of the map stands for.
        rims = [max(0, n - m) for n, m in zip(size, blocks.shape, strict=True)]
        blocks = np.pad(blocks, [(rim // 2, rim - rim // 2) for rim in rims])
        return blocks[: size[0], : size[1]]

    def _row(self, pixel: tuple[int, int], size: tuple[int, ...]) -> Tensor:
        x = self._input
        assert x is not None
        if isinstance(self.layer, PixelAttention):
            at = [p * m // n for p, m, n in zip(pixel, x.shape[2:], size, strict=True)]
            return self.layer.look(x, (at[0], at[1]))[0]
        patch = round(math.sqrt(size[0] * size[1] / (x.shape[1] - self._prefix)))
        grid = [n // patch for n in size]
        at = [p // patch for p in pixel]
        number = self._prefix + at[0] * grid[1] + at[1]
        row = token_attention(self.layer, x, number)[0, self._prefix :]
        return row.unflatten(0, grid)


def find_attention(network: nn.Module) -> Attention | None:
    """Return the last attention between pixels or patches, or None without any."""
    found: Attention | None = None
    for module in network.modules():
        if isinstance(module, PixelAttention):
            found = Attention(module)
        encoder: Any = getattr(module, "encoder", None)
        if encoder is not None and hasattr(encoder, "num_prefix_tokens"):
            last = max(getattr(module, "taps", (-1,)))
            found = Attention(encoder.blocks[last].attn, encoder.num_prefix_tokens)
    return found


def gradient_of(
    network: nn.Module,
    image: Array,
    pixel: tuple[int, int],
    attention: Attention | None = None,
) -> tuple[int, Array]:
    """Differentiate the answer for a pixel by the image.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, on the processor; left as it is.
    image : ndarray of float32, shape (C, H, W)
        Normalised.
    pixel : (int, int)
        Row and column in the output.
    attention : Attention, optional
        Listens to the pass.

    Returns
    -------
    answer : int
        The class that wins.
    gradient : ndarray of float32, shape (H, W)
        Sizes of the derivatives of its logit less the mean of all logits, which alone
        decides, summed over the channels.
    """
    x = torch.from_numpy(image)[None].requires_grad_()
    with torch.enable_grad(), attention or nullcontext():
        logits = network(x)["out"][0, :, pixel[0], pixel[1]]
        if len(logits) == 1:
            answer, score = int(logits[0] > 0), logits[0]
        else:
            answer = int(logits.argmax())
            score = logits[answer] - logits.mean()
        (gradient,) = torch.autograd.grad(score, x)
    return answer, gradient[0].abs().sum(dim=0).numpy()
