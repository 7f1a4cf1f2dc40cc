"""All architectures on one data set, with one budget of time each.

Each name is trained with its usual (slim) arguments on DATA/train for ``--minutes`` (on
a processor: of its time, for the steps alone), from scratch and with the usual
variations, and scored on all of DATA/val, of which a part also chose its thresholds and
its best weights, as in every training. Speed is that of segmenting an image of 1024 px
at the size the network was trained at, outlines included, by the time of one core (on
CUDA, of the clock); memory is the peak of the process that trains (on CUDA, of the
card's). Every name has a process of its own. Results are kept in ``--cache``, a file a
name: run it again to go on.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._networks import Result, each, parser, peak_mb, within_budget
from benchmarks._table import report

if TYPE_CHECKING:
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.training.pairs import TrainingPlane

SPEED_PX = 1024
VALIDATED = 24
"""Of DATA/val, so many images choose thresholds and weights; all of it is scored."""


def compare(name: str, options: argparse.Namespace) -> Result:
    """Train, score and time one network."""
    from napari_seg.training.folders import read_pairs
    from napari_seg.training.params import TrainParams
    from napari_seg.training.trainer import iter_train_pairs
    from napari_seg.types import run

    preset = "gpu" if options.device.startswith("cuda") else "quick"
    params = TrainParams.preset(
        preset,
        architecture=name,
        minutes=options.minutes,
        validate_every=options.validate_every,
        most_validated=VALIDATED,
        device=options.device,
        threads=options.threads,
    )
    if preset == "quick":
        params = replace(params, batch=options.batch, patch_px=options.patch)
    pairs, held_out = (read_pairs(options.data / side) for side in ("train", "val"))
    params = within_budget(pairs, params)
    began = time.perf_counter()
    out = options.cache / f"{name}.safetensors"
    model = run(iter_train_pairs(pairs, held_out, out, params))
    row = {
        "name": name,
        "steps": params.steps,
        **score(model, held_out[:: options.every], options.device),
        "parameters": sum(p.numel() for p in model.network.parameters()),
    }
    row["training MB"] = round(peak_mb(options.device))
    row["Mpx/s"] = speed(model, options.data / "val", options.device)
    row["minutes in all"] = (time.perf_counter() - began) / 60
    return row


def score(model: Checkpoint, planes: list[TrainingPlane], device: str) -> Result:
    """Score a network on pairs, at the true size of their objects."""
    from napari_seg.training.validation import validate

    found = validate(model, planes, device=device)
    return {
        "images": found.n_images,
        "AP@0.5": found.average_precision(0.5),
        "mean AP": found.mean_ap,
        "mean IoU": found.mean_iou,
        "boundary F": found.boundary_f,
    }


def speed(model: Checkpoint, folder: Path, device: str) -> float:
    """Return megapixels a second, the quickest of three.

    On a processor a second is one of its time, whatever else runs.
    """
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    from napari_seg.inference.segment import segment

    image = mosaic(folder)
    best = np.inf
    for _ in range(3):
        began = clock()
        segment(
            image,
            model,
            axes="YX",
            device=device,
            diameter_px=model.card.object_diameter_px,
            keep_probabilities=False,
        )
        best = min(best, clock() - began)
    return image.size / best / 1e6


def mosaic(folder: Path) -> NDArray[Any]:
    """Return a large image: the first of the folder, mirrored beyond its borders."""
    from napari_seg.data.io import read_image

    first = sorted((folder / "images").iterdir())[0]
    image = np.squeeze(read_image(first).array)
    if image.ndim > 2:
        image = image[..., 0]
    missing = [(0, max(SPEED_PX - n, 0)) for n in image.shape]
    return np.pad(image, missing, mode="symmetric")[:SPEED_PX, :SPEED_PX]


def main() -> None:
    """Print one row a name."""
    made = parser(__doc__, minutes=15.0)
    made.add_argument("--validate-every", type=int, default=400, help="steps")
    made.add_argument("--every", type=int, default=1, help="score every n-th image")
    options = made.parse_args()
    rows = each(options, compare)
    rows.sort(key=lambda row: -row["AP@0.5"])
    report("family", rows, table=rows, minutes=options.minutes, device=options.device)


if __name__ == "__main__":
    main()
