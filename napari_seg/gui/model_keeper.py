"""What the user does with models: add, rename, remove, read about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_seg.gui.engine import Engine
from napari_seg.gui.faults import explained
from napari_seg.gui.input_form import InputForm
from napari_seg.gui.jobs import Job, JobGenerator, Jobs
from napari_seg.gui.model_card import about_rows
from napari_seg.state import JobState


class ModelKeeper:
    """Carries the requests of a `ModelBox` to the disk, off the main thread.

    Parameters
    ----------
    box : ModelBox
        Or anything with its signals, and `show_about`.
    form : InputForm
        Lists the models and has one chosen.
    engine : Engine
    jobs : Jobs
    say : callable
        Takes a state to show and a message.
    report : callable
        Takes an exception that is a fault of the program.
    """

    def __init__(
        self,
        box: Any,
        form: InputForm,
        engine: Engine,
        jobs: Jobs,
        say: Callable[[JobState, str], None],
        report: Callable[[BaseException], None],
    ) -> None:
        self._box = box
        self._form = form
        self._jobs = jobs
        self._say = say
        self._report = report
        box.add_requested.connect(
            lambda path: self._start(engine.iter_add_model(path), "Added {}.")
        )
        box.rename_requested.connect(
            lambda old, new: self._start(
                engine.iter_rename_model(old, new), f"{old} is now named {{}}."
            )
        )
        box.remove_requested.connect(
            lambda name: self._start(engine.iter_remove_model(name), f"Removed {name}.")
        )
        box.about_requested.connect(self._show_about)

    def _start(self, work: JobGenerator, said: str) -> None:
        def done(name: str) -> None:
            if name:
                self._form.choose_model(name)
            else:
                self._form.refresh_models()
            self._say(JobState.IDLE, said.format(name))

        self._jobs.start(Job(work, on_done=done, on_error=self._on_error))

    def _on_error(self, error: BaseException) -> None:
        message, is_fault = explained(error)
        if is_fault:
            self._report(error)
        self._say(JobState.FAILED, message)

    def _show_about(self, name: str) -> None:
        entry = self._form.entry_of(name)
        if entry is not None:
            self._box.show_about(name, about_rows(entry))
