"""What weights get at their end: thresholds, scores, how well they see sizes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_seg.training.describe import with_scores
from napari_seg.training.size_error import iter_look_error
from napari_seg.training.validation import iter_calibrate, iter_validate, total_score

if TYPE_CHECKING:
    from napari_seg.imaging.metrics import Metrics
    from napari_seg.models.card import Card
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.training.pairs import TrainingPlane
    from napari_seg.types import Progress


def iter_finish(
    rivals: Sequence[Checkpoint],
    pairs: Sequence[TrainingPlane],
    held_out: Sequence[TrainingPlane],
    *,
    device: str = "cpu",
    known: Card | None = None,
) -> Generator[Progress, None, Checkpoint]:
    """Calibrate weights, choose the best of them, and complete its card.

    Parameters
    ----------
    rivals : sequence of Checkpoint
        Of equals the first is taken.
    pairs, held_out : sequence of TrainingPlane
        For training and validation; thresholds and scores are of the latter.
    device : str
    known : Card, optional
        Of the model that shall not be forgotten; see `iter_calibrate`.

    Yields
    ------
    Progress
        Stages ``"calibrate"`` and ``"validate"``.
    """
    found: list[tuple[Checkpoint, Metrics]] = []
    for rival in rivals:
        found.append((yield from _iter_calibrated(rival, held_out, device, known)))
    best, metrics = max(found, key=lambda one: total_score(one[1]))
    card = best.card
    if card.ndim == 2:
        planes = [*held_out, *pairs]
        card = yield from iter_look_error(best, planes, device=device)
    return replace(best, card=with_scores(card, metrics))


def _iter_calibrated(
    rival: Checkpoint,
    held_out: Sequence[TrainingPlane],
    device: str,
    known: Card | None,
) -> Generator[Progress, None, tuple[Checkpoint, Metrics]]:
    card = yield from iter_calibrate(rival, held_out, device=device, near=known)
    rival = replace(rival, card=card)
    found = yield from iter_validate(rival, held_out, device=device)
    return rival, found.metrics
