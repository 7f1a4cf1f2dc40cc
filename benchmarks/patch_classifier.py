"""How much faster the sliding-window classifier is as one convolutional network.

The network of 95 px windows (Ciresan et al. 2012), random weights, one image: a window
for each pixel against all pixels at once. Both give the same logits, which is checked;
they take turns, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks._table import report, time_together
from napari_seg.models.patch_classifier import PatchClassifier


def main() -> None:
    """Print the seconds of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=64, help="of the image, px")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    torch.manual_seed(0)
    dense = PatchClassifier(1, 2).eval()
    sliding = PatchClassifier(1, 2, sliding=True, windows=256).eval()
    sliding.load_state_dict(dense.state_dict())
    image = torch.rand(1, 1, options.side, options.side)
    with torch.inference_mode():
        times = time_together(
            {
                "a window for each pixel": lambda: sliding(image),
                "all pixels at once": lambda: dense(image),
            },
            options.repeats,
        )
        expected = sliding(image)["out"]
        error = (dense(image)["out"] - expected).abs().max() / expected.abs().max()
    slow, fast = times.values()
    rows = [
        {"network": name, "s": timing.wall, "processor s": timing.cpu}
        for name, timing in times.items()
    ]
    report(
        "patch_classifier",
        rows,
        image_px=options.side,
        largest_relative_difference=float(error),
        times_faster=slow.cpu / fast.cpu,
        times_faster_on_the_clock=slow.wall / fast.wall,
    )


if __name__ == "__main__":
    main()
