"""Average precision of a network on validation pairs, by the path users take."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from napari_seg.imaging.metrics import Metrics, evaluate, pool
from napari_seg.inference.segment import Segmentation, iter_derive, segment
from napari_seg.types import Progress, run

if TYPE_CHECKING:
    from napari_seg.models.card import Card
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.training.pairs import TrainingPair

LARGEST_PX = 1024
"""Larger validation images are cropped to this side, in network pixels."""

THRESHOLDS = (0.4, 0.5, 0.6)
"""Foreground probabilities tried by `iter_calibrate`."""
SEED_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Interior probabilities tried by `iter_calibrate`."""


def total_score(metrics: Metrics) -> float:
    """One number to choose weights and thresholds by.

    AP at 0.5 alone is blind to outlines: half of the score is the mean AP.
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
) -> Generator[Progress, None, tuple[Card, Metrics]]:
    """Find the thresholds that score best; the network runs once a pair.

    Yields
    ------
    Progress
        Stage ``"calibrate"``, one step a pair.

    Returns
    -------
    card : Card
        With the best thresholds.
    metrics : Metrics
        What they score.
    """
    choices = list(product(THRESHOLDS, SEED_THRESHOLDS))
    scores: dict[tuple[float, float], list[Metrics]] = {c: [] for c in choices}
    for number, full in enumerate(pairs):
        yield Progress("calibrate", number, len(pairs))
        pair = _crop(full, checkpoint.card)
        found = _segment(checkpoint, pair, device, keep=True)
        for choice in choices:
            params = found.instance_params(
                threshold=choice[0], seed_threshold=choice[1]
            )
            labels = run(iter_derive(found, params))
            scores[choice].append(evaluate(labels, pair.labels))
    pooled = {choice: pool(parts) for choice, parts in scores.items()}
    best = max(pooled, key=lambda choice: total_score(pooled[choice]))
    yield Progress("calibrate", len(pairs), len(pairs))
    card = replace(checkpoint.card, threshold=best[0], seed_threshold=best[1])
    return card, pooled[best]


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
