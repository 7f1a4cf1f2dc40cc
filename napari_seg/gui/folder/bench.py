"""The layers of the image that is worked on, and what is to be saved of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_seg.data.annotated import EDITED, VERIFIED
from napari_seg.data.folder import Work
from napari_seg.data.provenance import Provenance
from napari_seg.gui.correction.history import can_undo
from napari_seg.gui.correction.locks import LOCKED_KEY, MARKS_KEY
from napari_seg.gui.correction.target import repeated_axis
from napari_seg.gui.folder.ahead import Prediction
from napari_seg.gui.folder.image_layer import image_layer, labels_of
from napari_seg.gui.folder.prepared import Prepared
from napari_seg.gui.folder.saver import Saving
from napari_seg.gui.jobs import Jobs, spared_collector
from napari_seg.gui.layers import METADATA_KEY, take_source
from napari_seg.gui.proposal import Proposal
from napari_seg.gui.weights.changes import LabelsWatch
from napari_seg.state import Scope

_PAUSE_S = 60.0
"""Who does nothing for longer is not at work."""


class Bench:
    """One image of the folder in the viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layers.
    prepared : Prepared
        The image.
    """

    def __init__(self, viewer: ViewerModel, prepared: Prepared) -> None:
        self.opened = prepared.opened
        self._stored = prepared.base
        self.labels: Labels | None = None
        self.base: np.ndarray | None = None
        self.steps = 0
        self._spent_s = 0.0
        self._last = time.monotonic()
        self._viewer = viewer
        self._watch: LabelsWatch | None = None
        self.axes, self.image = image_layer(
            self.opened.name, self.opened.data, prepared.limits
        )
        viewer.add_layer(self.image)

    @property
    def name(self) -> str:
        """Of the image in its folder."""
        return self.opened.name

    def show_labels(self) -> None:
        """Add the labels that are on disk."""
        stored, item = self.opened.labels, self.opened.item
        if stored is None or item is None:
            return
        layer = labels_of(self._viewer, self.image, self.axes, stored)
        is_open = item.correct_ids is not None
        states = item.states.items() if is_open else ()
        locked = [i for i, state in states if state == VERIFIED]
        layer.metadata[METADATA_KEY][LOCKED_KEY] = locked
        self._viewer.add_layer(layer)
        self.follow(layer, self._stored)

    def show_prediction(
        self,
        prediction: Prediction,
        jobs: Jobs,
        on_shown: Callable[[Proposal], None],
    ) -> None:
        """Add the labels that a network proposes, a few milliseconds at a time."""
        source = take_source(self._viewer, self.image, self.axes, Scope.IMAGE)
        proposal = Proposal(source, replace(prediction.request, axes=self.axes))
        proposal.open(self._viewer)
        assert proposal.layer is not None
        self.follow(proposal.layer, prediction.base)
        found = prediction.segmentation

        def done() -> None:
            proposal.keep(found)
            proposal.show()
            on_shown(proposal)

        jobs.spread(proposal.steps_to(found.labels), done)

    def follow(self, layer: Labels, base: np.ndarray | None = None) -> None:
        """Take a layer for the one that is saved.

        Parameters
        ----------
        layer : Labels
            The layer; others are not saved with the image as long as it is there.
        base : ndarray of int, optional
            What it was before anybody corrected it.
        """
        if layer is self.labels or self._has_labels():
            return
        self._stop_watching()
        self.labels, self.base = layer, base
        self._watch = LabelsWatch(
            layer,
            on_box=lambda _: None,
            on_step=lambda _: self._on_step(),
            on_doubt=lambda: None,
        )

    def take(self, is_verified: bool = False) -> Saving | None:
        """Return what is to be saved; None if there are no labels."""
        self.tick()
        layer, item = self.labels, self.opened.item
        if layer is None:
            return None
        own = layer.metadata.get(METADATA_KEY, {})
        locked = frozenset(int(i) for i in own.get(LOCKED_KEY, ()))
        states = {} if item is None else item.states
        segmentation = own.get("segmentation")
        kept = getattr(segmentation, "scores", None)
        work = Work(
            labels=np.empty(0, np.int32),  # looked at in the thread
            is_verified=is_verified,
            verified=locked,
            edited=frozenset(i for i, state in states.items() if state == EDITED),
            scores=kept if kept is not None else {} if item is None else item.scores,
            uncertainties={} if item is None else item.uncertainties,
            provenance=self._provenance(own),
        )
        before = frozenset(i for i, state in states.items() if state == VERIFIED)
        is_open = item is not None and item.correct_ids is not None
        is_new = item is None or is_verified or bool(self.steps)
        is_new |= is_open and locked != before
        base = self.base
        if base is None and not can_undo(layer):
            base = _plain(layer)  # a run's, as it came
        labels = _plain(layer)
        return Saving(self.opened, labels, base, work, is_new, segmentation)

    def tick(self) -> None:
        """Count the time since the last sign of life, if it was not long ago."""
        now = time.monotonic()
        self._spent_s += min(now - self._last, _PAUSE_S)
        self._last = now

    def iter_close(self) -> Iterator[None]:
        """Take the layers of the image out of the viewer, one a step."""
        self._stop_watching()
        # Labels first: nothing need look for another image for them.
        for layer in sorted(self._layers(), key=lambda x: x is self.image):
            if layer in self._viewer.layers:
                with spared_collector():
                    self._viewer.layers.remove(layer)
                yield

    def others(self) -> list[Layer]:
        """Return labels of this image that are not saved with it, and are somebody's.

        They stay in the viewer: imported or drawn beside, or a run that was corrected.
        """
        return [
            layer
            for layer in self._viewer.layers
            if _belongs(layer, self.image.name)
            and isinstance(layer, Labels)
            and layer is not self.labels
            and (can_undo(layer) or "provenance" not in layer.metadata[METADATA_KEY])
        ]

    def _has_labels(self) -> bool:
        return self.labels is not None and self.labels in self._viewer.layers

    def _layers(self) -> list[Layer]:
        """Return all layers of this image, with marks on its labels."""
        others = self.others()
        own = [
            layer
            for layer in self._viewer.layers
            if layer in (self.image, self.labels)
            or (_belongs(layer, self.image.name) and layer not in others)
        ]
        names = tuple(f"{layer.name} correct" for layer in own)
        return own + [
            layer
            for layer in self._viewer.layers
            if MARKS_KEY in layer.metadata and layer.name.startswith(names)
        ]

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _on_step(self) -> None:
        self.steps += 1
        self.tick()

    def _provenance(self, own: dict[str, Any]) -> Provenance:
        item, made = self.opened.item, own.get("provenance")
        old = Provenance() if item is None else item.provenance
        new = Provenance.of_run(made, str(self.opened.path)) if made else old
        edits = old.edits.get("steps", 0) + self.steps
        return replace(
            new,
            source=str(self.opened.path),
            annotator=old.annotator,
            edits={"steps": edits} if edits else {},
            time_spent_s=round(old.time_spent_s + self._spent_s, 1),
        )


def _plain(layer: Labels) -> Any:
    """Return the labels without an axis along which they only repeat."""
    repeated = repeated_axis(layer)
    if repeated is None:
        return layer.data
    return layer.data[(slice(None),) * repeated + (0,)]


def _belongs(layer: Any, name: str) -> bool:
    own = layer.metadata.get(METADATA_KEY, {})
    return isinstance(own, dict) and own.get("image") == name
