"""One training, from Start to a model in the list."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.training.monitor import Monitor, iter_drawn
from napari_seg.gui.training.settings import TrainState
from napari_seg.types import Progress

_NEWS_S = 0.2
"""Nobody reads faster, and drawing the curve takes from the training."""


class TrainRun:
    """Starts at once.

    Parameters
    ----------
    jobs : Jobs
        Runs the generator in its thread.
    steps : generator
        Yields `Progress`, returns the model's card.
    out : Path
        The checkpoint that is written.
    stop : threading.Event
        Given to the training too: set, it ends as if its time were over.
    on_news : callable
        Takes this run, at most five times a second.
    on_end : callable
        Takes this run and the card; None if it was broken off or failed.
    on_error : callable
        Takes the exception, before `on_end`.
    """

    def __init__(
        self,
        jobs: Jobs,
        steps: Generator[Progress, None, Any],
        out: Path,
        stop: threading.Event,
        *,
        on_news: Callable[[TrainRun], None],
        on_end: Callable[[TrainRun, Any], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.out = out
        self.state = TrainState.RUNNING
        self.monitor = Monitor()
        self.was_stopped = False
        self._jobs = jobs
        self._stop = stop
        self._on_news = on_news
        self._on_end = on_end
        self._on_error = on_error
        self._told = 0.0
        self._job = jobs.start(
            Job(
                iter_drawn(steps),
                on_done=self._on_done,
                on_progress=self._on_progress,
                on_error=self._on_failed,
                on_stopped=lambda: self._end(TrainState.DONE, None),
                poll_s=_NEWS_S,
            )
        )

    def toggle_pause(self) -> None:
        """Rest after the step in hand, or go on."""
        if self.state is TrainState.RUNNING:
            self._job.pause()
            self.state = TrainState.PAUSED
        elif self.state is TrainState.PAUSED:
            self._job.resume()
            self.state = TrainState.RUNNING

    def stop(self) -> None:
        """Score what there is and end; told again, or before a step: end at once."""
        if self.state is TrainState.STOPPING or not self.monitor.steps:
            self.cancel()
        elif self.state in (TrainState.RUNNING, TrainState.PAUSED):
            self._stop.set()
            self.was_stopped = True
            self._job.resume()
            self.state = TrainState.STOPPING

    def cancel(self) -> None:
        """End within a step; what was learned is kept, and can be resumed."""
        if self.state.is_active:
            self.state = TrainState.ENDING
            self._job.cancel()

    def _on_progress(self, progress: Progress) -> None:
        self.monitor.update(progress)
        now = time.perf_counter()
        if now - self._told >= _NEWS_S:
            self._tell()
        else:
            self._jobs.later("training news", self._told + _NEWS_S - now, self._tell)

    def _tell(self) -> None:
        self._jobs.forget("training news")
        self._told = time.perf_counter()
        self._on_news(self)

    def _on_done(self, card: Any) -> None:
        self._end(TrainState.DONE, card)

    def _on_failed(self, error: BaseException) -> None:
        self._end(TrainState.FAILED, None, error)

    def _end(
        self, state: TrainState, card: Any, error: BaseException | None = None
    ) -> None:
        self._tell()  # the last steps, before what is said about the end
        self.state = state
        if error is not None:
            self._on_error(error)
        self._on_end(self, card)
