"""Which half-precision type a device computes faster in."""

from __future__ import annotations

import torch
from torch import nn


def half_type(device: str, network: nn.Module | None = None) -> torch.dtype | None:
    """Type for mixed precision; None where single precision is as fast.

    Parameters
    ----------
    device : str
        As torch names it.
    network : nn.Module, optional
        To be trained. On a CPU one with dilated convolutions gets no half precision:
        their backward pass (oneDNN in torch 2.14, bfloat16, channels last) reads beyond
        its memory for some numbers of channels, and ends the process. Nor does one
        with convolutions of volumes: they are no faster in it.

    Returns
    -------
    torch.dtype or None
        bfloat16 on CUDA devices and CPUs that multiply in it. It needs no loss
        scaling, since it has the range of float32.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    if kind == "cpu" and network is not None and _is_slow(network):
        return None
    if kind == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        # Emulated on older CPUs, where it is slower than float32.
        capable = torch.backends.cpu.get_cpu_capability() in ("AVX512", "AMX")
        return torch.bfloat16 if capable else None
    return None


def _is_slow(network: nn.Module) -> bool:
    """Whether it has convolutions of volumes or dilated ones, or `dilates`."""
    if getattr(network, "dilates", False):
        return True
    return any(
        isinstance(layer, nn.Conv3d) or max(layer.dilation) > 1
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.Conv3d)
    )
