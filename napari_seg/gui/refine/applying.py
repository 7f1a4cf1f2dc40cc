"""Refined outlines written into the labels: all of them, or none, as one step."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict
from typing import Any

from napari.components import ViewerModel

from napari_seg.errors import LabelsError
from napari_seg.gui.correction.history import LayerHistory, steps_done
from napari_seg.gui.correction.target import Target
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.recipes import REFINED_KEY
from napari_seg.gui.refine.engine import RefineEngine, RefineTask
from napari_seg.imaging.deltas import LabelEdit
from napari_seg.state import RefineScope
from napari_seg.types import Progress


class Applier:
    """Refines planes in the background, then writes them a few at a time.

    Parameters
    ----------
    viewer : ViewerModel
        Has the labels, unless they are removed meanwhile.
    engine : RefineEngine
        The core.
    jobs : Jobs
        Background work.
    box : RefineBox
        Shows how it goes.
    on_error : callable
        Takes an exception; nothing was changed.
    on_done : callable
        Takes a line for the user, after the labels were written.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        engine: RefineEngine,
        jobs: Jobs,
        box: Any,
        *,
        on_error: Callable[[BaseException], None],
        on_done: Callable[[str], None],
    ) -> None:
        self._viewer = viewer
        self._engine = engine
        self._jobs = jobs
        self._box = box
        self._on_error = on_error
        self._on_done = on_done
        self._job: Job | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is being refined or written."""
        return self._job is not None

    def start(self, target: Target, task: RefineTask, scope: RefineScope) -> None:
        """Refine, and write what changes."""
        self._box.apply.set_word("Cancel")
        self._job = self._jobs.start(
            Job(
                self._engine.iter_apply(task, scope),
                on_done=lambda edits: self._on_refined(target, task, scope, edits),
                on_progress=self._on_progress,
                on_error=self._fail,
                on_stopped=lambda: self._end("Cancelled; nothing was changed."),
            )
        )

    def cancel(self) -> None:
        """Stop before anything is written; what is being written is finished."""
        if self._job is not None:
            self._job.cancel()

    def _on_progress(self, step: Progress) -> None:
        if step.total:
            self._box.set_note(f"Refining: {step.fraction:.0%}")

    def _on_refined(
        self,
        target: Target,
        task: RefineTask,
        scope: RefineScope,
        edits: list[LabelEdit],
    ) -> None:
        steps = self._write(target, edits)
        self._jobs.spread(steps, lambda: self._on_written(target, task, scope, edits))

    def _write(
        self, target: Target, edits: list[LabelEdit]
    ) -> Generator[None, None, None]:
        for edit in edits:
            is_there = target.layer in self._viewer.layers and target.is_current()
            if not (is_there and edit.fits(target.labels)):
                self._fail(
                    LabelsError(
                        "The labels were changed meanwhile",
                        remedy="Nothing was refined; apply it again.",
                    )
                )
                return
            yield
        history = LayerHistory(target)
        with history.group():
            for edit in edits:
                history.apply(edit)
                yield

    def _on_written(
        self,
        target: Target,
        task: RefineTask,
        scope: RefineScope,
        edits: list[LabelEdit],
    ) -> None:
        if self._job is None:
            return  # it has failed, and said so
        count = sum(edit.size for edit in edits)
        note = "Nothing had to change."
        if count:
            text = f"{count:,}".replace(",", "\u2009")
            note = f"{text} pixels changed; Ctrl+Z takes it back."
            own = target.layer.metadata[METADATA_KEY]
            own.setdefault("provenance", {})["crf"] = asdict(task.params)
            is_flat = set(target.axes) == {"Y", "X"}
            is_whole = scope is not RefineScope.OBJECT and (
                is_flat or scope is RefineScope.STACK
            )
            steps = steps_done(target.layer)
            own[REFINED_KEY] = task.params, is_whole and not task.place.locked, steps
        self._end(note)
        self._on_done(note)

    def _fail(self, error: BaseException) -> None:
        self._end("")
        self._on_error(error)

    def _end(self, note: str) -> None:
        self._job = None
        self._box.apply.set_word("Apply")
        self._box.set_note(note)
