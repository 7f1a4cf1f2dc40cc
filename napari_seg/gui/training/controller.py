"""The one place that knows state, panel, layers and jobs of the Train panel.

No Qt: the panel is anything with its signals and setters, so that tests drive the
controller with a `ViewerModel` and a fake panel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari.components import ViewerModel

from napari_seg.errors import FormatError
from napari_seg.gui.engine import Engine
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.model_card import card_rows
from napari_seg.gui.training.counting import Counted
from napari_seg.gui.training.data import TrainingData
from napari_seg.gui.training.form import TrainForm, settings_from, settings_to_store
from napari_seg.gui.training.picture import Drawn
from napari_seg.gui.training.planes import PlaneMarker
from napari_seg.gui.training.run import TrainRun
from napari_seg.gui.training.settings import TrainState
from napari_seg.gui.training.show import PictureLayers
from napari_seg.gui.training.unfinished import (
    RunRecord,
    Unfinished,
    forget,
    write_record,
)
from napari_seg.models.catalogue import SUFFIX, user_models_dir
from napari_seg.state import Remembered
from napari_seg.types import Progress

_REMEMBERED = "train"
_COUNT_AFTER_S = 0.4
"""Somebody who ticks boxes shall not wait for each of them."""
_DEVICE_AFTER_S = 0.5
"""Long enough for the tab to be drawn before torch is imported."""


class TrainController:
    """Wires a Train panel to a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer; nothing is shared with other viewers.
    panel : TrainPanel
        Or anything with the same signals and setters.
    engine : Engine
        The core.
    jobs : Jobs
        Of its own, so that others need not wait for a training; closed with it.
    remembered : Remembered
        Settings of the last session.
    on_model : callable
        Takes the name of a model that is now in the list.
    report : callable, optional
        Takes an exception that is a fault of the program, not of the input.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        panel: Any,
        engine: Engine,
        jobs: Jobs,
        remembered: Remembered,
        on_model: Callable[[str], None],
        report: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.state = TrainState.IDLE
        self.settings = settings_from(remembered.part(_REMEMBERED))
        self.data = TrainingData(viewer)
        self.form = TrainForm(panel, self.settings, self.data)
        self._panel = panel
        self._engine = engine
        self._jobs = jobs
        self._remembered = remembered
        self._on_model = on_model
        self._report = report or notify
        self._run: TrainRun | None = None
        self._record: RunRecord | None = None
        self._drawn: Drawn | None = None
        self._counting: Job | None = None
        self._is_device_known = False
        self._is_seen = False
        self._unfinished: list[Unfinished] = []
        self._is_closed = False
        self._planes = PlaneMarker(viewer, panel, self.data, jobs)
        self._pictures = PictureLayers(viewer)
        self._connect()
        panel.set_unfinished("")
        panel.set_status(self.state, 0.0, "")

    def _connect(self) -> None:
        panel = self._panel
        panel.shown.connect(self._on_shown)
        panel.hidden.connect(self._on_hidden)
        panel.start_requested.connect(self.start)
        panel.pause_requested.connect(self.toggle_pause)
        panel.stop_requested.connect(self.stop)
        panel.resume_requested.connect(self.resume)
        panel.discard_requested.connect(self.discard)
        panel.picture_requested.connect(self.open_picture)
        self.data.changed.connect(self._on_data)

    @property
    def is_training(self) -> bool:
        """Whether there is a training, at work or paused."""
        return self._run is not None

    def close(self) -> None:
        """Stop all work, keeping what was learned; a second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self.data.changed.disconnect(self._on_data)
        self._planes.close()
        self.data.close()
        self._remembered.keep_part(_REMEMBERED, settings_to_store(self.settings))
        # Waits until the step in hand is done and its state is saved.
        self._jobs.close()
        if self._run is not None:
            self._leave(self._run.out)

    def refresh(self) -> None:
        """Look again at what changes without telling: marks, models, files."""
        self.form.set_models(self._engine.list_models())
        self._planes.show()
        if self._run is None:
            self.data.recount()
            self._count_soon()
            self._look_for_unfinished()
        if not self._is_device_known:
            self._jobs.later("device", _DEVICE_AFTER_S, self._ask_for_device)

    def _on_shown(self) -> None:
        self._is_seen = self._planes.is_seen = True
        self.refresh()

    def _on_hidden(self) -> None:
        self._is_seen = self._planes.is_seen = False

    def _on_data(self) -> None:
        # What nobody looks at must not cost those who work on other tabs.
        if self._is_seen:
            self.form.show_data()
            self._planes.show_soon()
            self._count_soon()

    # The training.

    def start(self) -> None:
        """Train with the settings as they are."""
        if self._run is None and not self.form.problems():
            self._launch(user_models_dir() / f"{self.settings.name}{SUFFIX}")

    def resume(self) -> None:
        """Go on with the training that was left unfinished last."""
        if self._run is not None or not self._unfinished:
            return
        unfinished = self._unfinished[0]
        missing = self.form.take(unfinished.record)
        problems = self.form.problems(is_resumed=True)
        if missing:
            self._tell(f"Open the labels it learned from first: {', '.join(missing)}.")
        elif problems:
            self._tell(next(iter(problems.values())))
        else:
            self._launch(unfinished.out, resume=True)

    def discard(self) -> None:
        """Give up the training that was left unfinished last; its model stays."""
        if self._unfinished and self._run is None:
            forget(self._unfinished.pop(0).out)
            self._show_unfinished()
            self.form.suggest_name()

    def toggle_pause(self) -> None:
        """Rest after the step in hand, or go on."""
        if self._run is not None:
            self._run.toggle_pause()
            self._on_news(self._run)

    def stop(self) -> None:
        """End the training and keep the model; a second time: without scoring it."""
        if self._run is not None:
            self._run.stop()
            self._on_news(self._run)

    def cancel(self) -> None:
        """End the training within a step; it can be resumed."""
        if self._run is not None:
            self._run.cancel()
            self._on_news(self._run)

    def open_picture(self) -> None:
        """Open the validation image on screen as layers."""
        if self._drawn is not None:
            self._pictures.open(self._drawn)

    def _launch(self, out: Path, *, resume: bool = False) -> None:
        self._stop_counting()
        record = self.form.record()
        try:
            write_record(out, record, is_running=True)
        except FormatError as error:
            self._on_error(error)
            return
        self._record = record
        self._remembered.keep_part(_REMEMBERED, settings_to_store(self.settings))
        stop = threading.Event()
        parts = list(self.data.parts().values())
        params = self.form.params(resume=resume)
        self.form.can_count = False
        self.form.show_data()
        self._panel.set_unfinished("")
        self._panel.set_drawn(None)
        self._panel.set_card("", [])
        self._run = TrainRun(
            self._jobs,
            self._engine.iter_train(parts, out, params, stop),
            out,
            stop,
            on_news=self._on_news,
            on_end=self._on_end,
            on_error=self._on_error,
        )
        self._on_news(self._run)

    def _on_news(self, run: TrainRun) -> None:
        monitor = run.monitor
        self._panel.set_curve(monitor.curve)
        if monitor.drawn is not None and monitor.drawn is not self._drawn:
            self._drawn = monitor.drawn
            self._panel.set_drawn(monitor.drawn)
            self._jobs.calm()
        self._show_status(run.state, monitor.fraction, _news_text(run))

    def _on_end(self, run: TrainRun, card: Any) -> None:
        self._run = None
        self.form.can_count = True
        self._count_soon()
        is_whole = card is not None and not run.was_stopped
        if is_whole:
            forget(run.out)
        else:
            self._leave(run.out)
        models = self._engine.list_models()
        name = run.out.name.removesuffix(SUFFIX)
        entry = next((e for e in models if e.name == name), None)
        if entry is not None and entry.card is not None:
            self._panel.set_card(name, card_rows(entry.card))
            self._on_model(name)
        if run.state is not TrainState.FAILED:
            text = _end_text(name, entry, card)
            self._tell(_noted(text, run), TrainState.DONE)
        self.form.set_models(models)
        self.form.suggest_name()
        self._look_for_unfinished()

    def _leave(self, out: Path) -> None:
        """Leave a training so that it can be resumed."""
        if self._record is not None:
            # No place to write: then there is none to resume from, either.
            with suppress(FormatError):
                write_record(out, self._record, is_running=False)

    def _on_error(self, error: BaseException) -> None:
        message, is_fault = explained(error)
        if is_fault:
            self._report(error)
        self._tell(message, TrainState.FAILED)

    # What is found out beside it.

    def _ask_for_device(self) -> None:
        if self._run is None and not self._is_device_known:
            self._is_device_known = True
            self._jobs.start(
                Job(
                    self._engine.iter_device("auto"),
                    on_done=self.form.set_device,
                    on_error=lambda error: self.form.set_device(None, str(error)),
                )
            )

    def _count_soon(self) -> None:
        if self._is_seen and self._run is None and self.data.uncounted():
            self._jobs.later("count", _COUNT_AFTER_S, self._count)

    def _count(self) -> None:
        parts = self.data.uncounted()
        if self._run is None and parts:
            self._stop_counting()
            self._counting = self._jobs.start(
                Job(
                    self._engine.iter_count(parts),
                    on_done=lambda _: None,
                    on_progress=self._on_counted,
                    on_error=self._on_error,
                )
            )

    def _on_counted(self, progress: Progress) -> None:
        if isinstance(progress, Counted):
            if progress.amount is not None:
                self.data.set_amount(progress.key, progress.amount)
            else:
                self.data.set_problem(progress.key, progress.problem)

    def _stop_counting(self) -> None:
        self._jobs.forget("count")
        if self._counting is not None:
            self._counting.drop()

    def _look_for_unfinished(self) -> None:
        self._jobs.start(
            Job(
                self._engine.iter_unfinished(user_models_dir()),
                on_done=self._on_unfinished,
                on_error=self._on_error,
            )
        )

    def _on_unfinished(self, found: list[Unfinished]) -> None:
        self._unfinished = found
        self._show_unfinished()

    def _show_unfinished(self) -> None:
        text = self._unfinished[0].text if self._unfinished else ""
        self._panel.set_unfinished("" if self._run is not None else text)

    def _tell(self, message: str, state: TrainState | None = None) -> None:
        self._show_status(state or self.state, 0.0, message)

    def _show_status(self, state: TrainState, fraction: float, message: str) -> None:
        self.state = state
        self._panel.set_status(state, fraction, message)


def _news_text(run: TrainRun) -> str:
    text = run.monitor.text
    words = {
        TrainState.PAUSED: "Paused",
        TrainState.STOPPING: "Stopping",
        TrainState.ENDING: "Stopping at once",
    }
    return _noted(f"{words[run.state]} · {text}" if run.state in words else text, run)


def _noted(text: str, run: TrainRun) -> str:
    return f"{text}\n{run.monitor.note}".rstrip()


def _end_text(name: str, entry: Any, card: Any) -> str:
    if entry is None or entry.card is None:
        return "Stopped before there was anything to keep."
    ap = entry.card.scores.get("ap_0.50")
    score = f" AP {ap:.2f} in validation." if ap is not None else " Not scored yet."
    what = "is ready" if card is not None else "is kept as it was at its best"
    return f"{name} {what}, and chosen on the Segment tab.{score}"
