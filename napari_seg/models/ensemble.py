"""Several checkpoints as one, whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from napari_seg.errors import CheckpointError
from napari_seg.models.averaged import Averaged
from napari_seg.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    from napari_seg.models.card import Card

SHARED = (
    "ndim",
    "in_channels",
    "classes",
    "stuff",
    "decoder",
    "normalisation",
    "object_diameter_px",
)
"""What must be the same on all cards for the probabilities to mean the same."""


def check_alike(first: Card, other: Card, fields: Sequence[str], remedy: str) -> None:
    """Refuse to average two models that differ in one of the fields, and name it."""
    for field in fields:
        ours, theirs = getattr(first, field), getattr(other, field)
        if ours != theirs:
            raise CheckpointError(
                f"{first.name} and {other.name} cannot be averaged",
                f"{field} is {ours} in one and {theirs} in the other",
                remedy,
            )


def join_checkpoints(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """Make one checkpoint of several.

    Parameters
    ----------
    checkpoints : sequence of Checkpoint
        Of any architectures; trained for the same channels, classes, normalisation and
        object diameter.

    Returns
    -------
    Checkpoint
        Its thresholds are the means of theirs; it has no file.

    Raises
    ------
    CheckpointError
        Naming what differs.
    """
    if len(checkpoints) == 1:
        return checkpoints[0]
    first = checkpoints[0].card
    if first.finds_objects:
        raise CheckpointError(
            "Only models that classify pixels can be averaged",
            f"{first.name}, which finds objects one by one",
        )
    for other in checkpoints[1:]:
        check_alike(
            first, other.card, SHARED, "Choose models trained with the same settings."
        )
    cards = [checkpoint.card for checkpoint in checkpoints]
    try:
        network = Averaged([checkpoint.network for checkpoint in checkpoints])
    except ValueError as error:
        raise CheckpointError("These models cannot be averaged", str(error)) from error
    card = replace(
        first,
        name=" + ".join(card.name for card in cards),
        description="Average of several models",
        scores={},
        threshold=fmean(card.threshold for card in cards),
        seed_threshold=fmean(card.seed_threshold for card in cards),
        smallest_px=fmean(card.smallest_px for card in cards),
    )
    hashes = "+".join(checkpoint.sha256 for checkpoint in checkpoints)
    return Checkpoint(network.eval(), card, None, hashes)
