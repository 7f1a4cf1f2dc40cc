"""What trusting the look at an image less, and dropping larger debris, bring a model.

DATA holds ``{train,val}/{images,masks}``. The model is run at the object size it
estimates, with its card as it is, and as it was before: as if a look were off by
`LOOK_ERROR` at most, and with debris up to a tenth of a disc dropped. ``--measure``
also compares its looks at the images of both folders with the truth.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from itertools import product
from pathlib import Path

from benchmarks._table import report
from napari_seg.data.io import read_image, read_labels
from napari_seg.imaging.metrics import evaluate, pool
from napari_seg.inference.segment import segment
from napari_seg.models.checkpoint import Checkpoint, load_model
from napari_seg.training.folders import pair_files
from napari_seg.training.size_error import iter_look_error
from napari_seg.training.sources import Reading, iter_read
from napari_seg.training.trainer import find_sources
from napari_seg.types import run

BEFORE = 0.1
"""Share of a disc of the object diameter up to which a find was called dirt."""


def measured(model: Checkpoint, data: Path) -> float:
    """Return how far looks at the images of a data set are off, in octaves."""
    card = model.card
    reading = Reading(card.in_channels, card.normalisation, ())
    return run(
        iter_look_error(model, run(iter_read(find_sources(data), reading)))
    ).look_error


def main() -> None:
    """Print one row for each combination."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="phase-unet")
    parser.add_argument("--split", default="val", choices=("train", "val"))
    parser.add_argument("--every", type=int, default=1, help="n-th image")
    parser.add_argument("--measure", action="store_true")
    options = parser.parse_args()
    model = load_model(options.model)
    card = model.card
    disc = math.pi / 4 * card.object_diameter_px**2
    rows = []
    for error, smallest in product(
        (0.0, card.look_error), (BEFORE * disc, card.smallest_px)
    ):
        tried = replace(
            model, card=replace(card, look_error=error, smallest_px=smallest)
        )
        scores = []
        for source in pair_files(options.data / options.split)[:: options.every]:
            image, truth = read_image(source.image), read_labels(source.labels).array
            found = segment(
                image.array, tried, axes=image.axes, keep_probabilities=False
            )
            scores.append(evaluate(found.labels, truth))
        total = pool(scores)
        rows.append(
            {
                "look error": error,
                "smallest px": smallest,
                "AP@0.5": total.average_precision(0.5),
                "mean AP": total.mean_ap,
            }
        )
    known = (
        {"look_error_octaves": measured(model, options.data)} if options.measure else {}
    )
    report("object_size", rows, images=len(scores), **known)


if __name__ == "__main__":
    main()
