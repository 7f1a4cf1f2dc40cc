"""Which half-precision type a device computes faster in."""

from __future__ import annotations

import torch


def half_type(device: str) -> torch.dtype | None:
    """Type for mixed precision; None where single precision is as fast.

    Parameters
    ----------
    device : str
        As torch names it.

    Returns
    -------
    torch.dtype or None
        bfloat16 on CUDA devices and CPUs that multiply in it. It needs no loss
        scaling, since it has the range of float32.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    if kind == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        # Emulated on older CPUs, where it is slower than float32.
        capable = torch.backends.cpu.get_cpu_capability() in ("AVX512", "AMX")
        return torch.bfloat16 if capable else None
    return None
