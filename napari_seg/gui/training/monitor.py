"""From the steps of a training to a curve, a bar and a line of text."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from napari_seg.gui.meter import format_seconds
from napari_seg.gui.training.curve import LossCurve
from napari_seg.gui.training.picture import Drawn, draw
from napari_seg.training.curve import CurvePoint
from napari_seg.training.progress import TrainProgress
from napari_seg.types import Progress

_TEXTS = {
    "load": "Reading the training data",
    "calibrate": "Finding the best thresholds",
}


@dataclass(frozen=True)
class Before(Progress):
    """The curve of earlier sittings of a training that is resumed."""

    points: tuple[CurvePoint, ...] = ()


@dataclass(frozen=True)
class Seen(Progress):
    """A step with its picture drawn."""

    drawn: Drawn | None = None


def iter_drawn(steps: Generator[Progress, None, Any]) -> Generator[Progress, None, Any]:
    """Pass a training through, drawing its pictures in the same thread."""
    try:
        while True:
            step = next(steps)
            yield step
            if isinstance(step, TrainProgress) and step.picture is not None:
                drawn = draw(step.picture, step.done)
                yield Seen("picture", step.done, step.total, drawn=drawn)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


class Monitor:
    """What the panel shows of one training."""

    def __init__(self) -> None:
        self.curve = LossCurve()
        self.drawn: Drawn | None = None
        self.fraction = -1.0
        self.text = "Starting"
        self.note = ""
        """What is to be said until the end, and then."""
        self.steps = 0
        self._train_text = ""

    def update(self, progress: Progress) -> None:
        """Take in one step."""
        if isinstance(progress, Before):
            for point in progress.points:
                self.curve.add(point.step, point.loss, point.ap)
        elif isinstance(progress, Seen):
            self.drawn = progress.drawn
        elif isinstance(progress, TrainProgress):
            self._take_step(progress)
        elif progress.stage == "advice":
            self.note = f"{progress.message} Untick Keep what it knows for that."
        elif progress.stage == "validate" and progress.total:
            share = f"{progress.done} of {progress.total}"
            before = f"{self._train_text} · scoring"
            what = before if self._train_text else "Scoring what it starts from"
            self.text = f"{what} {share}"
        else:
            self.text = progress.message or _TEXTS.get(progress.stage, self.text)

    def _take_step(self, step: TrainProgress) -> None:
        self.steps += 1
        self.curve.add(step.done, step.loss, step.ap)
        self.fraction = min(step.done / step.total, 1.0) if step.total else -1.0
        parts = [f"Step {step.done:,}"]
        if math.isfinite(step.loss):
            parts.append(f"loss {step.loss:.3g}")
        best = self.curve.best()
        if best is not None:
            parts.append(f"best AP {best[1]:.2f}")
        if math.isfinite(step.remaining_s):
            parts.append(f"{format_seconds(step.remaining_s)} left")
        self.text = self._train_text = " · ".join(parts)
