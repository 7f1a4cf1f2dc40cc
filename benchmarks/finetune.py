"""Learning from corrections: AP before and after fine-tuning on a few images.

DATA holds ``<set>/{train,val}/{images,masks}``. For each set the shipped model is
scored on the validation images, fine-tuned on 1, 3 and 5 training images (nested,
drawn with seed 0) and scored again, on the set and on what it knew before; the same
steps from scratch are the comparison. Nothing of ``val`` is seen in training, not even
to choose thresholds. The object size of each image is given, alike for all. Results
are kept in ``--cache``, a file a run, so a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._curves import draw_curves
from benchmarks._table import report
from napari_seg.data.io import read_image, read_labels
from napari_seg.imaging.metrics import evaluate, pool
from napari_seg.inference.segment import segment
from napari_seg.models.checkpoint import Checkpoint, load_model
from napari_seg.training.folders import pair_files
from napari_seg.training.pairs import median_diameter
from napari_seg.training.params import FINE_TUNING, SAMPLES, TrainParams
from napari_seg.training.progress import TrainProgress
from napari_seg.training.trainer import iter_train

SETS = ("em_axons", "nuclei_histology_rgb", "phase_cells")
KNOWN = "nuclei_fluo"
"""What the shipped model was trained on."""
MODES: dict[str, dict[str, Any]] = {
    "rehearsed": {"rehearse": (SAMPLES,)},
    "frozen": {"rehearse": (), "freeze_norm": True, "encoder_rate": 0.5},
    "free": {"rehearse": ()},
}
"""From a model: as the preset has it, without rehearsing, and with all weights as
free as from scratch."""
LEGEND = {
    "rehearsed": "keeping what it knows",
    "frozen": "not rehearsed",
    "free": "free",
    "scratch": "from scratch",
}


def score(model: Checkpoint, folder: Path, every: int = 1) -> dict[str, float]:
    """AP of a model on a folder of pairs, pooled."""
    scores = []
    for source in pair_files(folder)[::every]:
        image, truth = read_image(source.image), read_labels(source.labels).array
        found = segment(
            image.array,
            model,
            axes=image.axes,
            diameter_px=median_diameter(truth) or None,
            keep_probabilities=False,
        )
        scores.append(evaluate(found.labels, truth))
    total = pool(scores)
    return {"ap50": total.average_precision(0.5), "mean_ap": total.mean_ap}


def chosen(folder: Path, count: int, seed: int) -> list[Any]:
    """Pairs to train on; the first ones are the same for every count."""
    sources = pair_files(folder)
    order = np.random.default_rng(seed).permutation(len(sources))
    return [sources[i] for i in order[:count]]


def learn(options: argparse.Namespace, name: str, count: int, mode: str) -> Any:
    """Train one model and score it, unless that was done before."""
    file = options.cache / f"{name}-{count}-{mode}-{options.steps}-{options.seed}.json"
    if file.is_file():
        return json.loads(file.read_text())
    fields: dict[str, Any] = {
        "steps": options.steps,
        "minutes": None,
        "validate_every": options.steps,
        "seed": options.seed,
        "device": options.device,
        "resume": True,
    }
    if mode == "scratch":
        alike = {key: FINE_TUNING[key] for key in ("augmentation", "average_decay")}
        params = TrainParams.quick_cpu(object_diameter_px=20.0, **alike, **fields)
    else:
        init = Path(options.model)
        params = TrainParams.quick_cpu(init=init, **MODES[mode], **fields)
    out = file.with_suffix(".safetensors")
    started, processor = time.perf_counter(), time.process_time()
    names = chosen(options.data / name / "train", count, options.seed)
    seconds = 0.0
    job = iter_train(names, out, params)
    for step in job:
        if isinstance(step, TrainProgress):
            seconds = time.perf_counter() - started
    model = load_model(out)
    result = {
        "set": name,
        "images": count,
        "mode": mode,
        "steps": options.steps,
        "seconds": seconds,
        "processor_seconds": time.process_time() - processor,
        "after": score(model, options.data / name / "val"),
    }
    if mode != "scratch":
        result["known"] = score(model, options.data / KNOWN / "val", options.every)
    file.write_text(json.dumps(result))
    return result


def before(options: argparse.Namespace, name: str, every: int = 1) -> dict[str, float]:
    """Score the model that is started from."""
    file = options.cache / f"{name}-before-{every}.json"
    if not file.is_file():
        found = score(load_model(options.model), options.data / name / "val", every)
        file.write_text(json.dumps(found))
    scores: dict[str, float] = json.loads(file.read_text())
    return scores


def main() -> None:
    """Print one row a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--images", nargs="+", type=int, default=(1, 3, 5))
    parser.add_argument("--modes", nargs="+", default=("rehearsed", "scratch"))
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="n-th of what it knew")
    parser.add_argument("--model", default="nuclei-unet")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cache", type=Path, default=Path(".benchmarks/finetune"))
    parser.add_argument("--picture", type=Path, help="draw the curves, .png or .svg")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    known = before(options, KNOWN, options.every)
    rows = []
    for count in options.images:
        for mode in options.modes:
            for name in options.sets:
                result = learn(options, name, count, mode)
                first = before(options, name)["ap50"]
                lost = known["ap50"] - result.get("known", known)["ap50"]
                rows.append(
                    {
                        "set": name,
                        "images": count,
                        "mode": mode,
                        "AP before": first,
                        "AP after": result["after"]["ap50"],
                        "gain": result["after"]["ap50"] - first,
                        "lost on nuclei": lost if "known" in result else "",
                        "seconds": result["seconds"],
                    }
                )
    if options.picture:
        draw_curves(rows, LEGEND, options.picture)
    report("finetune", rows, table=rows, steps=options.steps)


if __name__ == "__main__":
    main()
