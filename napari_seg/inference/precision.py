"""Which half-precision type a device computes faster in."""

from __future__ import annotations

import os
import time
from functools import lru_cache

import torch
from torch import nn

SWITCH = "NAPARI_SEG_PRECISION"
"""Environment variable: ``full`` computes in single precision on processors, so that
all give the same to the last bits."""
_WORTH = 1.15
"""So many times faster half precision must be on a processor."""


def half_type(device: str, network: nn.Module | None = None) -> torch.dtype | None:
    """Type for mixed precision; None where single precision is as fast.

    Parameters
    ----------
    device : str
        As torch names it.
    network : nn.Module, optional
        To be run. On a CPU one with dilated convolutions gets no half precision:
        their backward pass (oneDNN in torch 2.14, bfloat16, channels last) reads beyond
        its memory for some numbers of channels, and ends the process. Nor does one
        with convolutions of volumes: they are no faster in it.

    Returns
    -------
    torch.dtype or None
        bfloat16 on CUDA devices and CPUs that are faster in it. It needs no loss
        scaling, since it has the range of float32.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    if kind != "cpu" or os.environ.get(SWITCH) == "full":
        return None
    if network is not None and _is_slow(network):
        return None
    return torch.bfloat16 if is_half_faster() else None


@lru_cache(maxsize=1)
def is_half_faster() -> bool:
    """Whether this processor convolves faster in bfloat16: tried once, in 0.1 s.

    Some processors take it without having it, and emulate it more slowly.
    """
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    layer = nn.Conv2d(32, 32, 3, padding=1, bias=False).eval()
    layer = layer.to(memory_format=torch.channels_last)
    image = torch.zeros(1, 32, 128, 128).to(memory_format=torch.channels_last)
    full, half = (
        min(_seconds(layer, image, is_half=is_half) for _ in range(4))
        for is_half in (False, True)
    )
    return full > _WORTH * half


@torch.inference_mode()
def _seconds(layer: nn.Module, image: torch.Tensor, *, is_half: bool) -> float:
    with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
        # Processor time: another program's turn says nothing about this one.
        started = time.process_time()
        layer(image)
        return time.process_time() - started


def _is_slow(network: nn.Module) -> bool:
    """Whether it has convolutions of volumes or dilated ones, or `dilates`."""
    if getattr(network, "dilates", False):
        return True
    return any(
        isinstance(layer, nn.Conv3d) or max(layer.dilation) > 1
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.Conv3d)
    )
