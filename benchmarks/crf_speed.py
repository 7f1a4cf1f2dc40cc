"""What the dense CRF costs beyond bare pydensecrf: time, memory, stalls.

Ratios are medians of calls made in turn. On a busy machine wall time says little,
so processor time (this process and its helpers) stands beside it. "bare" is one call of
pydensecrf in this process, with the same kernels, on the whole image. With ``--large``
also 4096 x 4096 (a bare call needs 3 GB).
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import psutil

from benchmarks._table import report
from benchmarks.crf_memory import PARAMS, scene
from napari_seg.inference.crf import PRELOAD, CrfSolver, iter_dense_crf
from napari_seg.inference.lattice import iter_mean_field
from napari_seg.refine.crf_solver import solve_block
from napari_seg.types import run
from napari_seg.workers import Workers

_TICK_S = 0.005


class Clock:
    """Wall and processor time of this process and the helpers."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def _processor(self) -> float:
        pids = [os.getpid(), *(h.pid for h in self._workers.helpers if h.pid)]
        return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)

    def time(self, call: Callable[[], object]) -> tuple[float, float]:
        """Return both for a call."""
        wall, processor = time.perf_counter(), self._processor()
        call()
        return time.perf_counter() - wall, self._processor() - processor


def compare(side: int, repeats: int, workers: Workers) -> dict[str, object]:
    """Return one row: ours, in turn with bare pydensecrf and with PyTorch."""
    image, probabilities = scene(side)
    kernels = CrfSolver(PARAMS, "torch").kernels(2, None)
    clock = Clock(workers)
    block = image[None], probabilities, (0, 0), kernels
    calls = {
        "bare": lambda: solve_block(*block),
        "ours": lambda: run(
            iter_dense_crf(
                image,
                probabilities,
                params=PARAMS,
                engine="pydensecrf",
                normalise=False,
                workers=workers,
            )
        ),
        "torch": lambda: run(iter_mean_field(*block)),
    }
    if side > 2048:
        del calls["torch"]
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            spent[name].append(clock.time(call))
    row: dict[str, object] = {"side": side, "load": os.getloadavg()[0]}
    wall, processor = (
        {name: median(s[i] for s in found) for name, found in spent.items()}
        for i in (0, 1)
    )
    row |= {"bare s": wall["bare"], "ours s": wall["ours"]}
    row |= {"ratio": wall["ours"] / wall["bare"]}
    row |= {"processor ratio": processor["ours"] / processor["bare"]}
    row |= {"torch processor ratio": processor.get("torch", 0.0) / processor["bare"]}
    return row


def agreement(side: int = 512) -> dict[str, float]:
    """Return how well both engines agree."""
    image, probabilities = scene(side)
    kernels = CrfSolver(PARAMS, "torch").kernels(2, None)
    first = solve_block(image[None], probabilities, (0, 0), kernels)
    second = run(iter_mean_field(image[None], probabilities, (0, 0), kernels))
    same = (first.argmax(0) == second.argmax(0)).mean()
    return {"labels": float(same), "most": float(np.abs(first - second).max())}


def block_error(side: int = 1024) -> float:
    """Return how far blocks are from the whole image."""
    image, probabilities = scene(side)
    solver = CrfSolver(PARAMS, "torch")
    whole = solve_block(image[None], probabilities, (0, 0), solver.kernels(2, None))
    with Workers(4, PRELOAD, 0) as four:
        blocks = run(
            iter_dense_crf(
                image, probabilities, params=PARAMS, normalise=False, workers=four
            )
        )
    return float(np.abs(whole - blocks).max())


def stalls(workers: Workers, side: int = 1024) -> float:
    """Return the 99th percentile by which the main thread is late, in seconds."""
    image, probabilities = scene(side)
    job = iter_dense_crf(image, probabilities, params=PARAMS, workers=workers)
    thread = threading.Thread(target=run, args=(job,))
    thread.start()
    late = []
    while thread.is_alive():
        began = time.perf_counter()
        time.sleep(_TICK_S)
        late.append(time.perf_counter() - began - _TICK_S)
    thread.join()
    return float(np.percentile(late, 99))


def main() -> None:
    """Print the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    with Workers(2, PRELOAD, niceness=0) as workers:
        workers.start()
        figures = {"p99 stall s": stalls(workers), "block error": block_error()}
        figures |= {f"agreement {k}": v for k, v in agreement().items()}
        rows = [compare(side, options.repeats, workers) for side in (512, 1024)]
        if options.large:
            rows.append(compare(4096, 1, workers))
    report("crf_speed", rows, table=rows, **figures)


if __name__ == "__main__":
    main()
