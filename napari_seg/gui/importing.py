"""Masks from a file onto the image that is open.

No Qt: whoever is asked is anything that answers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_seg.data.formats.overlaps import REFUSE, OverlapError
from napari_seg.data.import_masks import Imported, Merged, import_masks, merge_masks
from napari_seg.errors import ImageError, NapariSegError
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.layers import (
    METADATA_KEY,
    default_axes,
    labels_kwargs,
    labels_view,
    take_source,
)
from napari_seg.gui.own_layers import is_image
from napari_seg.gui.view import full_data
from napari_seg.gui.weights.changes import LabelsWatch
from napari_seg.imaging.deltas import LabelEdit, make_edit
from napari_seg.state import Scope
from napari_seg.types import Progress


@dataclass(frozen=True, eq=False)
class Addition:
    """Masks added to labels, as one step of undo."""

    merged: Merged
    edit: LabelEdit
    has_old: bool
    """Whether there were labels before."""


class ImportController:
    """Reads masks, asks what nobody else can know, and never overwrites anything.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    box : ImportBox
        Or anything with its signal, its setter and its two questions.
    corrector : CorrectController
        Has the labels that masks can be added to.
    jobs : Jobs
        Reads and merges.
    """

    def __init__(
        self, viewer: ViewerModel, box: Any, corrector: Any, jobs: Jobs
    ) -> None:
        self._viewer = viewer
        self._box = box
        self._corrector = corrector
        self._jobs = jobs
        box.import_requested.connect(self.read)

    def close(self) -> None:
        """Read no more."""
        self._box.import_requested.disconnect(self.read)
        self._jobs.close()

    def read(self, path: str, overlaps: str = REFUSE) -> None:
        """Import a file onto the selected image, else onto the topmost."""
        try:
            image = self._image()
            axes = default_axes(image)
            shape = tuple(int(n) for n in full_data(image).shape)
        except NapariSegError as error:
            self._box.set_note(f"⚠ {error}")
            return
        self._box.set_note("Reading the masks…")
        steps = _told(lambda: import_masks(path, image.name, axes, shape, overlaps))
        self._jobs.start(
            Job(
                steps,
                on_done=partial(self._on_read, image, axes),
                on_error=partial(self._on_error, path),
            )
        )

    def _on_error(self, path: str, error: BaseException) -> None:
        if isinstance(error, OverlapError):
            policy = self._box.ask_overlaps(f"{error.problem} ({error.found}).")
            if policy:
                self.read(path, policy)
            else:
                self._box.set_note("Nothing was imported.")
            return
        text, is_fault = explained(error)
        self._box.set_note(f"⚠ {text}")
        if is_fault:
            notify(error)

    def _on_read(self, image: Image, axes: str, found: Imported) -> None:
        if image not in self._viewer.layers:
            self._box.set_note("Nothing was imported: the image was closed.")
            return
        desk = self._corrector.desk
        if desk is None or image not in desk.target.images:
            self._as_layer(image, axes, found)
            return
        target = desk.target
        if tuple(target.labels.shape) != found.labels.shape:
            self._as_layer(image, axes, found)
            return
        labels = target.labels
        self._jobs.start(
            Job(
                _told(lambda: _addition(labels, found.labels)),
                on_done=partial(self._on_merged, image, axes, found, desk),
                on_error=partial(self._on_error, ""),
            )
        )

    def _on_merged(
        self, image: Image, axes: str, found: Imported, desk: Any, added: Addition
    ) -> None:
        layer, merged = desk.target.layer, added.merged
        answer: bool | None = True
        if added.has_old:
            answer = self._box.ask_conflict(conflict_text(layer.name, merged))
        if answer is None:
            self._box.set_note("Nothing was imported.")
        elif not answer:
            self._as_layer(image, axes, found)
        else:
            self._add(found, desk, added)

    def _add(self, found: Imported, desk: Any, added: Addition) -> None:
        """Add masks to labels, if these are still what the masks were merged with."""
        layer, labels = desk.target.layer, desk.target.labels
        changes: list[Any] = []
        watch = LabelsWatch(layer, changes.append, changes.append, lambda: None)

        def done(fits: bool) -> None:
            watch.close()
            if desk is not self._corrector.desk or changes or not fits:
                self._box.set_note("Nothing was imported: the labels were changed.")
                return
            desk.apply([added.edit], "Masks were imported; Ctrl+Z takes it back.")
            where = f"added to {layer.name}"
            self._box.set_note(said(found, where, added.merged))

        def failed(error: BaseException) -> None:
            watch.close()
            self._on_error("", error)

        steps = _told(lambda: added.edit.fits(labels))
        self._jobs.start(Job(steps, on_done=done, on_error=failed))

    def _as_layer(self, image: Image, axes: str, found: Imported) -> None:
        source = take_source(self._viewer, image, axes, Scope.IMAGE)
        layer = Labels(
            labels_view(source, found.labels),
            name=f"{image.name} imported",
            **labels_kwargs(source),
        )
        layer.metadata[METADATA_KEY] = {"image": image.name, "axes": axes}
        self._viewer.add_layer(layer)
        self._box.set_note(said(found, f"in the layer {layer.name}"))

    def _image(self) -> Image:
        active = self._viewer.layers.selection.active
        if is_image(active):
            return active
        images = [x for x in reversed(self._viewer.layers) if is_image(x)]
        if not images:
            raise ImageError("There is no image the masks could be of", "", "Open it")
        desk = self._corrector.desk
        return images[0] if desk is None else desk.target.images[0]


def conflict_text(name: str, merged: Merged) -> str:
    """Say what adding masks to labels would mean."""
    parts = [f"{name} holds labels already."]
    if merged.renumbered:
        count = merged.renumbered
        parts.append(
            f"{count} id{'s are' * (count != 1)}{' is' * (count == 1)} taken: those "
            "objects would get new ones."
        )
    if merged.hidden:
        parts.append(f"{merged.hidden} pixels would stay with the old objects.")
    return " ".join(parts)


def said(found: Imported, where: str, merged: Merged | None = None) -> str:
    """Say what was imported."""
    count = found.count
    text = f"{count} object{'s' * (count != 1)} ({found.format}) {where}."
    if found.contested:
        text += f" {found.contested} pixels were claimed by two of them."
    if merged is not None and merged.renumbered:
        text += f" {merged.renumbered} got new ids."
    return text


def _addition(labels: Any, new: np.ndarray) -> Addition:
    before = np.array(labels)
    merged = merge_masks(before, new)
    edit = make_edit("import", [0] * before.ndim, before, merged.labels)
    return Addition(merged, edit, bool(before.any()))


def _told(make: Callable[[], Any]) -> Generator[Progress, None, Any]:
    yield Progress("import", 0, 1)
    return make()
