"""Keep two copies of LLVM in one process from crashing napari."""

from __future__ import annotations

import sys
from pathlib import Path


def keep_triton_out() -> bool:
    """Stop torch from importing triton where that would end the process.

    Without a graphics driver, napari's canvas is drawn by Mesa's llvmpipe, which
    loads LLVM. triton brings its own; loading it second is a segmentation fault
    (Mesa 22.3 with triton 3.9), and torch does so when the first optimiser is made.
    triton serves only compiled models, which the window offers none of. In the other
    order both work, so a triton that is already loaded is left alone.

    Returns
    -------
    bool
        Whether triton is now kept out.
    """
    if "triton" in sys.modules or not _is_llvm_loaded():
        return sys.modules.get("triton", sys) is None
    # None makes `import triton` an ImportError, as if it were not installed.
    sys.modules["triton"] = None  # type: ignore[assignment]
    return True


def _is_llvm_loaded() -> bool:
    """Whether a shared LLVM, such as Mesa's, is in this process (Linux only)."""
    maps = Path("/proc/self/maps")
    return maps.is_file() and "libLLVM" in maps.read_text(errors="replace")
