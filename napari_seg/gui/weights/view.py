"""The weights of one labels layer on the screen, as long as they are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.components import ViewerModel

from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.weights.changes import LabelsWatch
from napari_seg.gui.weights.grid import Grid
from napari_seg.gui.weights.hover import HoverWeight
from napari_seg.gui.weights.overlay import WeightOverlay
from napari_seg.imaging.live_weights import LiveWeights, Weighed
from napari_seg.imaging.slabs import Box
from napari_seg.imaging.weightmap import BorderWeights

_PAUSE_S = 0.03
"""Between two values of a slider that moves; each is seen at least in the middle."""

_DOUBT_S = 0.25
"""After the layer was drawn anew, until labels are compared."""

_AT_ONCE_PIXELS = 2**15
"""An edit that acts on so many takes some 10 ms, as long as a thread and back."""

_ACCOUNTS_S = 0.2

_REPAINT_S = 0.04
"""Between pieces that are brought to the screen: each time all of it is painted."""

_STATUS_S = 0.2

_KEYS = tuple(
    f"weights {what}"
    for what in ("weigh", "doubt", "repaint", "step", "work", "status", "end")
)
"""Of what is asked for with `Jobs.later`."""


class WeightView:
    """Computes weights in the thread, and keeps the overlay true to the labels.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the overlay.
    jobs : Jobs
        Of this panel alone: an edit must not wait for a network.
    grid : Grid
        The labels.
    is_volume : bool
        Whether distances go through planes.
    params : BorderWeights
        What to weigh with.
    limits : tuple of float
        Weights shown black and brightest.
    on_status : callable
        Takes how far the work is: done and planned tiles.
    on_error : callable
        Takes an exception.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        jobs: Jobs,
        grid: Grid,
        is_volume: bool,
        params: BorderWeights,
        limits: tuple[float, float],
        *,
        on_status: Callable[[int, int], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.grid = grid
        self.overlay = WeightOverlay(viewer, grid, limits)
        self._viewer = viewer
        self._jobs = jobs
        self._on_status = on_status
        self._on_error = on_error
        self._job: Job | None = None
        self._wanted: BorderWeights | None = None
        self._is_repaint_due = False
        self._steps: list[Box] = []
        self._told: tuple[int, int] | None = None
        self.live = LiveWeights(grid.labels, grid.spatial(is_volume), params)
        self._hover = HoverWeight(viewer, self.overlay.layer)
        self._watch = LabelsWatch(
            grid.layer, self._on_box, self._on_step, self._on_doubt
        )
        viewer.dims.events.current_step.connect(self._on_moved)
        viewer.dims.events.order.connect(self._on_moved)
        viewer.dims.events.ndisplay.connect(self._on_moved)
        self._on_moved()

    def close(self) -> None:
        """Stop, and take the overlay away."""
        self._drop()
        for key in _KEYS:
            self._jobs.forget(key)
        dims = self._viewer.dims.events
        for event in (dims.current_step, dims.order, dims.ndisplay):
            event.disconnect(self._on_moved)
        self._watch.close()
        self._hover.close()
        self.overlay.close()

    def set_params(self, params: BorderWeights) -> None:
        """Weigh with other numbers soon; of many that come quickly the last counts."""
        is_waiting = self._wanted is not None
        self._wanted = params
        if not is_waiting:
            self._jobs.later("weights weigh", _PAUSE_S, self._weigh)

    def restart(self, is_volume: bool, params: BorderWeights) -> None:
        """Measure other distances: planes instead of volumes, or another spacing."""
        self._drop()
        self._wanted = None
        self._jobs.forget("weights weigh")
        self.live = LiveWeights(self.grid.labels, self.grid.spatial(is_volume), params)
        self._on_moved()

    def _weigh(self) -> None:
        params, self._wanted = self._wanted, None
        if params is not None and params != self.live.params:
            self.live.set_params(params)
            self.live.look_at(self.grid.view(self._viewer))
            self._work()

    def _on_moved(self, event: Any = None) -> None:
        seen = self.grid.view(self._viewer)
        if self.overlay.look_at(seen):
            self.live.forget(self.grid.planes(seen))
        self.live.look_at(seen)
        self._work()

    def _on_box(self, box: Box) -> None:
        """Follow an edit: a small one at once, so that one repaint shows both."""
        self.live.mark(self.grid.to_grid(box))
        if self._job is not None:
            return  # it will come to that
        for piece in self.live.mend(_AT_ONCE_PIXELS):
            if piece.weights is not None:
                self.overlay.write(piece.box, piece.weights)
        self.overlay.repaint()
        # The accounts can wait until a stroke is over; other work cannot.
        pause = _ACCOUNTS_S if self.live.is_mended else 0.0
        self._jobs.later("weights work", pause, self._work)

    def _on_step(self, boxes: list[Box]) -> None:
        self._steps += boxes
        self._jobs.later("weights step", 0.0, self._take_steps)

    def _take_steps(self) -> None:
        boxes, self._steps = self._steps, []
        for box in boxes:
            self.live.mark(self.grid.to_grid(box))
        self._work()

    def _on_doubt(self) -> None:
        self._jobs.later("weights doubt", _DOUBT_S, self._check)

    def _check(self) -> None:
        self.live.check(self.grid.view(self._viewer))
        self._work()

    def _work(self) -> None:
        """Let the thread work, unless it does already."""
        if self._job is not None or self.live.is_idle:
            return
        job = Job(
            self.live.steps(),
            on_done=lambda _: self._on_done(),
            on_progress=self._on_progress,
            on_error=self._on_failed,
            poll_s=0.008,
        )
        self._job = self._jobs.start(job)

    def _drop(self) -> None:
        if self._job is not None:
            self._job.drop()
            self._job = None

    def _on_progress(self, progress: Any) -> None:
        assert isinstance(progress, Weighed)
        # What was computed with other numbers comes too late.
        if progress.weights is not None and progress.params == self.live.params:
            is_seen = self.overlay.write(progress.box, progress.weights)
            if is_seen and not self._is_repaint_due:
                self._is_repaint_due = True
                is_last = progress.done >= progress.total
                delay = 0.0 if is_last else _REPAINT_S
                self._jobs.later("weights repaint", delay, self._repaint)
        if self._told is None:
            self._jobs.later("weights status", _STATUS_S, self._tell)
        self._told = progress.done, progress.total

    def _tell(self) -> None:
        """Say how far the work is, if it takes long: text lays out the dock anew."""
        if self._told is not None:
            self._on_status(*self._told)
            self._told = None

    def _repaint(self) -> None:
        self._is_repaint_due = self.overlay.repaint()
        if self._is_repaint_due:
            self._jobs.later("weights repaint", _REPAINT_S, self._repaint)

    def _on_done(self) -> None:
        self._job = None
        # Something may have come after the thread had looked for the last time.
        self._work()
        if self._job is None:
            self._jobs.later("weights end", _STATUS_S, self._end)

    def _end(self) -> None:
        if self._job is None:
            self._told = None
            self.overlay.repaint_thumbnail()
            self._on_status(1, 1)

    def _on_failed(self, error: BaseException) -> None:
        self._job = None
        self._on_error(error)
