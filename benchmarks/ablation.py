"""What the border weights and the elastic deformations of the U-Net paper bring.

DATA holds ``<set>/{train,val}/{images,masks}``. The same network is trained from
scratch for the same number of steps, as in the paper on two classes (background and
cells), with and without the border term of the loss weights and with and without
elastic deformations, with two seeds or more. Scores are those of the validation images;
weights and thresholds are those of the last step, so nothing is chosen on them. Results
are kept in ``--cache``, a file a run.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._table import report
from napari_seg.models.registry import ARCHITECTURES
from napari_seg.training.folders import read_pairs
from napari_seg.training.params import TrainParams
from napari_seg.training.progress import TrainProgress
from napari_seg.training.trainer import iter_train_pairs

SETS = ("em_membrane", "nuclei_fluo")
VARIANTS: dict[str, dict[str, float]] = {
    "both": {},
    "no border weights": {"w0": 0.0},
    "no elastic deformation": {"elastic_px": 0.0},
    "neither": {"w0": 0.0, "elastic_px": 0.0},
}
ELASTIC_PX = 10.0
"""The paper's."""
CHANNELS = (16, 32, 64, 128)
"""A small network learns more in the same time on a processor."""


def train_one(options: argparse.Namespace, name: str, variant: str, seed: int) -> Any:
    """Train and score one network, unless that was done before."""
    slug = variant.replace(" ", "-")
    width = "x".join(map(str, options.channels))
    file = options.cache / f"{name}-{slug}-{width}-{options.steps}-{seed}.json"
    if file.is_file():
        return json.loads(file.read_text())
    change = VARIANTS[variant]
    usual = ARCHITECTURES["unet"].training_arguments
    params = TrainParams.quick_cpu(
        steps=options.steps,
        minutes=None,
        validate_every=options.steps,
        arguments=usual | {"channels": tuple(options.channels)},
        target="foreground",
        w0=change.get("w0", 10.0),
        sigma_px=5.0,
        object_diameter_px=options.diameter,
        most_validated=options.validated,
        seed=seed,
        device=options.device,
    )
    varied = replace(
        params.augmentation, elastic_px=change.get("elastic_px", ELASTIC_PX)
    )
    params = replace(params, augmentation=varied)
    train = read_pairs(options.data / name / "train")
    val = read_pairs(options.data / name / "val")
    out = file.with_suffix(".safetensors")
    job = iter_train_pairs(train, val, out, params)
    for step in job:
        if isinstance(step, TrainProgress) and step.metrics is not None:
            found = step.metrics
    job.close()
    result = {
        "ap50": found.average_precision(0.5),
        "mean_ap": found.mean_ap,
        "rand_error": found.rand_error,
    }
    file.write_text(json.dumps(result))
    return result


def main() -> None:
    """Print one row for each set and variant, over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1))
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--channels", nargs="+", type=int, default=CHANNELS)
    parser.add_argument("--diameter", type=float, default=20.0)
    parser.add_argument("--validated", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cache", type=Path, default=Path(".benchmarks/ablation"))
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in options.sets:
        for variant in options.variants:
            found = [train_one(options, name, variant, seed) for seed in options.seeds]
            row: dict[str, Any] = {"set": name, "variant": variant}
            for key in ("ap50", "mean_ap", "rand_error"):
                values = [result[key] for result in found]
                row[key] = float(np.mean(values))
                row[f"{key} by seed"] = [round(value, 3) for value in values]
            rows.append(row)
    report("ablation", rows, table=rows, steps=options.steps, channels=options.channels)


if __name__ == "__main__":
    main()
