"""The one place that knows what is doubtful, and takes the user there.

No Qt: the panel is anything with its signals and setters.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, cast

from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal

from napari_seg.gui.correction.desk import Desk
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.jobs import Job, JobGenerator, Jobs
from napari_seg.gui.review import measures
from napari_seg.gui.review.images import Images
from napari_seg.gui.review.looking import (
    go_to_plane,
    grid_pixel,
    look_at,
    places,
)
from napari_seg.gui.review.order import Offer, Order, iter_offer
from napari_seg.gui.review.words import at_end, object_note, plane_note
from napari_seg.gui.training.marks import called_correct
from napari_seg.state import Remembered, ReviewSettings, from_stored
from napari_seg.types import Progress

_REMEMBERED = "review"
_HINT = "Next goes to the object that is most likely wrong."


class ReviewController:
    """Wires the strip *Next to correct* to a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer; nothing is shared with other viewers.
    panel : ReviewStrip
        Or anything with its signals and setters.
    corrector : CorrectController
        Has the labels, their locks and the object in hand.
    segmenter : SegmentController
        Knows how labels were made, and runs the network.
    jobs : Jobs
        For all that needs no network.
    remembered : Remembered
        Settings of the last session.
    report : callable, optional
        Takes an exception that is a fault of the program, not of the input.
    """

    ranked = Signal()
    """There is an order where there was none, or another one, or none any more."""

    def __init__(
        self,
        viewer: ViewerModel,
        panel: Any,
        corrector: Any,
        segmenter: Any,
        jobs: Jobs,
        remembered: Remembered,
        report: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.settings = from_stored(ReviewSettings, remembered.part(_REMEMBERED))
        self.measure = ""
        self.images = Images(viewer)
        self._viewer = viewer
        self._panel = panel
        self._corrector = corrector
        self._segmenter = segmenter
        self._jobs = jobs
        self._remembered = remembered
        self._report = report or notify
        self._orders = weakref.WeakKeyDictionary[Labels, Order]()
        self._ranking: Job | None = None
        self._ranked: Labels | None = None
        self._is_closed = False
        self._connect()
        self._open()

    @property
    def order(self) -> Order | None:
        """The order of the labels being corrected, unless they were predicted anew."""
        desk = self._desk
        if desk is None:
            return None
        layer, order = desk.target.layer, self._orders.get(desk.target.layer)
        is_current = order is not None and order.basis is measures.prediction(layer)
        return order if is_current else None

    @property
    def _desk(self) -> Desk | None:
        return cast("Desk | None", self._corrector.desk)

    def close(self) -> None:
        """Stop all work and let go of the others."""
        if self._is_closed:
            return
        self._is_closed = True
        self.stop()
        self._corrector.desk_changed.disconnect(self._open)
        self._segmenter.run_ended.disconnect(self._on_layers)
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed):
            emitter.disconnect(self._on_layers)
        self._remembered.keep_part(_REMEMBERED, asdict(self.settings))
        self._jobs.close()

    def step(self, way: int) -> None:
        """Go on (1) or back (-1) to a doubtful object; rank first if need be."""
        desk, order = self._desk, self.order
        if desk is None or not self.measure:
            return
        if order is None:
            self.rank(partial(self.step, 1))
            return
        self._corrector.commit()
        steps = iter_offer(order, desk.target.labels, way, desk.locks.ids)
        done = partial(self._show_offer, desk, order, way)
        self._jobs.start(Job(steps, on_done=done, on_error=self._tell, poll_s=0.02))

    def accept(self) -> None:
        """Lock the object in hand and go on."""
        desk = self._desk
        if desk is None:
            return
        if desk.is_new or not desk.object_id:
            self._panel.set_note("Select an object first, or press Next.")
            return
        self._corrector.commit()
        if not desk.is_locked:
            desk.toggle_lock(desk.object_id)
        self.step(1)

    def step_plane(self) -> None:
        """Go to the next doubtful plane; rank first if need be."""
        desk, order = self._desk, self.order
        if desk is None or not self.measure:
            return
        if order is None:
            self.rank(self.step_plane)
            return
        self._corrector.commit()
        target = desk.target
        found = order.next_plane(called_correct(target.layer, target.axes))
        if found is None:
            self._panel.set_note("That was the last plane. Rank begins anew.")
            return
        go_to_plane(self._viewer, target, found.plane)
        total = len(order.ranking.planes)
        note = plane_note(target.axes, found, order.plane_place + 1, total)
        self._panel.set_note(note)

    def step_image(self) -> None:
        """Show the next doubtful one of the open images."""
        if self._ranking is not None:
            return
        if not self.images.is_ranked:
            steps = self.images.iter_rank()
            self._begin(Job(steps, on_done=self._on_images), self._jobs, None)
            return
        self._corrector.commit()
        self._panel.set_note(self.images.show_next())

    def rank(self, then: Callable[[], None] | None = None) -> None:
        """Make the order anew; stop if one is being made."""
        if self._ranking is not None:
            if then is None:
                self.stop()
            return
        desk = self._desk
        if desk is None or not self.measure:
            return
        layer = desk.target.layer
        basis, measure = measures.prediction(layer), self.measure
        axes = desk.target.axes

        def done(ranking: Any) -> None:
            self._end()
            self._orders[layer] = Order(ranking, axes, measure, basis)
            self.ranked.emit()
            if self._desk is not None and self._desk.target.layer is layer:
                (then or partial(self.step, 1))()
            else:
                self._panel.set_note(_HINT if self.measure else "")

        job = Job(self._steps(desk, measure), on_done=done)
        is_network = measure == measures.MIRROR
        self._begin(job, self._segmenter if is_network else self._jobs, layer)

    def stop(self) -> None:
        """Stop a ranking; the order before it stays."""
        if self._ranking is None:
            return
        self._ranking.drop()
        self._end()
        self._panel.set_note("Stopped; the order is as it was.")

    def choose(self, measure: str) -> None:
        """Measure doubt another way from now on."""
        if measure == self.measure:
            return
        self.stop()
        self.measure = measure
        if not measure.startswith(measures.LAYER):
            self.settings = ReviewSettings(measure)
        if self._desk is not None:
            self._orders.pop(self._desk.target.layer, None)
            self.ranked.emit()
        self._panel.set_note("Next ranks the objects this way.")

    # Rankings.

    def _steps(self, desk: Desk, measure: str) -> JobGenerator:
        target, layer = desk.target, desk.target.layer
        if measure == measures.ENTROPY:
            return measures.iter_entropy(target.labels, measures.prediction(layer))
        if measure == measures.ODD:
            return measures.iter_odd(target.labels, target.axes)
        if measure == measures.CLOSE:
            return measures.iter_close(target.labels, target.axes)
        if measure == measures.MIRROR:
            others = self._segmenter.iter_mirrored(layer)
        else:
            others = measures.at_hand(measures.other_labels(self._viewer, measure))
        return measures.iter_disagreement(target.labels, target.axes, others)

    def _begin(self, job: Job, where: Any, layer: Labels | None) -> None:
        job.on_progress, job.on_error = self._on_progress, self._fail
        self._ranking, self._ranked = job, layer
        self._panel.set_busy(True)
        self._panel.set_note("Ranking")
        if where is self._jobs:
            self._jobs.start(job)
        else:
            self._panel.set_note("Waiting for the network")
            self._segmenter.start_network_job(job)

    def _end(self) -> None:
        self._ranking = self._ranked = None
        self._panel.set_busy(False)

    def _on_progress(self, progress: Progress) -> None:
        what = progress.message or "Ranking"
        self._panel.set_note(f"{what} · {progress.fraction:.0%}")

    def _on_images(self, found: Any) -> None:
        self._end()
        for layer, order in self.images.take(found).items():
            self._orders.setdefault(layer, order)
        self.step_image()

    def _fail(self, error: BaseException) -> None:
        self._end()
        self._tell(error)

    def _tell(self, error: BaseException) -> None:
        text, is_fault = explained(error)
        self._panel.set_note(text)
        if is_fault:
            self._report(error)

    # What is shown.

    def _show_offer(self, desk: Desk, order: Order, way: int, offer: Offer) -> None:
        if desk is not self._desk or order is not self.order:
            return  # a late answer
        if offer.object is None:
            self._panel.set_note(at_end(way, offer))
            return
        ranked, target = offer.object, desk.target
        look_at(self._viewer, target, ranked.plane, ranked.box)
        at = places(ranked.plane, *offer.pixel)
        pixel = [int(i) for i in grid_pixel(target, at)]
        desk.pick(ranked.object_id, target.to_layer_pixel(pixel))
        total = len(order.ranking.objects)
        self._panel.set_note(object_note(ranked, offer.number, total))

    def _open(self) -> None:
        """Set up for the labels that are corrected now."""
        if self._ranked is not None and self._ranked not in self._viewer.layers:
            name = self._ranked.name
            self.stop()
            self._show_offers()
            self._panel.set_note(f"Stopped: the labels were removed ({name}).")
            return
        self._show_offers()
        if self._ranking is None:
            self._panel.set_note(_HINT if self.measure else "")

    def _on_layers(self) -> None:
        had = self.measure
        self._show_offers()
        if self._ranking is None and bool(had) != bool(self.measure):
            self._panel.set_note(_HINT if self.measure else "")

    def _show_offers(self) -> None:
        desk = self._desk
        items: measures.Items = []
        if desk is not None:
            can_mirror = self._segmenter.can_mirror(desk.target.layer)
            items = measures.offered(self._viewer, desk.target, can_mirror)
        known = [m for _, m in items]
        # What was chosen here, else what was chosen last time, else what there is.
        order = self.order
        wanted = [self.settings.measure, *known]
        if order is not None:
            wanted.insert(0, order.measure)
        elif self.measure.startswith(measures.LAYER):
            wanted.insert(0, self.measure)
        self.measure = next((m for m in wanted if m in known), "")
        self._panel.set_measures(items, self.measure)
        has_planes = desk is not None and desk.target.depth_axis is not None
        has_images = len(self.images.candidates()) > 1
        self._panel.set_offers(bool(self.measure), has_planes, has_images)

    def _connect(self) -> None:
        panel = self._panel
        panel.step_requested.connect(self.step)
        panel.accept_requested.connect(self.accept)
        panel.plane_requested.connect(self.step_plane)
        panel.image_requested.connect(self.step_image)
        panel.rank_requested.connect(self.rank)
        panel.measure_requested.connect(self.choose)
        self._corrector.desk_changed.connect(self._open)
        self._segmenter.run_ended.connect(self._on_layers)
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed):
            emitter.connect(self._on_layers)
