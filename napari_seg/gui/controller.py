"""The one place that knows state, panel, layers and jobs of the Segment panel.

No Qt: the panel is anything with its signals and setters, so that tests drive the
controller with a `ViewerModel` and a fake panel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal

from napari_seg.data.image_data import ImageData
from napari_seg.gui.class_layer import ClassLayers
from napari_seg.gui.engine import Engine
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.input_form import InputForm
from napari_seg.gui.jobs import Job, JobGenerator, Jobs
from napari_seg.gui.layers import take_source
from napari_seg.gui.model_keeper import ModelKeeper
from napari_seg.gui.proposal import Proposal
from napari_seg.gui.run import SegmentRun
from napari_seg.gui.tuning import Tuner
from napari_seg.state import (
    JobState,
    JobStatus,
    Remembered,
    Scope,
    SegmentRequest,
    SegmentSettings,
)

_IDLE_S = 300.0
"""After that long without a run the network's memory is given back."""


class SegmentController:
    """Wires a Segment panel to a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer; nothing is shared with other viewers.
    panel : SegmentPanel
        Or anything with the same signals and setters.
    engine : Engine
        The core.
    jobs : Jobs
        Background work; closed with the controller.
    remembered : Remembered
        Settings of the last session.
    report : callable, optional
        Takes an exception that is a fault of the program, not of the input.
    """

    run_ended = Signal(object)
    """A run is over; carries the `JobState` it ended with."""

    def __init__(
        self,
        viewer: ViewerModel,
        panel: Any,
        engine: Engine,
        jobs: Jobs,
        remembered: Remembered,
        report: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.settings = SegmentSettings()
        self.status = JobStatus()
        self.proposals: list[Proposal] = []
        self._viewer = viewer
        self._panel = panel
        self._engine = engine
        self._jobs = jobs
        self._remembered = remembered
        self._report = report or notify
        self._run: SegmentRun | None = None
        self._is_closed = False
        remembered.restore(self.settings)
        self.form = InputForm(viewer, panel, self.settings, engine, jobs)
        self.keeper = ModelKeeper(
            panel.models, self.form, engine, jobs, self._say, self._report
        )
        self._tuner = Tuner(
            viewer,
            jobs,
            engine.iter_derive,
            set_status=self._set_status,
            on_error=self._on_error,
            on_new=self._add_proposal,
        )
        self._classes = ClassLayers(viewer, jobs)
        self._connect()
        self._show_status()

    def _connect(self) -> None:
        self._panel.run_requested.connect(self.run)
        self._panel.cancel_requested.connect(self.cancel)
        self._panel.estimate_requested.connect(self.estimate)
        events = self.settings.events
        for emitter in (events.threshold, events.min_size_px, events.advanced):
            emitter.connect(self._retune)
        self._viewer.layers.events.removed.connect(self._on_layer_removed)

    def close(self) -> None:
        """Stop all work and let go of the viewer; a second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.form.close()
        self._remembered.store(self.settings)
        self._jobs.close()

    def run(self) -> None:
        """Segment with the settings as they are."""
        layer = self.form.layer
        if self.status.state.is_active or layer is None or self.form.problems():
            return
        self._tuner.stop()
        self._jobs.forget("release")
        self._remembered.store(self.settings)
        # Frozen: the user may go on editing while the job runs.
        request = self.settings.snapshot()
        source = take_source(self._viewer, layer, request.axes, request.scope)
        spacing = self.form.pixel_size_um()
        proposal = Proposal(source, request)
        self._run = SegmentRun(
            self._viewer,
            self._jobs,
            self._engine.iter_segment(source, request, spacing),
            request,
            proposal,
            self._replaceable(proposal),
            set_status=self._set_status,
            on_error=self._on_error,
            on_end=self._on_run_ended,
        )

    def cancel(self) -> None:
        """Stop the run or the estimate; finished tiles stay."""
        if self._run is not None:
            self._run.cancel()
        elif self.status.state.is_active:
            self.form.estimate.drop()
            self._set_status(JobState.CANCELLED, 0.0, "Cancelled.")

    def estimate(self) -> None:
        """Estimate the size of the objects."""
        layer = self.form.layer
        if self.status.state.is_active or layer is None or self.form.problems():
            return
        request = replace(self.settings.snapshot(), diameter_px=None)
        source = take_source(self._viewer, layer, request.axes, request.scope)
        spacing = self.form.pixel_size_um()
        self._set_status(JobState.RUNNING, -1.0, "Estimating the object size")
        self.form.estimate.start(
            self._jobs,
            self._engine.iter_estimate(source, request, spacing),
            layer,
            on_done=self._on_estimated,
            on_error=self._on_error,
        )

    def can_mirror(self, layer: Labels) -> bool:
        """Whether it is known how the labels of a layer were made."""
        return self._origin(layer) is not None

    def request_of(self, layer: Labels) -> SegmentRequest | None:
        """Return how labels were made, thresholds as they are now."""
        proposal = self._origin(layer)
        return None if proposal is None else proposal.request

    def iter_mirrored(self, layer: Labels) -> JobGenerator:
        """Return the job that segments mirrored copies of what a layer shows."""
        proposal = self._origin(layer)
        assert proposal is not None
        live, made_with = self.settings.snapshot(), proposal.request
        tuned = live if live.model == made_with.model else made_with
        request = replace(
            made_with,
            threshold=tuned.threshold,
            min_size_px=tuned.min_size_px,
            advanced=tuned.advanced,
        )
        return self._engine.iter_mirrored(
            proposal.source, request, proposal.segmentation
        )

    def iter_predict(self, data: ImageData) -> JobGenerator:
        """Return the job that segments an image that is not open in the viewer.

        It returns the settings it ran with, and the `Segmentation`.
        """
        request = replace(self.settings.snapshot(), axes=data.axes, scope=Scope.IMAGE)
        return self._engine.iter_predict(data, request)

    def adopt(self, proposal: Proposal) -> None:
        """Take over labels that were predicted elsewhere: thresholds act on them."""
        self._add_proposal(proposal)

    def start_network_job(self, job: Job) -> Job:
        """Run a job that needs the network, after what runs now."""
        # The release waits for its turn behind the job.
        self._jobs.later("release", _IDLE_S, self._release)
        return self._jobs.start(job)

    def _origin(self, layer: Labels) -> Proposal | None:
        known = (p for p in self.proposals if p.layer is layer)
        return next((p for p in known if p.segmentation is not None), None)

    def _on_estimated(self) -> None:
        self.form.show_size()
        self._set_status(JobState.IDLE, 0.0, "")

    def _on_run_ended(self, run: SegmentRun) -> None:
        self._run = None
        proposal = run.proposal
        if proposal.layer is not None:
            self._add_proposal(proposal)
        if run.is_complete:
            self._classes.show(proposal)
            diameter = proposal.segmentation.diameter_px
            self.form.take_estimate(proposal.source.layer, diameter)
            if self.settings.snapshot().tunables() != run.request.tunables():
                self._retune()
        self._jobs.later("release", _IDLE_S, self._release)
        self.run_ended.emit(self.status.state)

    def _on_layer_removed(self, event: Any) -> None:
        layer = event.value
        if self._run is not None and self._run.needs(layer):
            what = "labels were" if isinstance(layer, Labels) else "image was"
            self._run.drop(f"Stopped: the {what} removed ({layer.name}).")
        self.proposals = [p for p in self.proposals if p.layer is not layer]

    def _on_error(self, error: BaseException) -> None:
        message, is_fault = explained(error)
        if is_fault:
            self._report(error)
        self._set_status(JobState.FAILED, 0.0, message)

    def _set_status(self, state: JobState, fraction: float, message: str) -> None:
        status = self.status
        status.fraction, status.message, status.state = fraction, message, state
        self._show_status()

    def _say(self, state: JobState, message: str) -> None:
        """Say something that does not belong to a run, unless one is under way."""
        if not self.status.state.is_active:
            self._set_status(state, 0.0, message)

    def _show_status(self) -> None:
        status = self.status
        self._panel.set_status(status.state, status.fraction, status.message)

    def _retune(self) -> None:
        """Let the thresholds act on the labels the user looks at."""
        proposal = self._current_proposal()
        if self._run is None and proposal is not None:
            self._tuner.request(proposal, self.settings.snapshot)

    def _current_proposal(self) -> Proposal | None:
        """Return the selected proposal, else the latest of the chosen image."""
        tunable = [p for p in self.proposals if p.segmentation is not None]
        active = self._viewer.layers.selection.active
        selected = [p for p in tunable if p.layer is active]
        of_image = [p for p in tunable if p.source.layer is self.form.layer]
        found = selected or of_image
        return found[-1] if found else None

    def _add_proposal(self, proposal: Proposal) -> None:
        # One that was replaced has let go of its layer.
        there = [p for p in self.proposals if p.is_in(self._viewer)]
        self.proposals = [*there, proposal]

    def _replaceable(self, proposal: Proposal) -> Proposal | None:
        """Return an earlier proposal for the same place that nobody has edited."""
        for other in self.proposals:
            if other.is_same_place(proposal) and not other.is_edited:
                return other
        return None

    def _release(self) -> None:
        """Give the network's memory back."""
        if self._run is None:
            self._jobs.start(Job(self._engine.iter_release(), on_done=lambda _: None))
