"""What is said about a training while it goes."""

from __future__ import annotations

import math

from napari_seg.gui.training.monitor import Before, Monitor, Seen, iter_drawn
from napari_seg.gui.training.picture import Drawn
from napari_seg.training.curve import CurvePoint
from napari_seg.training.progress import TrainProgress
from napari_seg.types import Progress


def step(number: int, **kwargs: float) -> TrainProgress:
    return TrainProgress("train", number, 40, **{"loss": 0.25, **kwargs})


def test_every_stage_has_its_words():
    monitor = Monitor()
    said = []
    for progress in (
        Progress("load", 0, 2),
        Progress("load", 2, 2, message="3 planes in memory (2 MB)"),
        Progress("validate", 1, 8),
        step(10, remaining_s=90.0),
        Progress("validate", 2, 8),
        Progress("calibrate", 1, 8),
    ):
        monitor.update(progress)
        said.append(monitor.text)
    assert said == [
        "Reading the training data",
        "3 planes in memory (2 MB)",
        "Scoring what it starts from 1 of 8",
        "Step 10 · loss 0.25 · 2 min left",
        "Step 10 · loss 0.25 · 2 min left · scoring 2 of 8",
        "Finding the best thresholds",
    ]
    assert monitor.fraction == 0.25
    assert monitor.note == ""


def test_advice_stays():
    monitor = Monitor()
    for progress in (Progress("advice", 1, 1, message="Let it forget."), step(10)):
        monitor.update(progress)
    assert monitor.text.startswith("Step 10")
    assert monitor.note.startswith("Let it forget. Untick Keep what it knows")


def test_a_score_before_the_first_step_has_no_loss():
    monitor = Monitor()
    monitor.update(step(0, loss=math.nan))
    assert monitor.text == "Step 0"
    assert monitor.curve.is_empty


def test_a_resumed_curve_is_joined():
    monitor = Monitor()
    points = tuple(CurvePoint(n, n, 1.0, 1e-3, 0.5 if n == 4 else None) for n in (3, 4))
    monitor.update(Before("load", 0, 0, points=points))
    monitor.update(step(5))
    assert monitor.curve.steps == [3, 4, 5]
    assert monitor.curve.scores == [(4, 0.5)]
    assert "best AP 0.50" in monitor.text


def test_closing_the_watcher_closes_the_training():
    closed = []

    def training():
        try:
            yield step(1)
            yield step(2)
        finally:
            closed.append(True)

    watched = iter_drawn(training())
    assert next(watched).done == 1
    watched.close()
    assert closed == [True]


def test_a_picture_follows_its_step(monkeypatch):
    from napari_seg.gui.training import monitor as module

    shown = Drawn(None, 1, None)
    monkeypatch.setattr(module, "draw", lambda picture, number: shown)

    def training():
        yield step(1, picture="of cells")
        return "card"

    watched = iter_drawn(training())
    first, second = next(watched), next(watched)
    assert isinstance(first, TrainProgress)
    assert isinstance(second, Seen)
    monitor = Monitor()
    monitor.update(second)
    assert monitor.drawn is shown
