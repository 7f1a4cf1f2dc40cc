"""Live thresholds: labels again from cached probabilities, without the network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from napari.components import ViewerModel

from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.proposal import Proposal
from napari_seg.gui.run import SetStatus, format_count
from napari_seg.state import JobState, SegmentRequest
from napari_seg.types import Progress

_PAUSE_S = 0.12
"""A slider must rest that long, so that a drag does not start thirty jobs."""

Derived = tuple[np.ndarray, dict[int, float]]
"""Labels, and the scores of a detector's objects."""
Derive = Callable[[Any, SegmentRequest], Generator[Progress, None, Derived]]


class Tuner:
    """Derives labels again whenever a threshold rests; the latest wins.

    Parameters
    ----------
    viewer : ViewerModel
        Gets a new layer if the user has edited the old one.
    jobs : Jobs
        Runs the derivation in its thread.
    derive : callable
        Makes the generator from a segmentation and a request.
    set_status : callable
        Takes state, fraction and message.
    on_error : callable
        Takes an exception.
    on_new : callable
        Takes a proposal that was made because the old one is the user's now.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        jobs: Jobs,
        derive: Derive,
        *,
        set_status: SetStatus,
        on_error: Callable[[BaseException], None],
        on_new: Callable[[Proposal], None],
    ) -> None:
        self._viewer = viewer
        self._jobs = jobs
        self._derive = derive
        self._set_status = set_status
        self._on_error = on_error
        self._on_new = on_new
        self._job: Job | None = None

    def request(
        self, proposal: Proposal, snapshot: Callable[[], SegmentRequest]
    ) -> None:
        """Derive soon, with the settings as they will be then."""
        self._jobs.later("derive", _PAUSE_S, lambda: self._start(proposal, snapshot()))

    def stop(self) -> None:
        """Ignore what is still being derived."""
        self._jobs.forget("derive")
        if self._job is not None:
            self._job.drop()
        self._job = None

    def _start(self, proposal: Proposal, request: SegmentRequest) -> None:
        self.stop()
        if proposal.segmentation is None or not proposal.is_in(self._viewer):
            return
        steps = self._derive(proposal.segmentation, request)
        job = Job(
            _counted(steps),
            on_done=lambda result: self._on_done(job, proposal, request, result),
            on_error=self._on_error,
            poll_s=0.03,
        )
        self._job = self._jobs.start(job)

    def _on_done(
        self,
        job: Job,
        proposal: Proposal,
        request: SegmentRequest,
        result: tuple[np.ndarray, dict[int, float], int],
    ) -> None:
        labels, scores, count = result
        message = format_count(count)
        if not proposal.is_in(self._viewer):
            return
        if proposal.is_edited:
            proposal = self._successor(proposal)
            message += " in a new layer; your edits are untouched."
        proposal.tune(request, scores)
        steps = (None for _ in proposal.steps_to(labels) if not job.is_muted)
        self._jobs.spread(steps, lambda: self._set_status(JobState.DONE, 1.0, message))

    def _successor(self, proposal: Proposal) -> Proposal:
        """Make a layer beside one that the user has edited."""
        successor = Proposal(proposal.source, proposal.request)
        successor.open(self._viewer)
        successor.keep(copy.copy(proposal.segmentation))
        self._jobs.later("show", 0.0, successor.show)
        self._on_new(successor)
        return successor


def _counted(
    steps: Generator[Progress, None, Derived],
) -> Generator[Progress, None, tuple[np.ndarray, dict[int, float], int]]:
    labels, scores = yield from steps
    return labels, scores, int(labels.max(initial=0))
