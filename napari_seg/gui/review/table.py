"""Keeps the table of objects true, and goes where the user clicks in it.

No Qt: the view is anything with its signals and setters.
"""

from __future__ import annotations

import time
from typing import Any

from napari.components import ViewerModel

from napari_seg.gui.correction.desk import Desk
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.review.colours import Colouring, StateColours, iter_coloured
from napari_seg.gui.review.looking import (
    go_to_plane,
    grid_pixel,
    look_at,
    places,
)
from napari_seg.gui.review.rows import (
    RowFilter,
    RowState,
    TableRow,
    iter_rows,
    progress_text,
)
from napari_seg.gui.training.marks import called_correct
from napari_seg.imaging.axes import PlaneIndex

_AFTER_S = 0.3
_PAUSE_S = 60.0
"""Who takes longer over an object has done something else."""


class ReviewTable:
    """Wires the table to the order of the labels being corrected.

    Parameters
    ----------
    viewer : ViewerModel
        Goes where the user clicks.
    view : ObjectTable
        Or anything with its signals and setters.
    reviewer : ReviewController
        Has the order.
    corrector : CorrectController
        Has the labels.
    jobs : Jobs
        Look the objects up.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        view: Any,
        reviewer: Any,
        corrector: Any,
        jobs: Jobs,
    ) -> None:
        self.rows: list[TableRow] = []
        self.filter = RowFilter.ALL
        self.seconds: list[float] = []
        self.colours: StateColours | None = None
        self._since = time.monotonic()
        self._viewer = viewer
        self._view = view
        self._reviewer = reviewer
        self._corrector = corrector
        self._jobs = jobs
        self._desk: Desk | None = None
        self._job: Job | None = None
        self._is_closed = False
        view.row_requested.connect(self.go)
        view.filter_requested.connect(self.show_only)
        view.shown.connect(self.look_again)
        view.colours_requested.connect(self.colour)
        reviewer.ranked.connect(self.look_again)
        corrector.desk_changed.connect(self._on_desk)
        viewer.dims.events.point.connect(self._on_slider)
        self._on_desk()

    def close(self) -> None:
        """Let go of the others."""
        if self._is_closed:
            return
        self._is_closed = True
        self.colour(False)
        self._reviewer.ranked.disconnect(self.look_again)
        self._corrector.desk_changed.disconnect(self._on_desk)
        self._let_go()
        self._viewer.dims.events.point.disconnect(self._on_slider)
        self._jobs.close()

    def look_again(self) -> None:
        """Look all objects up, soon: several steps may come at once."""
        self._jobs.later("rows", _AFTER_S, self._start)

    def go(self, row: TableRow) -> None:
        """Show an object and take it in hand; Next goes on from there."""
        desk, order = self._corrector.desk, self._reviewer.order
        if desk is None or order is None:
            return
        self._corrector.commit()
        if row.is_plane:
            order.plane_place = row.place
            go_to_plane(self._viewer, desk.target, row.ranked.plane)
            return
        order.place = row.place
        ranked, target = row.ranked, desk.target
        look_at(self._viewer, target, ranked.plane, ranked.box)
        y0, x0, y1, x1 = ranked.box
        labels = target.labels
        middle = places(ranked.plane, (y0 + y1) / 2, (x0 + x1) / 2)
        pixel = tuple(int(i) for i in grid_pixel(target, middle))
        if int(labels[pixel]) == ranked.object_id:
            desk.pick(ranked.object_id, target.to_layer_pixel(pixel))

    def show_only(self, chosen: RowFilter) -> None:
        """List only some of the objects."""
        self.filter = chosen
        self._show()

    def colour(self, is_on: bool) -> None:
        """Colour the labels by state, or as they were."""
        if self.colours is not None:
            self.colours.hide()
        self.colours = StateColours() if is_on else None
        if is_on:
            self.look_again()

    def _show_colours(self, colours: Colouring | None) -> None:
        desk = self._corrector.desk
        if self.colours is None:
            return
        if desk is None or colours is None:
            self.colours.hide()
        else:
            self.colours.show(desk.target.layer, colours)

    def _on_desk(self) -> None:
        desk = self._corrector.desk
        if desk is not self._desk:
            self._let_go()
            self._desk = desk
            if desk is not None:
                desk.changed.connect(self.look_again)
            self.seconds = []
            self._since = time.monotonic()
        self.look_again()

    def _let_go(self) -> None:
        if self._desk is not None:
            self._desk.changed.disconnect(self.look_again)
            self._desk = None
        self._drop()

    def _drop(self) -> None:
        """Wait no more for what was asked last: it is of other labels."""
        if self._job is not None:
            self._job.drop()
            self._job = None

    def _on_slider(self) -> None:
        if self.filter is RowFilter.PLANE:
            self._jobs.later("plane", _AFTER_S, self._show)

    def _start(self) -> None:
        self._drop()
        desk, order = self._corrector.desk, self._reviewer.order
        if desk is None or order is None:
            self._take(([], None))
            return
        own = desk.target.layer.metadata.get(METADATA_KEY, {})
        scores = getattr(own.get("segmentation"), "scores", {})
        locked = frozenset(desk.locks.ids)
        correct = called_correct(desk.target.layer, desk.target.axes)
        steps = iter_rows(order, desk.target.labels, locked, scores, correct)
        colours = self.colours
        before = None if colours is None else colours.shown
        steps = iter_coloured(steps, is_on=colours is not None, before=before)
        self._job = self._jobs.start(
            Job(steps, on_done=self._take, on_error=self._fail)
        )

    def _fail(self, error: BaseException) -> None:
        text, is_fault = explained(error)
        self._view.set_progress(f"⚠ {text}")
        if is_fault:
            notify(error)

    def _take(self, found: tuple[list[TableRow], Colouring | None]) -> None:
        rows, colours = found
        objects = [row for row in rows if not row.is_plane]
        done = {r.ranked.object_id for r in objects if r.state is RowState.VERIFIED}
        known = {r.ranked.object_id: r.state for r in self.rows if not r.is_plane}
        verified = RowState.VERIFIED
        new = [i for i in done if known.get(i, verified) is not verified]
        now = time.monotonic()
        if new and self.rows:
            each = (now - self._since) / len(new)
            self.seconds += [each] * len(new) if each < _PAUSE_S else []
        if new or not self.rows:
            self._since = now
        self.rows = rows
        self._show()
        self._show_colours(colours)

    def _show(self) -> None:
        plane = self._plane()
        listed = [row for row in self.rows if self.filter.accepts(row, plane)]
        self._view.set_rows(listed)
        self._view.set_progress(progress_text(self.rows, self.seconds))

    def _plane(self) -> PlaneIndex | None:
        desk = self._corrector.desk
        if desk is None:
            return None
        here = dict(zip(desk.target.axes, desk.target.here(self._viewer), strict=True))
        return PlaneIndex(t=here.get("T", 0), z=here.get("Z", 0))
