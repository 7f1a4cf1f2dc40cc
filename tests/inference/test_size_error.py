"""What a network's look at an image is worth, measured at the end of its training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_seg.inference.diameter import temper
from napari_seg.models.checkpoint import Checkpoint
from napari_seg.training.pairs import TrainingPair
from napari_seg.training.size_error import iter_look_error
from napari_seg.types import run


def discs(called_px: float) -> TrainingPair:
    """Draw discs of 24 px; their size may be told otherwise."""
    y, x = np.indices((160, 160)) % 40 - 20
    labels = (np.hypot(y, x) < 12).astype(np.int32)
    return TrainingPair("discs", labels[None].astype(np.float32), labels, called_px)


def test_an_exact_look_has_hardly_an_error(brightness: Checkpoint) -> None:
    card = run(iter_look_error(brightness, [discs(24.0), discs(0.0)]))
    assert card.look_error < 0.15
    assert replace(card, look_error=0.0) == brightness.card


def test_the_error_is_the_root_mean_square_in_octaves(brightness: Checkpoint) -> None:
    card = run(iter_look_error(brightness, [discs(24.0), discs(48.0)]))
    assert card.look_error == pytest.approx(np.sqrt((0 + 1) / 2), abs=0.1)


def test_where_nothing_is_found_nothing_is_known(brightness: Checkpoint) -> None:
    empty = TrainingPair(
        "e", np.zeros((1, 64, 64), np.float32), np.eye(64, dtype="i4"), 9.0
    )
    assert run(iter_look_error(brightness, [empty])) == brightness.card
    assert run(iter_look_error(brightness, [])) == brightness.card


def test_what_is_seen_badly_is_drawn_further_towards_the_usual(
    brightness: Checkpoint,
) -> None:
    usual = replace(brightness.card, usual_diameter_px=60.0, usual_spread=0.3)
    good, bad = (replace(usual, look_error=error) for error in (0.1, 1.2))
    assert temper(20.0, good) == temper(20.0, usual)
    assert 20 < temper(20.0, good) < temper(20.0, bad) < 60
