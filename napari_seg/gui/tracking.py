"""Labels of a film linked over time, as new labels and as tracks.

No Qt: the box is anything with its signals and setters.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from napari.components import ViewerModel

from napari_seg.errors import AxesError, LabelsError
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.film import Film, Linked, film_of, iter_link, time_axes
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.own_layers import add_unselected
from napari_seg.inference.tracking import STAGE, TrackParams
from napari_seg.state import Remembered, from_stored
from napari_seg.types import Progress

_KEY = "track"
_SHARES = {STAGE: (0.0, 0.8), "rename": (0.8, 0.2)}
"""Where a stage begins on the bar, and how much of it it is."""
_TURN_S = 0.05


class TrackController:
    """Links the labels that are corrected.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    box : TrackBox
        Or anything with its signals and setters.
    choice : LabelsChoice
        Knows which labels are chosen.
    jobs : Jobs
        Does it.
    remembered : Remembered
        Settings of the last session.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        box: Any,
        choice: Any,
        jobs: Jobs,
        remembered: Remembered,
    ) -> None:
        self.params = from_stored(TrackParams, remembered.part(_KEY))
        self._viewer = viewer
        self._box = box
        self._choice = choice
        self._jobs = jobs
        self._remembered = remembered
        self._axis: int | None = None
        self._job: Job | None = None
        self._is_closed = False
        box.link_requested.connect(self.link)
        box.stop_requested.connect(self.stop)
        box.params_requested.connect(self._on_params)
        box.axis_requested.connect(self._on_axis)
        choice.changed.connect(self._on_layers)
        box.set_params(self.params)
        self._on_layers()

    def close(self) -> None:
        """Link no more."""
        if self._is_closed:
            return
        self._is_closed = True
        self._choice.changed.disconnect(self._on_layers)
        self._jobs.close()

    def link(self) -> None:
        """Link the chosen labels with the settings as they are."""
        if self._job is not None:
            return
        try:
            film = self._film()
        except (AxesError, LabelsError) as error:
            self._box.set_note(f"⚠ {error}")
            return
        self._box.set_note("")
        self._box.set_progress(0.0)
        self._job = self._jobs.start(
            Job(
                iter_link(film, self.params),
                on_done=partial(self._on_done, film),
                on_progress=self._on_progress,
                on_error=self._on_error,
                on_stopped=lambda: self._end("Stopped; nothing was changed."),
            )
        )

    def stop(self) -> None:
        """Stop after the frame that is being linked."""
        if self._job is not None:
            self._job.cancel()

    def _film(self) -> Film:
        layer = self._choice.layer
        if layer is None:
            raise LabelsError("There are no labels to link", remedy="Open some")
        if self._axis is None:
            raise AxesError(
                "Only frames of labels can be linked over time",
                f"{layer.name} has none",
                "Open the labels of all frames as one layer",
            )
        return film_of(layer, self._axis)

    def _on_layers(self) -> None:
        """Offer the dimensions of the chosen labels."""
        layer = self._choice.layer
        offers, self._axis = ([], None) if layer is None else time_axes(layer)
        self._box.set_axes(offers, self._axis)

    def _on_axis(self, axis: int) -> None:
        self._axis = axis

    def _on_params(self, params: TrackParams) -> None:
        self.params = params
        self._remembered.keep_part(_KEY, asdict(params))

    def _on_progress(self, progress: Progress) -> None:
        start, share = _SHARES.get(progress.stage, (0.0, 0.0))
        self._box.set_progress(start + share * progress.fraction)

    def _on_error(self, error: BaseException) -> None:
        text, is_fault = explained(error)
        self._end(f"⚠ {text}")
        if is_fault:
            notify(error)

    def _on_done(self, film: Film, linked: Linked) -> None:
        if film.layer not in self._viewer.layers:
            self._end("Nothing was linked: the labels were closed.")
            return
        if not film.is_unchanged():
            self._end("Nothing was linked: the labels were changed. Link them again.")
            return
        # Making a labels layer's visuals, drawing it and drawing tracks each hold up
        # the window for a moment; all at once would be felt.
        linked.labels.visible = False
        for turn, step in enumerate((self._add, self._swap, self._add_ways)):
            delay_s = turn * _TURN_S
            self._jobs.later(f"show {turn}", delay_s, partial(step, film, linked))

    def _add(self, film: Film, linked: Linked) -> None:
        self._viewer.layers.append(linked.labels)

    def _swap(self, film: Film, linked: Linked) -> None:
        linked.labels.visible, film.layer.visible = True, False

    def _add_ways(self, film: Film, linked: Linked) -> None:
        if linked.ways is not None and linked.labels in self._viewer.layers:
            add_unselected(self._viewer, linked.ways)
        self._end(said(linked))

    def _end(self, text: str) -> None:
        self._job = None
        self._box.set_progress(None)
        self._box.set_note(text)


def said(linked: Linked) -> str:
    """Say what was linked."""
    tracks = linked.tracks
    count, divisions = tracks.count, len(set(tracks.parents.values()))
    text = f"{count} track{'s' * (count != 1)}"
    if divisions:
        text += f", {divisions} division{'s' * (divisions != 1)}"
    text += f" in {linked.labels.name}."
    if linked.ways is None:
        text += " napari draws tracks only where time is the first dimension."
    return text
