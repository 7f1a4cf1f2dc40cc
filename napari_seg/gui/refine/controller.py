"""Refined outlines: tried on what is in view, then kept as one step."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict
from typing import Any

from napari.components import ViewerModel

from napari_seg.errors import LabelsError, NapariSegError
from napari_seg.gui.correction.locks import LOCKED_KEY
from napari_seg.gui.correction.target import Target
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.refine.applying import Applier
from napari_seg.gui.refine.engine import RefineEngine, RefineTask
from napari_seg.gui.refine.preview import Preview
from napari_seg.gui.refine.view import (
    Field,
    field_in_view,
    in_layer,
    refinable_layer,
    target_of,
)
from napari_seg.gui.shortcuts import BEFORE
from napari_seg.inference.relabel import Outlines, Place
from napari_seg.refine.crf import CRF_PRESETS, DEFAULT_PRESET, CrfParams
from napari_seg.state import RefineScope, Remembered, SegmentRequest, from_stored

_PAUSE_S = 0.06
"""A slider or the view must rest that long."""
_PART = "crf"
_NO_LABELS = "Run a network first: its labels can be refined."


class RefineController:
    """Wires the Refine section to a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer; nothing is shared with other viewers.
    box : RefineBox
        Or anything with the same signals and setters.
    engine : RefineEngine
        The core; closed with the controller.
    jobs : Jobs
        Background work of its own; closed with the controller.
    remembered : Remembered
        Settings of the last session.
    request : callable
        Returns the thresholds as they are.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        box: Any,
        engine: RefineEngine,
        jobs: Jobs,
        remembered: Remembered,
        request: Callable[[], SegmentRequest],
    ) -> None:
        self._viewer = viewer
        self._box = box
        self._engine = engine
        self._jobs = jobs
        self._remembered = remembered
        self._request = request
        self._is_on = False
        self._is_closed = False
        self._job: Job | None = None
        self._is_stale = False
        self._field: Field | None = None
        self._is_key_bound = False
        self._key_before: Any = None
        self.preview = Preview(viewer)
        self.applier = Applier(
            viewer, engine, jobs, box, on_error=self._tell, on_done=self._on_applied
        )
        self.params = _restored(remembered)
        box.set_params(self.params)
        self._show_preset()
        box.set_preview(False)
        self._show_engine()
        self._connect()
        self.refresh()

    def _connect(self) -> None:
        self._box.preview_requested.connect(self.set_on)
        self._box.params_requested.connect(self.set_params)
        self._box.preset_requested.connect(self.take_preset)
        self._box.apply_requested.connect(self.apply)
        for emitter in self._emitters():
            emitter.connect(self._on_view)
        self._viewer.layers.events.removed.connect(self._on_removed)

    def _emitters(self) -> list[Any]:
        viewer = self._viewer
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        chosen = viewer.layers.selection.events.active
        return [camera.zoom, camera.center, dims.current_step, dims.ndisplay, chosen]

    def close(self) -> None:
        """Show the labels as they are and end the processes; twice does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        for emitter in self._emitters():
            emitter.disconnect(self._on_view)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._hold_key(False)
        self.preview.clear()
        self._engine.close()
        self._jobs.close()
        self._remembered.keep_part(_PART, asdict(self.params))

    # What the user wants.

    def set_on(self, is_on: bool) -> None:
        """Preview what is in view, or show the labels as they are."""
        if is_on == self._is_on:
            return
        self._is_on = is_on
        self._box.set_preview(is_on)
        self._hold_key(is_on)
        if is_on:
            self._engine.start()
            self.refresh()
        else:
            self._stop()
            self._box.set_note("")

    def set_params(self, params: CrfParams) -> None:
        """Try other settings, on probabilities that are at hand."""
        self.params = params
        self._show_preset()
        self._later()

    def take_preset(self, name: str) -> None:
        """Take the settings for a kind of images."""
        if name in CRF_PRESETS:
            self._box.set_params(CRF_PRESETS[name])
            self.set_params(CRF_PRESETS[name])

    def refresh(self) -> None:
        """Look anew whether there is anything to refine, and preview it."""
        layer = refinable_layer(self._viewer)
        self._box.set_enabled("" if layer is not None else _NO_LABELS)
        if layer is not None and not self._is_on and not self.applier.is_busy:
            self._box.set_note("")
        self._later()

    def apply(self, scope: RefineScope) -> None:
        """Give the labels their refined outlines, as one step; again cancels."""
        if self.applier.is_busy:
            self.applier.cancel()
            return
        try:
            target, task = self._task(scope)
        except NapariSegError as error:
            self._box.set_note(str(error))
            return
        self.preview.clear()
        self.applier.start(target, task, scope)

    # The preview.

    def _on_view(self, event: Any = None) -> None:
        if not self._is_on:
            self.refresh()
            return
        try:
            layer = refinable_layer(self._viewer)
            field = layer and field_in_view(
                self._viewer, target_of(self._viewer, layer)
            )
        except NapariSegError:
            field = None
        same = self.preview.target is layer
        if (
            self._field is None
            or not field
            or not same
            or not self._field.covers(field)
        ):
            # What is seen now was not refined: better the labels than a hole.
            self.preview.clear()
            self.refresh()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.preview.target:
            self._stop()
        self.refresh()

    def _later(self) -> None:
        if self._is_on and not self._is_closed:
            self._jobs.later("refine", _PAUSE_S, self._start)

    def _start(self) -> None:
        if self._job is not None:
            # It is done in a moment; ending its process would take longer.
            self._is_stale = True
            return
        try:
            target, task = self._task(RefineScope.PLANE)
            field = field_in_view(self._viewer, target)
        except NapariSegError as error:
            self.preview.clear()
            self._box.set_note(str(error))
            return
        self._is_stale = False
        job = Job(
            self._engine.iter_preview(task),
            on_done=lambda found: self._on_previewed(job, target, field, found),
            on_error=self._on_preview_error,
            poll_s=0.01,
        )
        self._job = self._jobs.start(job)

    def _on_previewed(
        self, job: Job, target: Target, field: Field, found: Outlines
    ) -> None:
        self._job = None
        if not self._is_on or target.layer not in self._viewer.layers:
            return
        changed = int((found.before != found.after).sum())
        self._field = field
        data, start = in_layer(target, found)
        self.preview.show(target.layer, data, start)
        self._box.set_note(
            f"{changed:,} pixels in view would change.".replace(",", "\u2009")
        )
        if self._is_stale:
            self._start()

    def _on_preview_error(self, error: BaseException) -> None:
        self._job = None
        self._stop()
        self._tell(error)

    def _stop(self) -> None:
        self._jobs.forget("refine")
        if self._job is not None:
            self._job.drop()
        self._job = self._field = None
        self.preview.clear()

    def _on_applied(self, note: str) -> None:
        # What is there now is what would be: the preview has done its work.
        self.set_on(False)
        self._box.set_note(note)

    def _tell(self, error: BaseException) -> None:
        message, is_fault = explained(error)
        if is_fault:
            notify(error)
        self._box.set_note(message)

    # What both need.

    def _task(self, scope: RefineScope) -> tuple[Target, RefineTask]:
        layer = refinable_layer(self._viewer)
        if layer is None:
            raise LabelsError("There are no labels to refine", remedy=_NO_LABELS)
        target = target_of(self._viewer, layer)
        field = field_in_view(self._viewer, target)
        own = layer.metadata[METADATA_KEY]
        only = int(layer.selected_label) if scope is RefineScope.OBJECT else None
        locked = frozenset(own.get(LOCKED_KEY, ()))
        if only is not None and (only == 0 or only in locked):
            raise LabelsError(
                f"Object {only} cannot be refined",
                "it is locked" if only else "it is the background",
                "Select an object, e.g. with Pick on the Correct tab.",
            )
        place = Place(field.plane, field.window, locked, only)
        task = RefineTask(
            own["segmentation"], target.labels, self.params, self._request(), place
        )
        return target, task

    def _hold_key(self, is_bound: bool) -> None:
        """Take the key that shows the labels before, or give it back to napari."""
        if is_bound == self._is_key_bound:
            return
        self._is_key_bound = is_bound
        hold = self._show_before() if is_bound else self._key_before
        self._key_before = self._viewer.bind_key(BEFORE.key, hold, overwrite=True)

    def _show_before(self) -> Callable[[ViewerModel], Generator[None, None, None]]:
        def hold(viewer: ViewerModel) -> Generator[None, None, None]:
            self.preview.set_before(True)
            yield
            self.preview.set_before(False)

        return hold

    def _show_preset(self) -> None:
        names = [name for name, known in CRF_PRESETS.items() if known == self.params]
        self._box.set_presets(list(CRF_PRESETS), names[0] if names else "")

    def _show_engine(self) -> None:
        if self._engine.is_native:
            self._box.set_engine("")
        else:
            self._box.set_engine(
                "pydensecrf is not installed, so PyTorch refines, which is slower. "
                f"To install it: {self._engine.install_line}"
            )


def _restored(remembered: Remembered) -> CrfParams:
    params = CRF_PRESETS[DEFAULT_PRESET]
    stored = remembered.part(_PART)
    if not stored:
        return params
    found = from_stored(CrfParams, stored)
    try:
        found.check()
    except NapariSegError:
        return params
    return found
