"""Clicks until a mask is right: our graph cut and other tools, driven by one robot.

    python -m benchmarks.clicks DATA [--sets nuclei_fluo ...] [--objects 20] [--seed 0]

DATA holds ``<set>/val/images`` and ``<set>/val/masks``. For each object the robot
starts from nothing and clicks at the middle of the largest error, at most 20 times.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from benchmarks.click_tools import TOOLS
from benchmarks.robot import Trial, play

SETS = ("nuclei_fluo", "em_axons", "nuclei_histology_rgb", "phase_cells")
EDGE_PX = 40
"""Border of the piece around twice the object's box that every tool sees."""


def sample(folder: Path, count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pieces of images, each with the mask of one object drawn at random."""
    everything = []
    for path in sorted((folder / "masks").glob("*.tif")):
        ids = np.unique(tifffile.imread(path))
        everything += [(path.name, int(i)) for i in ids if i > 0]
    order = np.random.default_rng(seed).permutation(len(everything))[:count]
    pieces = []
    for name, object_id in (everything[i] for i in order):
        image = tifffile.imread(folder / "images" / name)
        truth = tifffile.imread(folder / "masks" / name) == object_id
        where = np.argwhere(truth)
        low, high = where.min(axis=0), where.max(axis=0) + 1
        pad = (high - low) // 2 + EDGE_PX
        piece = tuple(
            slice(max(a - p, 0), b + p) for a, b, p in zip(low, high, pad, strict=True)
        )
        pieces.append((image[piece], truth[piece]))
    return pieces


def _trial(job: tuple[str, np.ndarray, np.ndarray]) -> Trial:
    name, image, truth = job
    spacing = (1.0,) * truth.ndim
    tool = TOOLS[name](image, truth, spacing)
    return play(tool, truth, np.zeros(truth.shape, bool), spacing)


def summary(name: str, trials: list[Trial]) -> dict[str, Any]:
    """Return one row of the table."""
    return {
        "tool": name,
        "noc85": float(np.mean([t.clicks(0.85) for t in trials])),
        "noc90": float(np.mean([t.clicks(0.9) for t in trials])),
        "failures": sum(t.failed(0.9) for t in trials),
        "first_iou": float(np.mean([t.scores[0] for t in trials])),
        "ms_per_click": 1000 * float(np.mean([t.seconds for t in trials])),
    }


def main() -> None:
    """Run the benchmark and print one table for each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=TOOLS)
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="val")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for name in options.sets:
            folder = options.data / name / options.split
            pieces = sample(folder, options.objects, options.seed)
            print(f"{name}: {len(pieces)} objects")
            for tool in options.tools:
                trials = list(pool.map(_trial, [(tool, *p) for p in pieces]))
                row = {"set": name, **summary(tool, trials)}
                rows.append(row)
                print(
                    "  "
                    + "  ".join(
                        f"{k} {v:.3g}" if isinstance(v, float) else f"{v}"
                        for k, v in row.items()
                    ),
                    flush=True,
                )
    print(json.dumps({"benchmark": "clicks", "rows": rows}))


if __name__ == "__main__":
    main()
