"""Which images to correct next: the most uncertain ones against random ones.

DATA holds ``manifest.csv`` and ``nuclei_fluo/{train,val}/{images,masks}``. For each
seed a weak model is trained from scratch on a few random images of ``train``, with two
more as its judges. It ranks a pool of other images by entropy and by disagreement with
mirrored runs; ten of them are "corrected" (their true masks are taken), and the same
steps on the start set and those ten go on from the weak model. The seed draws the start
set, the judges, the pool, the random ten and the training. The shipped model has seen
all of these images, so it has no part in this.

``-diverse`` takes at most one image of each field of view (``mosaic`` of the manifest),
``none`` spends the steps on the start set alone. Nothing of ``val`` is seen in
training, not even to choose thresholds. The object size of each image is given, alike
for all. Results are kept in ``--cache``, a file a run, so a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._table import report
from benchmarks.finetune import score
from napari_seg.data.io import read_image, read_labels
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.ranking import (
    iter_flipped,
    rank_by_disagreement,
    rank_by_entropy,
)
from napari_seg.inference.segment import iter_segment
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import Checkpoint, load_model, save_checkpoint
from napari_seg.training.folders import pair_files
from napari_seg.training.pairs import median_diameter
from napari_seg.training.params import TrainParams
from napari_seg.training.trainer import iter_train
from napari_seg.types import run

if TYPE_CHECKING:
    from napari_seg.training.sources import FileSource

SET = "nuclei_fluo"
ARMS = ("random", "entropy", "disagreement", "entropy-diverse", "none")
START, JUDGES = 8, 2


@dataclass(frozen=True)
class Draw:
    """What a seed makes of the training images; no image is in two places."""

    start: list[FileSource]
    """Learned from at once."""
    judges: list[FileSource]
    """Choose weights and thresholds of every run of this seed."""
    pool: list[FileSource]
    """Could be corrected."""


def mosaics(data: Path) -> dict[str, str]:
    """Field of view that each image was cut from."""
    with (data / "manifest.csv").open(newline="") as file:
        return {
            row["name"]: row["source"].partition("mosaic=")[2]
            for row in csv.DictReader(file)
            if row["dataset"] == SET
        }


def draw(
    sources: Sequence[FileSource], mosaic: dict[str, str], pool: int, seed: int
) -> Draw:
    """Deal the images; the judges share no field of view with the start set."""
    order = [sources[i] for i in np.random.default_rng(seed).permutation(len(sources))]
    start = order[:START]
    known = {mosaic[s.image.stem] for s in start}
    judges = [s for s in order[START:] if mosaic[s.image.stem] not in known][:JUDGES]
    rest = [s for s in order[START:] if s not in judges]
    return Draw(start, judges, rest[:pool])


def choose(
    arm: str, names: Sequence[str], scores: dict[str, Any], mosaic: dict[str, str]
) -> list[str]:
    """Names in the order in which an arm wants them corrected."""
    if arm == "random":  # the pool lies in random order
        return list(names)
    if arm == "none":
        return []
    measure, _, diverse = arm.partition("-")
    order = sorted(names, key=lambda name: -scores[name][measure])
    if not diverse:
        return order
    taken: set[str] = set()
    firsts = []
    for name in order:
        if mosaic[name] not in taken:
            taken.add(mosaic[name])
            firsts.append(name)
    return firsts + [name for name in order if name not in firsts]


def doubt(model: Checkpoint, source: FileSource) -> dict[str, float]:
    """How unsure a model is of an image, by each measure."""
    image, truth = read_image(source.image), read_labels(source.labels).array
    params = SegmentParams(
        axes=image.axes, diameter_px=median_diameter(truth) or None, device="cpu"
    )
    found = run(iter_segment(image.array, model, params))
    mirrored = run(iter_flipped(image.array, model, params))
    compared = rank_by_disagreement(found.labels, mirrored, found.axes)
    return {
        "entropy": rank_by_entropy(found).planes[0].score,
        "disagreement": compared.planes[0].score,
        "objects": int(np.count_nonzero(np.unique(truth))),
    }


def teach(
    dealt: Draw, more: Sequence[FileSource], out: Path, seed: int, **more_params: Any
) -> Checkpoint:
    """Train on the start set and more."""
    learned = [replace(s, for_validation=False) for s in [*dealt.start, *more]]
    judges = [replace(s, for_validation=True) for s in dealt.judges]
    params = TrainParams.quick_cpu(
        minutes=None,
        validate_every=more_params["steps"],
        rehearse=(),  # the sample is of the same data set
        freeze_norm="init" in more_params,
        encoder_rate=0.5 if "init" in more_params else 1.0,
        seed=seed,
        device="cpu",
        resume=True,
        **more_params,
    )
    run(iter_train([*learned, *judges], out, params))
    return load_model(out)


class Trial:
    """The runs of one seed."""

    def __init__(self, options: argparse.Namespace, seed: int) -> None:
        self.options, self.seed = options, seed
        self.mosaics = mosaics(options.data)
        sources = pair_files(options.data / SET / "train")
        self.draw = draw(sources, self.mosaics, options.pool, seed)
        self.out = options.cache / f"start-{options.start_steps}-{seed}.safetensors"

    def start(self) -> dict[str, float]:
        """Train the weak model and score it."""
        file = self.out.with_suffix(".json")
        if not file.is_file():
            model = teach(
                self.draw,
                [],
                self.out,
                self.seed,
                steps=self.options.start_steps,
                object_diameter_px=20.0,
            )
            file.write_text(json.dumps(self.judge(model)))
        scores: dict[str, float] = json.loads(file.read_text())
        return scores

    def untuned(self) -> Path:
        """Write the weak model with the thresholds it had before they were tuned.

        They were tuned on the judges. A model that goes on from it is judged before
        its own are tuned, would look the worse for it, and be dropped.
        """
        file = self.out.with_name(f"untuned-{self.out.name}")
        if not file.is_file():
            model = load_model(self.out)
            plain = {f.name: f.default for f in fields(Card)}
            names = ("threshold", "seed_threshold", "smallest_px")
            card = replace(model.card, **{name: plain[name] for name in names})
            save_checkpoint(file, model.network, card)
        return file

    def judge(self, model: Checkpoint) -> dict[str, float]:
        """Score a model on the validation images."""
        return score(model, self.options.data / SET / "val", self.options.every)

    def rank(self) -> dict[str, dict[str, float]]:
        """Doubt of the weak model about each image of the pool."""
        file = self.out.with_suffix(".doubt.jsonl")
        lines = file.read_text().splitlines() if file.is_file() else []
        known = dict(json.loads(line) for line in lines)
        model = load_model(self.out)
        for source in self.draw.pool:
            if source.image.stem not in known:
                known[source.image.stem] = doubt(model, source)
                with file.open("a") as log:
                    entry = [source.image.stem, known[source.image.stem]]
                    log.write(json.dumps(entry) + "\n")
        return {s.image.stem: known[s.image.stem] for s in self.draw.pool}

    def arm(self, arm: str) -> dict[str, Any]:
        """Correct what an arm chooses, learn from it, score; unless done before."""
        options = self.options
        budget = f"{options.correct}-of-{options.pool}-{options.steps}"
        out = options.cache / f"{arm}-{budget}-{self.seed}.safetensors"
        file = out.with_suffix(".json")
        if file.is_file():
            return dict(json.loads(file.read_text()))
        before, doubts = self.start(), self.rank()
        named = {s.image.stem: s for s in self.draw.pool}
        chosen = choose(arm, list(named), doubts, self.mosaics)[: options.correct]
        started = time.process_time()
        model = teach(
            self.draw,
            [named[name] for name in chosen],
            out,
            self.seed,
            steps=options.steps,
            init=self.untuned(),
        )
        result = {
            "arm": arm,
            "seed": self.seed,
            "chosen": chosen,
            "objects": sum(doubts[name]["objects"] for name in chosen),
            "fields": len({self.mosaics[name] for name in chosen}),
            "before": before,
            "after": self.judge(model),
            "processor_seconds": time.process_time() - started,
        }
        file.write_text(json.dumps(result))
        return result


def main() -> None:
    """Print one row a run, and the means of each arm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--arms", nargs="+", default=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--start-steps", type=int, default=200)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--pool", type=int, default=100)
    parser.add_argument("--correct", type=int, default=10)
    parser.add_argument("--every", type=int, default=1, help="n-th image of val")
    parser.add_argument("--cache", type=Path, default=Path(".benchmarks/active"))
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    trials = [Trial(options, seed) for seed in options.seeds]
    found = [trial.arm(arm) for arm in options.arms for trial in trials]
    rows = [
        {
            "arm": one["arm"],
            "seed": one["seed"],
            "objects": one["objects"],
            "fields": one["fields"],
            "AP before": one["before"]["ap50"],
            "AP after": one["after"]["ap50"],
            "mean AP before": one["before"]["mean_ap"],
            "mean AP after": one["after"]["mean_ap"],
        }
        for one in found
    ]
    means = {
        arm: {
            key: float(np.mean([r[key] for r in rows if r["arm"] == arm]))
            for key in ("AP after", "mean AP after")
        }
        for arm in options.arms
    }
    report("active", rows, table=rows, means=means)


if __name__ == "__main__":
    main()
