"""Peak memory above the output, which must not grow with the image.

Each size runs in a process of its own. By default the network is a shallow one that
finds bright spots, because time is not what is measured: what a network needs per
tile does not depend on the image. The peak is the largest resident memory of the
process, Python and torch included, less the image and what is returned.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

import torch
from torch import Tensor, nn

from benchmarks._table import CLASSES, benchmark_model, nuclei, report
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import Checkpoint


class BrightSpots(nn.Module):
    """Calls what is bright interior, with the activations of a U-Net's first level."""

    divisor = 16
    margin = 0

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 24, 3, padding=1)
        self.second = nn.Conv2d(24, 24, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits of background, interior and border."""
        ballast = self.second(torch.relu(self.first(x))).mean(dim=1, keepdim=True)
        interior = 20 * (x - 0.5) + 0 * ballast
        return {"out": torch.cat([0 * interior, interior, 0 * interior - 9], dim=1)}


def bright_spots() -> Checkpoint:
    """Return a model that needs no training."""
    card = Card("bright spots", "none", {}, 1, CLASSES)
    return Checkpoint(BrightSpots().eval(), card)


def measure(side: int, model: str, keep: bool) -> dict[str, float]:
    """Segment one image in this process and return megabytes."""
    from napari_seg.inference.segment import SegmentParams, iter_segment
    from napari_seg.types import run

    checkpoint = benchmark_model(model) if model else bright_spots()
    image = nuclei(side)
    before = _resident()
    params = SegmentParams(diameter_px=20.0, device="cpu", keep_probabilities=keep)
    result = run(iter_segment(image, checkpoint, params))
    output = result.labels.nbytes / 1e6
    if result.network_probabilities is not None:
        output += result.network_probabilities.nbytes / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {
        "peak": peak,
        "output": output,
        "image": image.nbytes / 1e6,
        "above": peak - output - image.nbytes / 1e6,
        "before": before,
        "objects": int(result.labels.max()),
    }


def _resident() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    """Measure each size in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 8192])
    parser.add_argument("--model", default="", help="a real one takes much longer")
    parser.add_argument("--keep", action="store_true", help="keep probabilities")
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker, options.model, options.keep)))
        return
    rows = []
    for side in options.sides:
        command = [sys.executable, "-m", "benchmarks.memory", "--worker", str(side)]
        command += ["--model", options.model] if options.model else []
        command += ["--keep"] if options.keep else []
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        rows.append({"side": side, **{f"{k} MB": v for k, v in found.items()}})
    report(
        "memory",
        rows,
        above_output_mb=[round(row["above MB"]) for row in rows],
        growth=rows[-1]["above MB"] / rows[0]["above MB"],
    )


if __name__ == "__main__":
    main()
