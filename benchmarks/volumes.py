"""Stacks as volumes against plane by plane with linked ids.

DATA holds ``<set>/{train,val}/{images,masks}`` with one stack or more on each side. A
2D U-Net on planes and a 3D U-Net on volumes are trained from scratch for the same
minutes on the same stacks, and segment the validation stacks with the object size of
their labels; objects of neighbouring planes are then linked by overlap, those of the
volume are not. A shipped model, plane by plane, can be a third row. Scores are AP of
whole 3D objects. Thresholds of the trained ones are those that score best on the
training stacks, so nothing is chosen on the validation stacks. Checkpoints are kept in
``--cache``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks._table import report
from napari_seg.data.io import read_image, read_labels
from napari_seg.imaging.metrics import evaluate, pool
from napari_seg.inference.segment import segment
from napari_seg.models.checkpoint import Checkpoint, load_model
from napari_seg.training.folders import pair_files
from napari_seg.training.pairs import median_diameter
from napari_seg.training.params import TrainParams
from napari_seg.training.trainer import train

SETS = ("em_chloroplast_3d", "nuclei_3d")
KINDS = {"planes, linked": (2, {}), "volumes": (3, {"batch": 2, "patch_px": 96})}
"""Dimensions and patches; a batch of planes has about as many pixels in a step."""


def trained(options: argparse.Namespace, name: str, kind: str) -> Checkpoint:
    """Return the network of a kind, trained unless it was before."""
    ndim, fields = KINDS[kind]
    out = options.cache / f"{name}-{ndim}d-{options.minutes:g}.safetensors"
    if out.is_file():
        return load_model(out)
    preset = TrainParams.quick_cpu(
        minutes=options.minutes, ndim=ndim, threads=options.threads, **fields
    )
    chosen = {key: value for key, value in vars(preset).items() if key != "resume"}
    return train(options.data / name / "train", out=out, **chosen)


def score(checkpoint: Checkpoint, folder: Path) -> dict[str, Any]:
    """Segment the stacks of a folder, and compare whole objects."""
    found, seconds = [], 0.0
    for pair in pair_files(folder):
        image, truth = read_image(pair.image), read_labels(pair.labels).array
        started = time.perf_counter()
        made = segment(
            image.array,
            checkpoint,
            axes=image.axes,
            spacing=image.spacing,
            diameter_px=median_diameter(truth),
            keep_probabilities=False,
        )
        seconds += time.perf_counter() - started
        found.append(evaluate(made.labels, truth))
    metrics = pool(found)
    return {
        "AP 0.5": metrics.average_precision(0.5),
        "AP 0.75": metrics.average_precision(0.75),
        "mean AP": metrics.mean_ap,
        "objects": metrics.n_true,
        "found": metrics.n_predicted,
        "seconds": seconds,
    }


def main() -> None:
    """Train, segment, print a table a set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shipped", nargs="*", default=["nuclei-unet"])
    parser.add_argument("--cache", type=Path, default=Path("volumes-cache"))
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in options.sets:
        models = {kind: trained(options, name, kind) for kind in options.kinds}
        models |= {f"{m}, linked": load_model(m) for m in options.shipped}
        for kind, checkpoint in models.items():
            scores = score(checkpoint, options.data / name / "val")
            rows.append({"set": name, "network": kind, **scores})
    report("volumes", rows, minutes=options.minutes)


if __name__ == "__main__":
    main()
