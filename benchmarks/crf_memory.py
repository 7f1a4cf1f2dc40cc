"""Peak memory of the dense CRF on a large image.

Of this process, inputs and result included, and its helpers together. PyTorch is not
loaded: the engine measured, pydensecrf, does without; beside a loaded network add what
PyTorch takes.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from dataclasses import replace

import numpy as np
import psutil
from scipy import ndimage

from napari_seg.data.samples import read_sample
from napari_seg.imaging.normalise import intensity_range, rescale_intensity
from napari_seg.inference.crf import PRELOAD, iter_dense_crf
from napari_seg.refine.crf import CRF_PRESETS
from napari_seg.types import run
from napari_seg.workers import Workers

PARAMS = replace(CRF_PRESETS["nuclei"], foreground_only=False)
"""Both kernels, and a wide halo."""
_BAR_BYTES = 2e9


def scene(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nuclei sample, repeated, and unsteady probabilities of it."""
    grey = np.asarray(read_sample("nuclei").array)[:512, :512]
    image = rescale_intensity(grey, intensity_range(grey))
    rng = np.random.default_rng(0)
    blurred = ndimage.gaussian_filter(image, 2) + rng.normal(0, 0.1, image.shape)
    foreground = np.clip(2 * blurred, 0.02, 0.98).astype(np.float32)
    count = -(-side // 512)
    tiled = [np.tile(a, (count, count))[:side, :side] for a in (image, foreground)]
    return tiled[0], np.stack([1 - tiled[1], tiled[1]])


def peak_memory(side: int, workers: Workers) -> float:
    """Return the most memory of this process and its helpers together, in bytes."""
    image, probabilities = scene(side)
    seen = [0]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.05):
            pids = [os.getpid(), *(h.pid for h in workers.helpers if h.pid)]
            full = [psutil.Process(pid).memory_full_info() for pid in pids]
            seen[0] = max(seen[0], sum(info.pss for info in full))

    watcher = threading.Thread(target=watch)
    watcher.start()
    job = iter_dense_crf(
        image, probabilities, params=PARAMS, engine="pydensecrf", workers=workers
    )
    run(job)
    is_over.set()
    watcher.join()
    return float(seen[0])


def main() -> None:
    """Print one table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=8192)
    side = parser.parse_args().side
    with Workers(2, PRELOAD, niceness=0) as workers:
        workers.start()
        peak = peak_memory(side, workers)
    arrays = side * side * 4 * 5  # grey image, two classes in, two out
    row = {
        "side": side,
        "peak_gb": round(peak / 1e9, 2),
        "inputs_and_result_gb": round(arrays / 1e9, 2),
    }
    has_torch = "torch" in sys.modules
    from benchmarks._table import report  # not at the top: it loads torch

    report(
        "crf_memory",
        [row],
        bar_gb=_BAR_BYTES / 1e9,
        passed=peak < _BAR_BYTES,
        has_torch=has_torch,
    )


if __name__ == "__main__":
    main()
