"""Average precision of a network on validation pairs, by the path users take."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import groupby, product
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.imaging.instances import InstanceParams, remove_small
from napari_seg.imaging.matching import THRESHOLDS as IOU_THRESHOLDS
from napari_seg.imaging.matching import count_matches
from napari_seg.imaging.metrics import Metrics, evaluate, pool
from napari_seg.inference.segment import Segmentation, iter_derive, segment
from napari_seg.types import Progress, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.models.card import Card
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.training.pairs import TrainingPair

LARGEST_PX = 1024
"""Larger validation images are cropped to this side, in network pixels."""

THRESHOLDS = (0.4, 0.5, 0.6)
"""Foreground probabilities tried by `iter_calibrate`."""
SEED_THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Interior probabilities tried by `iter_calibrate`."""
SMALLEST_SHARES = (0.0, 0.025, 0.05, 0.1)
"""Smallest areas tried, as shares of a disc of the object diameter."""

Choice = tuple[float, float, float]
"""Threshold, seed threshold and smallest area in network pixels."""


def total_score(metrics: Metrics) -> float:
    """Choose weights by this: the mean of AP at 0.5 and the mean AP.

    AP at 0.5 alone is blind to outlines.
    """
    return (metrics.average_precision(0.5) + metrics.mean_ap) / 2


def validate(
    checkpoint: Checkpoint, pairs: Sequence[TrainingPair], *, device: str = "cpu"
) -> Metrics:
    """Pool the metrics of all pairs, segmented with the true object size."""
    cropped = [_crop(pair, checkpoint.card) for pair in pairs]
    return pool(
        evaluate(_segment(checkpoint, pair, device, keep=False).labels, pair.labels)
        for pair in cropped
    )


def iter_calibrate(
    checkpoint: Checkpoint, pairs: Sequence[TrainingPair], *, device: str = "cpu"
) -> Generator[Progress, None, Card]:
    """Find the thresholds that score best; the network runs once a pair.

    Yields
    ------
    Progress
        Stage ``"calibrate"``, one step a pair.

    Returns
    -------
    Card
        With the best thresholds and smallest area.
    """
    choices = _choices(checkpoint.card)
    counts = {choice: np.zeros(2 + len(IOU_THRESHOLDS)) for choice in choices}
    for number, full in enumerate(pairs):
        yield Progress("calibrate", number, len(pairs))
        pair = _crop(full, checkpoint.card)
        found = _segment(checkpoint, pair, device, keep=True)
        for key, group in groupby(choices, key=lambda choice: choice[:2]):
            labels = run(iter_derive(found, InstanceParams(*key)))
            for choice in group:
                # Dropping the small afterwards saves a watershed for each size.
                kept = remove_small(labels, choice[2] / found.zoom**2)
                n_found, n_true, matches = count_matches(kept, pair.labels)
                counts[choice] += (n_found, n_true, *matches)
    yield Progress("calibrate", len(pairs), len(pairs))
    # Of equals the first: the middle of the range comes before its ends.
    best = max(choices, key=lambda choice: _score(counts[choice]))
    return replace(
        checkpoint.card,
        threshold=best[0],
        seed_threshold=best[1],
        smallest_px=round(best[2], 1),
    )


def _choices(card: Card) -> list[Choice]:
    disc = np.pi / 4 * card.object_diameter_px**2
    areas = [share * disc for share in SMALLEST_SHARES]
    choices = list(product(THRESHOLDS, SEED_THRESHOLDS, areas))
    return sorted(
        choices, key=lambda c: (abs(c[0] - 0.5), c[0], abs(c[1] - 0.5), c[1], c[2])
    )


def _score(counts: NDArray[np.float64]) -> float:
    n_found, n_true, matches = counts[0], counts[1], counts[2:]
    precision = matches / np.maximum(n_found + n_true - matches, 1)
    return float(precision[0] + precision.mean()) / 2


def _segment(
    checkpoint: Checkpoint, pair: TrainingPair, device: str, *, keep: bool
) -> Segmentation:
    return segment(
        pair.image,
        checkpoint,
        axes="CYX",
        device=device,
        channel=0 if checkpoint.card.in_channels == 1 else None,
        diameter_px=pair.diameter_px or checkpoint.card.object_diameter_px,
        keep_probabilities=keep,
    )


def _crop(pair: TrainingPair, card: Card) -> TrainingPair:
    zoom = card.object_diameter_px / pair.diameter_px if pair.diameter_px else 1.0
    side = max(int(LARGEST_PX / zoom), 1)
    return replace(
        pair, image=pair.image[:, :side, :side], labels=pair.labels[:side, :side]
    )
