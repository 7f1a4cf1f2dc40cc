"""Accuracy of a model on a folder of images, as they are and as others might look.

The folder has ``images/`` and ``masks/`` (or ``labels/``) paired by stem. Each variant
changes the images (and, for magnification, the truth); the object size is estimated, or
taken as the model's own ("not rescaled").
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks._table import report
from napari_seg.data.io import read_image, read_labels
from napari_seg.imaging.metrics import evaluate, pool
from napari_seg.inference.params import TTA
from napari_seg.inference.segment import load, segment

if TYPE_CHECKING:
    from napari_seg.models.checkpoint import Checkpoint

Image = NDArray[np.float64]
Change = Callable[[Image, NDArray[np.int32]], tuple[Image, NDArray[np.int32]]]


def magnified(factor: float) -> Change:
    """Other objective: everything larger or smaller."""

    def change(
        image: Image, truth: NDArray[np.int32]
    ) -> tuple[Image, NDArray[np.int32]]:
        soft = ndimage.gaussian_filter(image, max(0.0, 0.5 / factor - 0.5))
        return (
            ndimage.zoom(soft, factor, order=1, grid_mode=True, mode="nearest"),
            ndimage.zoom(truth, factor, order=0, grid_mode=True, mode="nearest"),
        )

    return change


def toned(tone: Callable[[Image], Image]) -> Change:
    """Other grey values, same truth."""
    return lambda image, truth: (tone(image), truth)


def noisy(image: Image) -> Image:
    """Expose briefly: shot noise of about 20 photons in the brightest pixels."""
    peak = max(float(np.percentile(image, 99.8)), 1.0)
    photons = np.random.default_rng(0).poisson(np.clip(image / peak, 0, None) * 20)
    return photons.astype(float)


VARIANTS: dict[str, tuple[Change, bool]] = {
    "as they are": (toned(lambda image: image), True),
    "enlarged 5 times": (magnified(5), True),
    "enlarged 5 times, not rescaled": (magnified(5), False),
    "enlarged 2 times": (magnified(2), True),
    "shrunk to half": (magnified(0.5), True),
    "inverted": (toned(lambda image: image.max() - image), True),
    "dim 16 bit on an offset": (
        toned(lambda image: np.round(400 + image * 1.7).astype(np.uint16)),
        True,
    ),
    "shot noise": (toned(noisy), True),
    "out of focus (blur 2 px)": (
        toned(lambda image: ndimage.gaussian_filter(image, 2.0)),
        True,
    ),
}


def score(
    model: Checkpoint,
    files: list[tuple[Path, Path]],
    change: Change,
    estimate: bool,
    tta: str = "none",
) -> dict[str, object]:
    """One row of the table."""
    scores, ratios, seconds = [], [], 0.0
    for image_file, truth_file in files:
        image = np.asarray(read_image(image_file).array, float)
        truth = np.asarray(read_labels(truth_file).array)
        image, truth = change(image, truth)
        size = None if estimate else model.card.object_diameter_px
        began = time.process_time()
        result = segment(
            image, model, diameter_px=size, keep_probabilities=False, tta=tta
        )
        seconds += time.process_time() - began
        scores.append(evaluate(result.labels, truth))
        areas = np.bincount(truth.ravel())[1:]
        if areas.any():
            true_px = 2 * np.sqrt(np.median(areas[areas > 0]) / np.pi)
            ratios.append(result.diameter_px / true_px)
    total = pool(scores)
    return {
        "images": total.n_images,
        "AP@0.5": total.average_precision(0.5),
        "AP@0.75": total.average_precision(0.75),
        "AP@0.9": total.average_precision(0.9),
        "mean AP": total.mean_ap,
        "PQ": total.panoptic_quality,
        "processor s": round(seconds, 1),
        "size within 1.5x": float(np.mean(np.abs(np.log(ratios)) < np.log(1.5))),
    }


def main() -> None:
    """Print one row a variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--model", action="append", help="of several, probabilities are averaged"
    )
    parser.add_argument("--tta", nargs="+", choices=TTA, default=["none"])
    parser.add_argument("--every", type=int, default=1, help="take every n-th image")
    parser.add_argument("--variant", action="append", choices=sorted(VARIANTS))
    options = parser.parse_args()
    truths = next(
        options.folder / n for n in ("masks", "labels") if (options.folder / n).is_dir()
    )
    images = sorted((options.folder / "images").iterdir())[:: options.every]
    files = [(image, truths / image.name) for image in images]
    model = load(options.model or ["nuclei-unet"])
    rows = []
    for name, tta in product(options.variant or VARIANTS, options.tta):
        found = score(model, files, *VARIANTS[name], tta)
        rows.append({"variant": name, "tta": tta, **found})
    report("accuracy", rows, table=rows)


if __name__ == "__main__":
    main()
