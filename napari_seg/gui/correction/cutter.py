"""Strokes become cuts in the background; a late answer is never shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial

import numpy as np

from napari_seg.gui.jobs import Job, Jobs
from napari_seg.imaging.deltas import LabelEdit
from napari_seg.imaging.pages import is_populated_late, populate
from napari_seg.refine.session import CorrectionSession
from napari_seg.refine.solver import Cut, Solve
from napari_seg.refine.task import CutTask
from napari_seg.types import Progress

_POLL_S = 0.01


@dataclass
class _Drawn:
    """A stroke as far as it is drawn."""

    key: int
    points: np.ndarray
    positive: bool


class StrokeQueue:
    """Answers strokes in the order they were drawn, one at a time.

    A stroke still being drawn is cut again whenever the thread is free, from the
    mask before it. When the last one has its answer, the thread gets the memory that
    the edit would be written to, so that writing it stalls nobody.

    Parameters
    ----------
    session : CorrectionSession
        Gets the strokes and the cuts, on the main thread.
    jobs : Jobs
        Runs the cuts in its thread.
    solve : callable
        Does what `solve_scene` does.

    Attributes
    ----------
    on_cut : callable
        Takes the edit that the strokes so far suggest.
    on_error : callable
        Takes an exception.
    on_busy : callable
        Takes whether there are strokes that wait for their answer, when that changes.
    """

    def __init__(self, session: CorrectionSession, jobs: Jobs, solve: Solve) -> None:
        self.on_cut: Callable[[LabelEdit], None] = lambda _: None
        self.on_error: Callable[[BaseException], None] = lambda _: None
        self.on_busy: Callable[[bool], None] = lambda _: None
        self._session = session
        self._jobs = jobs
        self._solve = solve
        self._waiting: deque[_Drawn] = deque()
        self._job: Job | None = None
        self._added: int | None = None
        self._when_idle: Callable[[], None] | None = None
        self._was_idle = True

    @property
    def is_idle(self) -> bool:
        """Whether every stroke has its answer."""
        return self._job is None and not self._waiting

    def push(self, key: int, points: np.ndarray, positive: bool) -> None:
        """Add a stroke, or draw the latest one further.

        Parameters
        ----------
        key : int
            The same for all states of one stroke.
        points : ndarray of int, shape (N, ndim)
            All that it covers so far.
        positive : bool
            Whether that belongs to the object.
        """
        drawn = _Drawn(key, points, positive)
        if self._waiting and self._waiting[-1].key == key:
            self._waiting[-1] = drawn
        else:
            self._waiting.append(drawn)
        self._next()

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call once every stroke has its answer; at once if there is none to come."""
        self._when_idle = call
        self._tell_idle()

    def drop_last(self) -> None:
        """Take the latest stroke back, whether it has its answer or not."""
        if self._waiting:
            self._waiting.pop()
            return
        if self._job is not None:
            self._job.drop()
        self._job = self._added = None
        self._tell_busy()
        self.on_cut(self._session.drop_stroke())

    def clear(self) -> None:
        """Forget all strokes; what is still being cut is late."""
        self._waiting.clear()
        self._when_idle = None
        self._added = None
        if self._job is not None:
            self._job.drop()
        self._job = None
        self._tell_busy()

    def _next(self) -> None:
        while self._job is None and self._waiting:
            drawn = self._waiting.popleft()
            is_further = drawn.key == self._added
            task = self._session.add_stroke(
                drawn.points, drawn.positive, replace=is_further
            )
            if task is None:
                continue
            self._added = drawn.key
            job = Job(
                _solving(task, self._solve),
                on_done=partial(self._take, task),
                on_error=self._fail,
                poll_s=_POLL_S,
            )
            self._job = self._jobs.start(job)
        self._tell_idle()

    def _take(self, task: CutTask, answer: tuple[Cut, LabelEdit]) -> None:
        cut, edit = answer
        self._job = None
        if self._session.take(task, cut):
            self.on_cut(edit)
            if not self._waiting:
                self._populate(edit)
        self._next()

    def _populate(self, edit: LabelEdit) -> None:
        labels = self._session.labels
        if edit.is_empty or not is_populated_late(labels):
            return

        def done(_: object) -> None:
            self._job = None
            self._next()

        job = Job(
            populate(labels, [edit.box]),
            on_done=done,
            on_error=self._fail,
            poll_s=_POLL_S,
        )
        self._job = self._jobs.start(job)

    def _fail(self, error: BaseException) -> None:
        self.clear()
        self._session.cancel()
        self.on_error(error)

    def _tell_busy(self) -> None:
        if self.is_idle is not self._was_idle:
            self._was_idle = self.is_idle
            self.on_busy(not self.is_idle)

    def _tell_idle(self) -> None:
        self._tell_busy()
        if self.is_idle and self._when_idle is not None:
            call, self._when_idle = self._when_idle, None
            call()


def _solving(
    task: CutTask, solve: Solve
) -> Generator[Progress, None, tuple[Cut, LabelEdit]]:
    yield Progress("cut", 0, 1)
    cut = task.solve(solve)
    return cut, task.propose(cut)
