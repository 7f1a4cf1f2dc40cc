"""Networks compiled for their device by torch, which takes a while at first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from napari_seg.errors import DeviceError
from napari_seg.inference.device import is_out_of_memory


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
    with torch.inference_mode():
        made(example)
    if part is None:
        return made
    network.set_submodule(part, made)
    return network


class _Compiled(nn.Module):
    """Takes no windows: each would be compiled anew."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.divisor = getattr(network, "divisor", 1)
        self.margin = getattr(network, "margin", 0)
        # Where there is no compiler at all, that is a plain error; later it has a type.
        with _explained(RuntimeError):
            self._run = torch.compile(network)

    def forward(self, x: Tensor) -> Any:
        with _explained(TorchDynamoException):
            return self._run(x)


@contextmanager
def _explained(kind: type[RuntimeError]) -> Iterator[None]:
    """Say what helps where compiling fails; memory is another matter."""
    try:
        yield
    except kind as error:
        if is_out_of_memory(error):
            raise
        raise DeviceError(
            "torch cannot compile the network here",
            str(error).strip().splitlines()[0],
            "Leave compiling out, or install what torch.compile needs: a C++ compiler, "
            "for CUDA also Triton.",
        ) from error
