"""One run of a model on one image, from the first tile to the labels layer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar, cast

from napari.components import ViewerModel
from napari.layers import Layer

from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.meter import ProgressMeter, format_seconds
from napari_seg.gui.proposal import Proposal
from napari_seg.state import JobState, SegmentRequest
from napari_seg.types import Progress

_STATUS_S = 0.1
"""Nobody reads faster, and every new text lays out the dock."""

_SHOWN_WITHIN_S = 2.0
Result = TypeVar("Result")
SetStatus = Callable[[JobState, float, str], None]


class SegmentRun:
    """Starts at once; tells how it goes through `set_status`.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the labels layer.
    jobs : Jobs
        Runs the generator in its thread.
    steps : generator
        Yields `Progress`, returns a `Segmentation`.
    request : SegmentRequest
        The settings the run was started with.
    proposal : Proposal
        Where the labels go.
    previous : Proposal or None
        An earlier proposal for the same place that may be replaced.
    set_status : callable
        Takes state, fraction and message.
    on_error : callable
        Takes the exception, after the run has let go of everything.
    on_end : callable
        Takes this run when it is over, however it ended.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        jobs: Jobs,
        steps: Generator[Progress, None, Any],
        request: SegmentRequest,
        proposal: Proposal,
        previous: Proposal | None,
        *,
        set_status: SetStatus,
        on_error: Callable[[BaseException], None],
        on_end: Callable[[SegmentRun], None],
    ) -> None:
        self.request = request
        self.proposal = proposal
        self.is_complete = False
        self._is_over = False
        self._has_answer = False
        self._viewer = viewer
        self._jobs = jobs
        self._previous = previous
        self._set_status = set_status
        self._report_error = on_error
        self._on_end = on_end
        self._meter = ProgressMeter()
        self._is_shown = threading.Event()
        self._began = time.perf_counter()
        self._is_status_due = False
        set_status(JobState.RUNNING, -1.0, self._meter.text)
        proposal.source.layer.events.data.connect(self._on_image_data)
        self._job = jobs.start(
            Job(
                _paced(_counted(steps), self._is_shown),
                on_done=self._on_done,
                on_progress=self._on_progress,
                on_error=self._on_failed,
                on_stopped=self._on_stopped,
            )
        )

    def cancel(self) -> None:
        """Stop after the tile in work; finished tiles stay."""
        self._job.cancel()
        self._is_shown.set()
        message = "Stopping after this tile"
        self._set_status(JobState.CANCELLING, self._meter.fraction, message)

    def needs(self, layer: Layer) -> bool:
        """Whether the run is pointless without that layer."""
        if layer is self.proposal.layer:
            return True
        return layer is self.proposal.source.layer and not self._has_answer

    def drop(self, reason: str) -> None:
        """Give up: the image or the labels went. A late answer is ignored."""
        self._job.drop()
        self._jobs.later("show", 0.0, self._show_layer)
        self._end(JobState.CANCELLED, reason)

    def _on_image_data(self) -> None:
        if not self._has_answer:
            name = self.proposal.source.layer.name
            self.drop(f"Stopped: the image has changed ({name}).")

    def _on_progress(self, progress: Progress) -> None:
        if progress.region is not None:
            if self.proposal.layer is None:
                self._open_layer()
            self.proposal.write(progress.region)
        self._meter.update(progress)
        if not self._is_status_due:
            self._is_status_due = True
            self._jobs.later("status", _STATUS_S, self._show_progress)

    def _show_progress(self) -> None:
        self._is_status_due = False
        if not self._job.is_cancelled and not self._is_over:
            fraction, text = self._meter.fraction, self._meter.text
            self._set_status(JobState.RUNNING, fraction, text)

    def _open_layer(self) -> None:
        self.proposal.open(self._viewer, self._previous)
        self._jobs.later("show", 0.0, self._show_layer)

    def _show_layer(self) -> None:
        self.proposal.show()
        self._is_shown.set()

    def _on_done(self, result: tuple[Any, int]) -> None:
        segmentation, count = result
        self._has_answer = True
        if self.proposal.layer is None:
            self._open_layer()
        steps = self.proposal.steps_to(segmentation.labels)
        self._jobs.spread(steps, lambda: self._on_shown(segmentation, count))

    def _on_shown(self, segmentation: Any, count: int) -> None:
        if self._is_over:
            return
        self.proposal.keep(segmentation)
        self.is_complete = True
        spent = format_seconds(time.perf_counter() - self._began)
        self._end(JobState.DONE, f"{format_count(count)} in {spent}")

    def _on_stopped(self) -> None:
        kept = "the finished tiles are kept" if self.proposal.layer else "nothing done"
        self._end(JobState.CANCELLED, f"Cancelled; {kept}.")

    def _on_failed(self, error: BaseException) -> None:
        self._let_go()
        self._report_error(error)
        self._on_end(self)

    def _end(self, state: JobState, message: str) -> None:
        self._let_go()
        self._set_status(state, 1.0 if state is JobState.DONE else 0.0, message)
        self._on_end(self)

    def _let_go(self) -> None:
        self._is_over = True
        self.proposal.source.layer.events.data.disconnect(self._on_image_data)


def format_count(count: int) -> str:
    """Write how many objects there are."""
    if count == 0:
        return "No objects found"
    return f"{count:,} object{'s' * (count != 1)}".replace(",", "\u2009")


def _paced(
    steps: Generator[Progress, None, Result], is_shown: threading.Event
) -> Generator[Progress, None, Result]:
    """Rest after the first piece until its layer is on the screen.

    Making the layer keeps the main thread busy with Python; if this thread wanted
    the interpreter too, it would take three times as long.
    """
    has_piece = False
    try:
        while True:
            progress = next(steps)
            yield progress
            if progress.region is not None and not has_piece:
                has_piece = True
                is_shown.wait(_SHOWN_WITHIN_S)
    except StopIteration as stop:
        return cast("Result", stop.value)
    finally:
        steps.close()


def _counted(
    steps: Generator[Progress, None, Any],
) -> Generator[Progress, None, tuple[Any, int]]:
    """Add the number of objects, counted in the thread: a volume takes a while."""
    segmentation = yield from steps
    return segmentation, int(segmentation.labels.max(initial=0))
