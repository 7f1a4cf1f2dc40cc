"""Reviewing in the order of the queue against reviewing in any order.

DATA holds ``images`` and ``masks`` of the same names. The model predicts each image; a
robot looks at the predicted objects of all images in an order, and knows at a look
whether one is wrong: its best overlap with a true one is below an IoU of 0.5 (or
``--iou``). What share of the objects has it looked at when it has found 80 % of the
wrong ones? In any order that is 80 %. Objects that the model missed are in no queue;
their number is given as well.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._table import report
from napari_seg.data.io import read_image, read_labels
from napari_seg.data.pairing import paired_files
from napari_seg.imaging.matching import iou_matrix
from napari_seg.inference.crowding import rank_by_border_weight
from napari_seg.inference.oddness import rank_by_oddness
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.ranking import (
    Ranking,
    iter_flipped,
    rank_by_disagreement,
    rank_by_entropy,
)
from napari_seg.inference.segment import iter_segment
from napari_seg.models.checkpoint import load_model
from napari_seg.types import run

FOUND = 0.8
DRAWS = 200


@dataclass(frozen=True)
class Reviewed:
    """The objects of one image."""

    wrong: dict[int, bool]
    """Whether each predicted object is wrong."""
    scores: dict[str, dict[int, float]]
    """How doubtful each is, by each measure."""
    missed: int
    """True objects that no prediction covers at the IoU."""


def scores_of(ranking: Ranking) -> dict[int, float]:
    """Return the score of each object."""
    return {one.object_id: one.score for one in ranking.objects}


def review(image: Path, masks: Path, model: object, iou: float) -> Reviewed:
    """Predict an image, rank its objects, and compare them with the truth."""
    data, truth = read_image(image), np.asarray(read_labels(masks).array)
    params = SegmentParams(axes=data.axes, keep_probabilities=True)
    found = run(iter_segment(data.array, model, params))
    overlap = iou_matrix(found.labels, truth).toarray()
    ids = np.unique(found.labels[found.labels > 0]).tolist()
    best = overlap.max(axis=1, initial=0.0)
    fixed = SegmentParams(axes=data.axes, diameter_px=found.diameter_px)
    mirrored = run(iter_flipped(data.array, model, fixed))
    rankings = {
        "entropy": rank_by_entropy(found),
        "border weights": rank_by_border_weight(found.labels, found.axes),
        "odd size or shape": rank_by_oddness(found.labels, found.axes),
        "mirrored runs": rank_by_disagreement(found.labels, mirrored, found.axes),
    }
    return Reviewed(
        {i: bool(b < iou) for i, b in zip(ids, best, strict=True)},
        {name: scores_of(ranking) for name, ranking in rankings.items()},
        int((overlap.max(axis=0, initial=0.0) < iou).sum()),
    )


def share_until_found(wrong: Sequence[bool], share: float = FOUND) -> float:
    """Return the share of an order that has been looked at when enough is found."""
    flags = np.asarray(wrong, bool)
    needed = math.ceil(share * flags.sum())
    if not needed:
        return 0.0
    return float(np.searchsorted(np.cumsum(flags), needed) + 1) / len(flags)


def over_all(images: Sequence[Reviewed], measure: str) -> list[bool]:
    """Order the objects of all images together."""
    rows = [
        (-one.scores[measure][i], number, i)
        for number, one in enumerate(images)
        for i in one.wrong
    ]
    return [images[number].wrong[i] for _, number, i in sorted(rows)]


def in_any_order(images: Sequence[Reviewed]) -> float:
    """Return the mean share over random orders."""
    flags = np.array([bad for one in images for bad in one.wrong.values()])
    draws = np.random.default_rng(0)
    return float(
        np.mean([share_until_found(draws.permutation(flags)) for _ in range(DRAWS)])
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="nuclei-unet")
    parser.add_argument("--iou", type=float, default=0.5)
    parser.add_argument("--images", type=int, default=0, help="the first so many")
    chosen = parser.parse_args()
    model = load_model(chosen.model)
    pairs = paired_files(chosen.data)[: chosen.images or None]
    images = [review(*pair, model, chosen.iou) for pair in pairs]
    objects = sum(len(one.wrong) for one in images)
    bad = sum(sum(one.wrong.values()) for one in images)
    missed = sum(one.missed for one in images)
    print(f"{len(images)} images, {objects} objects, {bad} wrong at IoU {chosen.iou};")
    print(f"{missed} true objects have no predicted one at that IoU")
    rows = [{"order": "any", "looked at": in_any_order(images)}]
    for measure in images[0].scores:
        share = share_until_found(over_all(images, measure))
        rows.append({"order": measure, "looked at": share})
    report("review_queue", rows, objects=objects, wrong=bad)


if __name__ == "__main__":
    main()
