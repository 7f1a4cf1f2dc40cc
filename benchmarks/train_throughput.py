"""Throughput of the trainer against a bare PyTorch loop.

Both train the same network on the same patches on the same device, data loading
included: the bare loop with a ``DataLoader`` of one worker process, the optimiser, the
loss and mixed precision, and nothing else; the trainer with its threads, running
average, clipping, loss curve and progress. They take turns, and of each the quickest
turn counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from skimage.measure import label
from torch.utils.data import DataLoader

from benchmarks._table import nuclei, report
from napari_seg.imaging.normalise import intensity_range, rescale_intensity
from napari_seg.inference.precision import half_type
from napari_seg.models.checkpoint import build_from_card
from napari_seg.training.describe import make_card
from napari_seg.training.losses import weighted_cross_entropy
from napari_seg.training.pairs import TrainingPair, median_diameter
from napari_seg.training.params import TrainParams
from napari_seg.training.progress import TrainProgress
from napari_seg.training.sampling import PatchDataset
from napari_seg.training.trainer import iter_train_pairs


def picture() -> TrainingPair:
    """Return an image with labels from a threshold: what is learned does not matter."""
    image = nuclei(1024)
    image = rescale_intensity(image, intensity_range(image))
    labels = label(image > 0.4).astype(np.int32)
    return TrainingPair("nuclei", image[None], labels, median_diameter(labels))


def bare(pair: TrainingPair, params: TrainParams, device: str) -> float:
    """Return the seconds a step of a bare loop."""
    steps = params.steps or 0
    card = make_card([pair], params, Path("bare"))
    network = build_from_card(card).to(device).train()
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), params.learning_rate)
    patches = PatchDataset([pair], params, 20.0, steps * params.batch)
    loader = DataLoader(patches, params.batch, num_workers=1, prefetch_factor=4)
    half = half_type(device) if params.mixed_precision else None
    started = 0.0
    for number, (images, classes, weights) in enumerate(loader):
        if number == 1:  # the first step starts the worker and warms up
            started = time.perf_counter()
        x = images.to(device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(torch.device(device).type, half, enabled=half is not None):
            logits = network(x)["out"]
        loss = weighted_cross_entropy(logits, classes.to(device), weights.to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        float(loss.detach())
    return (time.perf_counter() - started) / (steps - 1)


def trainer(pair: TrainingPair, params: TrainParams) -> float:
    """Return the seconds a step of the trainer."""
    steps = params.steps or 0
    # One step more than is timed, so that the validation at the end is not timed.
    longer = replace(params, steps=steps + 1)
    started = finished = 0.0
    with tempfile.TemporaryDirectory() as folder:
        job = iter_train_pairs([pair], [pair], Path(folder) / "m.safetensors", longer)
        for step in job:
            if isinstance(step, TrainProgress) and step.done == 1:
                started = time.perf_counter()
            if isinstance(step, TrainProgress) and step.done == steps:
                finished = time.perf_counter()
                break
        job.close()
    return (finished - started) / (steps - 1)


def main() -> None:
    """Print seconds a step and the ratio of the throughputs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=160)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--loaders", type=int, default=1)
    options = parser.parse_args()
    params = TrainParams(
        steps=options.steps,
        batch=options.batch,
        patch_px=options.patch,
        device=options.device,
        loaders=options.loaders,
        validate_every=10**9,
    )
    pair = picture()
    turns: dict[str, Callable[[], float]] = {
        "bare loop": lambda: bare(pair, params, options.device),
        "trainer": lambda: trainer(pair, params),
    }
    found: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(options.rounds):
        for name, turn in turns.items():
            found[name].append(turn())
    rows = [
        {
            "loop": name,
            "best s/step": min(seconds),
            "median s/step": float(np.median(seconds)),
            "images/s": options.batch / min(seconds),
        }
        for name, seconds in found.items()
    ]
    ratios = np.divide(found["bare loop"], found["trainer"])
    report(
        "train_throughput",
        rows,
        table=rows,
        throughput_ratio=min(found["bare loop"]) / min(found["trainer"]),
        ratios_by_round=[round(float(ratio), 3) for ratio in ratios],
    )


if __name__ == "__main__":
    main()
