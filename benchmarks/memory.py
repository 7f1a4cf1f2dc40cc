"""Peak memory above the output, which must not grow with the image.

Each size runs in a process of its own. The network is narrow, because time is not
what is measured: what a network needs per tile does not depend on the image.
The peak is the resident memory in use (VmHWM) after the image was made, less the
image and the labels.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

from benchmarks._table import benchmark_model, nuclei, report


def measure(side: int, model: str, keep: bool) -> dict[str, float]:
    """Segment one image in this process and return megabytes."""
    import torch

    from napari_seg.inference.segment import SegmentParams, iter_segment
    from napari_seg.models.card import Card
    from napari_seg.models.checkpoint import Checkpoint, build_from_card
    from napari_seg.types import run

    torch.set_num_threads(1)
    if model:
        checkpoint = benchmark_model(model)
    else:
        arguments = {"channels": (4, 8, 16), "padding": "same", "norm": "batch"}
        classes = ("background", "interior", "border")
        card = Card("narrow", "unet", arguments, 1, classes)
        torch.manual_seed(0)
        checkpoint = Checkpoint(build_from_card(card).eval(), card)
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
