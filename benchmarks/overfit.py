"""Whether every architecture can learn at all: four images by heart, from scratch.

Each name is trained with its usual (slim) arguments on four whole images of DATA/train,
without any variation, with the same budget (on a processor: minutes of its time, for
the steps alone), and then segments just these. One that cannot be right about more than
95 % of their pixels (cell or not) is either wrong or too coarse for them; ``--bounds``
tells how right the best scores of a stride can be, once interpolated. The images are
those with the most cells of some that are looked at. Results are kept in ``--cache``, a
file a name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._networks import Result, each, parser, read_some, within_budget
from benchmarks._table import report

if TYPE_CHECKING:
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.training.pairs import TrainingPlane

IMAGES = 4
STRIDES = (2, 4, 8, 16, 32)
FITTING_STEPS = 300
SIDE = 256
"""Side (pixels) of the images that are taken: most of nuclei_fluo have it."""


def learn(name: str, options: argparse.Namespace) -> Result:
    """Train one network and let it segment what it has seen."""
    from napari_seg.training.augmentation import Augmentation
    from napari_seg.training.params import TrainParams
    from napari_seg.training.progress import TrainProgress
    from napari_seg.training.trainer import iter_train_pairs

    planes = read_some(options.data / "train", IMAGES, SIDE)
    params = TrainParams(
        architecture=name,
        minutes=options.minutes,
        batch=options.batch,
        patch_px=options.patch,
        augmentation=Augmentation(
            scale=(1, 1),
            rotate=False,
            elastic_px=0,
            invert=0,
            blur_px=0,
            noise=0,
            intensity=False,
        ),
        average_decay=0.95,
        validate_every=10**6,
        device=options.device,
        threads=options.threads,
    )
    params = within_budget(planes, params)
    out = options.cache / f"{name}.safetensors"
    job, steps = iter_train_pairs(planes, planes, out, params), 0
    while True:
        try:
            step = next(job)
        except StopIteration as stop:
            model = stop.value
            break
        steps = step.done if isinstance(step, TrainProgress) else steps
    return {"name": name, "steps": steps, **judge(model, planes, options.device)}


def judge(model: Checkpoint, planes: Sequence[TrainingPlane], device: str) -> Result:
    """Segment images and compare: pixels by their likeliest class, and objects."""
    from napari_seg.imaging.metrics import evaluate, pool
    from napari_seg.inference.segment import segment

    right, total, cells, scores = 0, 0, 0, []
    for plane in planes:
        image, truth = plane.read((slice(None), slice(None)))
        found = segment(
            image, model, axes="CYX", diameter_px=plane.diameter_px, device=device
        )
        right += int(((found.semantic > 0) == (truth > 0)).sum())
        cells += int((truth > 0).sum())
        total += truth.size
        scores.append(evaluate(found.labels, np.asarray(truth)))
    pooled = pool(scores)
    return {
        "pixel accuracy": right / total,
        "all background": 1 - cells / total,
        "mean IoU": pooled.mean_iou,
        "AP@0.5": pooled.average_precision(0.5),
    }


def best_of_stride(planes: Sequence[TrainingPlane], stride: int) -> float:
    """Return how many pixels the best scores of a stride, interpolated, get right.

    The scores are fitted to the truth itself: no network of that stride is better.
    """
    import torch
    from torch.nn import functional

    right, total = 0, 0
    for plane in planes:
        _, labels = plane.read((slice(None), slice(None)))
        truth = torch.from_numpy((labels > 0).astype(np.float32))[None, None]
        scores = (8 * functional.avg_pool2d(truth, stride) - 4).requires_grad_()
        optimiser = torch.optim.Adam([scores], 0.2)
        for _ in range(FITTING_STEPS):
            fine = functional.interpolate(scores, truth.shape[2:], mode="bilinear")
            loss = functional.binary_cross_entropy_with_logits(fine, truth)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        fine = functional.interpolate(scores, truth.shape[2:], mode="bilinear")
        right += int(((fine > 0) == (truth > 0)).sum())
        total += truth.numel()
    return right / total


def main() -> None:
    """Print one row a name, or with ``--bounds`` one a stride."""
    made = parser(__doc__, minutes=1.5)
    made.add_argument("--bounds", action="store_true", help="what a stride allows")
    options = made.parse_args()
    if options.bounds:
        planes = read_some(options.data / "train", IMAGES, SIDE)
        bounds = [{"stride": s, "best": best_of_stride(planes, s)} for s in STRIDES]
        report("overfit_bounds", bounds, table=bounds)
        return
    rows = each(options, learn)
    short = [row["name"] for row in rows if row["pixel accuracy"] <= 0.95]
    report("overfit", rows, table=rows, minutes=options.minutes, not_over_095=short)


if __name__ == "__main__":
    main()
