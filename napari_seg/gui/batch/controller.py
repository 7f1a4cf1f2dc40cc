"""The one place that knows panel, settings and jobs of a batch.

No Qt: the panel is anything with its signals and setters.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from napari.components import ViewerModel

from napari_seg.data.run_manifest import Mode
from napari_seg.gui.batch.reading import BatchReader
from napari_seg.gui.batch.rows import BatchList, RowState, progress_text
from napari_seg.gui.batch.settings import (
    BatchSettings,
    default_out,
    in_the_window,
    summary,
)
from napari_seg.gui.batch.steps import (
    FileBegun,
    FileEnded,
    Order,
    Pair,
    Place,
    iter_batch,
)
from napari_seg.gui.engine import params_of
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.folder.image_layer import image_layer, labels_of
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.state import JobState, Remembered, from_stored
from napari_seg.types import Progress

_KEY = "batch"
_CALM_S = 30.0


class BatchController:
    """Wires a Batch panel to a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the images that are looked at.
    panel : BatchPanel
        Or anything with its signals and setters.
    segmenter : SegmentController
        Has the model and the settings.
    jobs, reading_jobs : Jobs
        For the run, and for what is read meanwhile. They are not those of the
        Segment tab: a run of hours must not hold up another image.
    remembered : Remembered
        Settings of the last session.
    report : callable, optional
        Takes an exception that is a fault of the program.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        panel: Any,
        segmenter: Any,
        jobs: Jobs,
        reading_jobs: Jobs,
        remembered: Remembered,
        report: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.settings = from_stored(BatchSettings, remembered.part(_KEY))
        self.batch = BatchList()
        self.state = JobState.IDLE
        self._viewer = viewer
        self._panel = panel
        self._segmenter = segmenter
        self._jobs = jobs
        self._reader = BatchReader(reading_jobs, panel.set_thumbnail, self._tell)
        self._remembered = remembered
        self._report = report or notify
        self._run: Job | None = None
        self._seconds: list[float] = []
        self._began = 0.0
        self._step = 0.0
        self._is_closed = False
        self._connect()
        self._show_settings()
        self._show_models()
        self._show()

    def _connect(self) -> None:
        panel = self._panel
        panel.folder_requested.connect(self.choose_folder)
        panel.pattern_requested.connect(lambda text: self._choose(pattern=text))
        panel.out_requested.connect(lambda path: self._choose(out=path))
        panel.measure_requested.connect(lambda on: self._set(measures=on))
        panel.model_requested.connect(self._choose_model)
        panel.run_requested.connect(self.run)
        panel.anew_requested.connect(self.begin_anew)
        panel.pause_requested.connect(self.pause)
        panel.cancel_requested.connect(self.cancel)
        panel.open_requested.connect(self.show_pair)
        panel.shown.connect(self.look)
        self._segmenter.settings.events.connect(self._show_models)

    def close(self) -> None:
        """Stop all work; the record on the disk knows what is done."""
        if self._is_closed:
            return
        self._is_closed = True
        self._segmenter.settings.events.disconnect(self._show_models)
        self._jobs.close()
        self._reader.close()

    # Which images, and how.

    def look(self) -> None:
        """List the images, unless that is done: somebody looks at the panel."""
        self._show_models()
        if self.settings.folder and not self.batch.rows and not self._reader.is_listing:
            self._list()

    def choose_folder(self, folder: str) -> None:
        """Take the images of a folder; their labels go beside it."""
        self._choose(folder=folder, out=default_out(folder))

    def _choose(self, **known: Any) -> None:
        if self.state.is_active:
            return
        self._set(**known)
        self._list()

    def _set(self, **known: Any) -> None:
        self.settings = replace(self.settings, **known)
        self._remembered.keep_part(_KEY, asdict(self.settings))
        self._show_settings()

    def _choose_model(self, name: str) -> None:
        self._segmenter.form.choose_model(name)
        self._show_models()

    def _list(self) -> None:
        self.batch = BatchList()
        self._panel.set_rows([])
        if not self.settings.folder:
            self._show()
            return
        self._panel.set_status("Looking for the images…")
        self._reader.look(self._place(), self._on_listed)

    def _place(self) -> Place:
        known = self.settings
        return Place(known.folder, known.pattern, known.out)

    def _on_listed(self, batch: BatchList) -> None:
        self.batch = batch
        self._panel.set_rows(list(batch.rows.values()))
        text = batch.problem
        if batch.foreign:
            text = (
                f"{batch.foreign} of the labels exist already and would be written "
                "over. Change the folder if somebody made them."
            )
        self._say(f"⚠ {text}" if text else "")

    # The run.

    def run(self) -> None:
        """Segment all images, or those that a run before has left."""
        self._start("resume" if self.batch.is_begun else "new")

    def begin_anew(self) -> None:
        """Forget the run that was begun, and segment all images again."""
        self._start("restart")

    def pause(self) -> None:
        """Rest after the tile, or go on."""
        if self._run is None:
            return
        if self._run.is_paused:
            self._run.resume()
            self._began = time.monotonic()
        else:
            self._run.pause()
        self._show()

    def cancel(self) -> None:
        """Stop after the tile; images that are done stay done."""
        if self._run is not None and self.state is JobState.RUNNING:
            self.state = JobState.CANCELLING
            self._run.cancel()
            self._say("Stopping after this tile")

    def _start(self, mode: Mode) -> None:
        if self.state.is_active or not self.batch.rows:
            return
        if mode == "restart":
            self.batch.forget()
            self._panel.set_rows(list(self.batch.rows.values()))
        request = self._segmenter.settings.snapshot()
        if "C" not in request.axes:
            request = replace(request, channel=None)
        # The axes are those of each file.
        params = params_of(request, None, None, None)
        order = Order(
            self._place(), request.model, params, mode, self.settings.measures
        )
        self._seconds, self._step = [], 0.0
        self.state = JobState.RUNNING
        self._run = self._jobs.start(
            Job(
                iter_batch(order),
                on_done=self._on_done,
                on_progress=self._on_progress,
                on_error=self._on_failed,
                on_stopped=lambda: self._end(
                    JobState.CANCELLED, "Stopped. Go on does what is missing."
                ),
            )
        )
        self._keep_calm()
        self._say("Loading the network")

    def _keep_calm(self) -> None:
        if self.state.is_active:
            self._jobs.calm()
            self._jobs.later("calm", _CALM_S, self._keep_calm)

    def _on_progress(self, progress: Progress) -> None:
        if isinstance(progress, FileBegun) and progress.file is not None:
            self.batch.is_begun = True
            self._began, self._step = time.monotonic(), 0.0
            row = self.batch.begin(progress.file.key)
            if row is not None:
                self._panel.set_row(row)
            self._say("")
        elif isinstance(progress, FileEnded) and progress.outcome is not None:
            self.batch.is_begun = True
            known = self.batch.rows.get(progress.outcome.file.key)
            row = self.batch.end(progress.outcome)
            if row == known:
                return  # skipped, as it was done; there may be thousands of them
            if row is not None:
                self._panel.set_row(row)
            if row is not None and progress.outcome.report:
                self._seconds.append(time.monotonic() - self._began)
            self._step = 0.0
            self._show()
        elif progress.stage == "predict":
            self._step = progress.fraction
            self._show_progress()

    def _on_done(self, unsaved: str) -> None:
        failed = self.batch.count(RowState.FAILED)
        text = ""
        if failed:
            images = "images" if failed > 1 else "image"
            text = f"{failed} {images} failed. Go on tries again."
        if unsaved:
            text = f"⚠ {unsaved}"
        self._end(JobState.DONE, text)

    def _on_failed(self, error: BaseException) -> None:
        self._end(JobState.FAILED, "")
        self._tell(error)

    def _end(self, state: JobState, text: str) -> None:
        self._run, self.state = None, state
        self._jobs.forget("calm")
        for row in self.batch.halt():
            self._panel.set_row(row)
        self._say(text)

    # What is shown.

    def show_pair(self, name: str) -> None:
        """Open an image with its labels in the viewer."""
        row = self.batch.rows.get(name)
        if row is not None:
            self._panel.set_status(f"Opening {row.path.name}…")
            self._reader.open(row, self._on_pair)

    def _on_pair(self, pair: Pair) -> None:
        """Show an image, then its labels: together they hold up the window."""
        axes, image = image_layer(pair.name, pair.data, pair.limits)
        self._viewer.add_layer(image)
        self._say("" if pair.labels is not None else f"{pair.name} has no labels yet.")

        def show_labels() -> None:
            if image in self._viewer.layers:
                layer = labels_of(self._viewer, image, axes, pair.labels)
                self._viewer.add_layer(layer)

        if pair.labels is not None:
            self._jobs.later(f"labels of {image.name}", 0.0, show_labels)

    def _show_settings(self) -> None:
        known = self.settings
        self._panel.set_place(known.folder, known.pattern, known.out)
        self._panel.set_measure(known.measures)

    def _show_models(self, *_: Any) -> None:
        form, settings = self._segmenter.form, self._segmenter.settings
        self._panel.set_models(form.model_names(), settings.model)
        self._panel.set_summary(summary(settings.snapshot()))

    def _tell(self, error: BaseException) -> None:
        text, is_fault = explained(in_the_window(error))
        self._say(f"⚠ {text}")
        if is_fault:
            self._report(error)

    def _say(self, text: str) -> None:
        self._panel.set_status(text)
        self._show()

    def _show(self) -> None:
        """Offer what can be done now."""
        is_paused = self._run is not None and self._run.is_paused
        self._panel.set_state(
            self.state, is_paused, self.batch.is_begun, self.batch.left
        )
        self._show_progress()

    def _show_progress(self) -> None:
        batch, is_paused = self.batch, self._run is not None and self._run.is_paused
        seconds = self._seconds if self.state.is_active and not is_paused else []
        ended = batch.count(RowState.DONE) + batch.count(RowState.FAILED)
        share = (ended + self._step) / len(batch.rows) if batch.rows else 0.0
        text = progress_text(batch, seconds)
        self._panel.set_progress(min(share, 1.0), text + (" · paused" * is_paused))
