"""Convolutions with weights packed for the processor, ReLU included.

oneDNN would reorder the weights anew at every call; done once, and with the ReLU in
the same kernel, a U-Net takes about a tenth less time (measured). The operators are
what torch's own compiler uses, but they are not public: where they are missing or
compute something else, the network stays as it is.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from napari_seg.inference.fusion import is_same, replace_module, trace_pairs


class PackedConvReLU(nn.Module):
    """A 2D convolution and the ReLU after it, for inference on the CPU.

    Parameters
    ----------
    conv : nn.Conv2d
        With zero padding given in numbers.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.geometry: tuple[list[Any], list[Any], list[Any], int] = (
            list(conv.padding),
            list(conv.stride),
            list(conv.dilation),
            conv.groups,
        )
        self.bias = None if conv.bias is None else conv.bias.detach()
        # Not a parameter: packed tensors cannot be moved or saved.
        self.packed = torch._C._nn.mkldnn_reorder_conv2d_weight(
            conv.weight.detach().to_mkldnn(), *self.geometry
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, rows, columns) and drop what is negative."""
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.packed, self.bias, *self.geometry, "relu", [], ""
        )
        return result


def pack_for_cpu(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy that computes the same in less time, or the network itself.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, on the CPU, free of normalisations that could be folded.
    example : Tensor
        Small legal input.

    Returns
    -------
    nn.Module
    """
    if not torch.backends.mkldnn.is_available():
        return network
    packed = copy.deepcopy(network)
    with torch.inference_mode():
        pairs, expected = trace_pairs(packed, example, (nn.ReLU,))
        try:
            for conv_name, relu_name in pairs:
                conv = packed.get_submodule(conv_name)
                if isinstance(conv, nn.Conv2d) and _is_plain(conv):
                    replace_module(packed, conv_name, PackedConvReLU(conv))
                    replace_module(packed, relu_name, nn.Identity())
            found = packed(example)["out"]
        except (AttributeError, TypeError, RuntimeError):
            return network  # another torch, another processor
    return packed if is_same(found, expected) else network


def _is_plain(conv: nn.Conv2d) -> bool:
    return not isinstance(conv.padding, str) and conv.padding_mode == "zeros"
