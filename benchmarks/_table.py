"""What the benchmarks share: a table, a JSON line, a picture to work on."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_seg.errors import UnknownModelError
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import Checkpoint, build_from_card, load_model
from napari_seg.models.registry import ARCHITECTURES

CLASSES = ("background", "interior", "border")


def report(name: str, rows: Sequence[Mapping[str, Any]], **figures: Any) -> None:
    """Print one table and, for programs, the same as one line of JSON.

    Parameters
    ----------
    name : str
        Name of the benchmark.
    rows : sequence of mapping
        The table; all rows have the same keys.
    **figures
        What is claimed: ratios, peaks.
    """
    head = list(rows[0])
    cells = [head, *([_text(row[key]) for key in head] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    for line in cells:
        print("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())
    for key, value in figures.items():
        if value is not rows:
            print(f"{key}: {_text(value)}")
    print(json.dumps({"benchmark": name, "machine": machine(), **figures}))


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


class Timing(NamedTuple):
    """Seconds on the clock and of the processor."""

    wall: float
    cpu: float


def time_together(
    functions: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, Timing]:
    """Return the least seconds and processor seconds of each function.

    The functions take turns, so that whatever else the machine does falls on all of
    them alike; processor seconds (of all threads together) hardly depend on it.
    """
    best = {name: Timing(np.inf, np.inf) for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            wall, processor = time.perf_counter(), time.process_time()
            function()
            wall, processor = (
                time.perf_counter() - wall,
                time.process_time() - processor,
            )
            least = best[name]
            best[name] = Timing(min(least.wall, wall), min(least.cpu, processor))
    return best


def benchmark_model(name: str = "nuclei-unet") -> Checkpoint:
    """Return a model, or where it is missing its architecture with random weights."""
    try:
        return load_model(name)
    except UnknownModelError:
        torch.manual_seed(0)
        arguments = dict(ARCHITECTURES["unet"].training_arguments)
        card = Card(f"{name}, random weights", "unet", arguments, 1, CLASSES)
        network: nn.Module = build_from_card(card).eval()
        return Checkpoint(network, card)


def nuclei(
    side: int, diameter: float = 20.0, seed: int = 0, dtype: str = "uint16"
) -> NDArray[Any]:
    """Return an image of bright, noisy, partly touching ellipses.

    Parameters
    ----------
    side : int
        Rows and columns.
    diameter : float, optional
        Mean object diameter in pixels.
    seed : int, optional
        Of the random numbers.
    dtype : str, optional
        Integer type of the result.

    Returns
    -------
    ndarray, shape (side, side)
    """
    rng = np.random.default_rng(seed)
    # One patch, repeated: the cost of drawing must not grow with the image.
    patch = min(side, 1024)
    image = np.full((patch, patch), 0.05, np.float32)
    reach = int(diameter)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    for _ in range(int(0.35 * (patch / diameter) ** 2)):
        a, b = diameter / 2 * rng.uniform(0.75, 1.25, 2)
        angle = rng.uniform(0, np.pi)
        u = y * np.cos(angle) + x * np.sin(angle)
        v = x * np.cos(angle) - y * np.sin(angle)
        spot = 1 / (1 + np.exp(12 * (np.sqrt((u / a) ** 2 + (v / b) ** 2) - 1)))
        row, column = rng.integers(0, max(1, patch - 2 * reach), 2)
        window = image[row : row + 2 * reach + 1, column : column + 2 * reach + 1]
        part = spot[: window.shape[0], : window.shape[1]]
        np.maximum(window, rng.uniform(0.4, 1) * part, out=window)
    image += 0.03 * rng.standard_normal(image.shape, dtype=np.float32)
    image = np.clip(image * 3000, 0, 60000).astype(dtype)
    count = -(-side // patch)
    return np.tile(image, (count, count))[:side, :side]
