"""Networks compiled for their device by torch, which takes a while at first."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from napari_seg.errors import DeviceError


def compiled(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a network that torch compiles the first time it runs, and after others.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, on its device. Of one with an attribute `fusible` only that
        part is compiled, in place: what a detector makes of its feature maps has no
        fixed size.
    example : Tensor
        Small legal input, to see whether it works here.

    Raises
    ------
    DeviceError
        If it does not.
    """
    part = getattr(network, "fusible", None)
    whole = network if part is None else network.get_submodule(part)
    made = _Compiled(whole)
    try:
        with torch.inference_mode():
            made(example)
    except TorchDynamoException as error:
        raise DeviceError(
            "torch cannot compile the network here",
            str(error).strip().splitlines()[0],
            "Leave compiling out, or install what torch.compile needs: a C++ compiler, "
            "for CUDA also Triton.",
        ) from error
    if part is None:
        return made
    network.set_submodule(part, made)
    return network


class _Compiled(nn.Module):
    """Takes no windows: each would be compiled anew."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._run = torch.compile(network)

    def forward(self, x: Tensor) -> Any:
        return self._run(x)
