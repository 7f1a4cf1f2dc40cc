"""The training data that is ticked, written for other programs and other days."""

from __future__ import annotations

from collections.abc import (
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal

from napari_seg.data.annotated import EDITED, PROPOSED, VERIFIED, AnnotatedImage
from napari_seg.data.formats.pairs import read_pairs
from napari_seg.data.formats.registry import FORMATS
from napari_seg.data.formats.selection import Counted
from napari_seg.data.image_data import spacing_axes
from napari_seg.data.provenance import Provenance
from napari_seg.errors import FormatError, NapariSegError
from napari_seg.gui.correction.history import can_undo
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.layers import METADATA_KEY, pixel_size_um
from napari_seg.gui.recipes import EXPORT_KEY
from napari_seg.gui.training.data import TrainingData
from napari_seg.gui.training.marks import checked_part, correct_ids
from napari_seg.gui.training.settings import Counts
from napari_seg.imaging import slabs
from napari_seg.imaging.objects import ids_in
from napari_seg.training.sources import ArraySource
from napari_seg.types import Progress

_EVERY_S = 0.2
"""How often progress is shown."""


@dataclass(frozen=True)
class ExportPart:
    """A row of the training data, as the thread gets it."""

    source: ArraySource | Path
    """What a training would get."""
    counts: Counts = Counts.ALL
    """What of it is exported."""
    verified: frozenset[int] = frozenset()
    """Objects that were marked correct."""
    spacing: tuple[float, ...] | None = None
    """Voxel size in um, for each of Z, Y, X."""
    provenance: Provenance = field(default_factory=Provenance)
    """Where the labels come from."""
    state: str = PROPOSED
    """State of the objects nobody marked."""
    scores: Mapping[int, float] = field(default_factory=dict)
    """How sure a detector was of each object."""
    segmentation: Any = None
    """The `Segmentation` the labels were made from, if it is at hand."""


class ExportController:
    """Writes what the Train panel has ticked.

    Parameters
    ----------
    viewer : ViewerModel
        Has the images.
    panel : TrainPanel
        Or anything with its export signal and setter.
    data : TrainingData
        What is ticked.
    jobs : Jobs
        Its own: an export must not wait for a training.
    report : callable, optional
        Takes an exception that is a fault of the program.
    """

    exporting = Signal(object)
    """Layers are going to be written as a whole, as they are now; carries them."""
    exported = Signal(object)
    """The same layers are on disk; carries them."""

    def __init__(
        self,
        viewer: ViewerModel,
        panel: Any,
        data: TrainingData,
        jobs: Jobs,
        report: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._viewer = viewer
        self._panel = panel
        self._data = data
        self._jobs = jobs
        self._report = report or notify
        self._writing: Writing | None = None
        panel.set_formats([(each.name, each.summary) for each in FORMATS.values()])
        panel.set_export("", False)
        panel.export_requested.connect(self.export)
        panel.export_cancel_requested.connect(self.cancel)

    def close(self) -> None:
        """Stop; what is half-written goes."""
        self.cancel()
        self._jobs.close()

    def export(self, name: str, path: str) -> None:
        """Write the ticked rows in a format, to a folder or file."""
        try:
            parts = self._parts()
        except NapariSegError as error:
            self._on_error(error)
            return
        self._panel.set_export("Exporting…", True)
        keys = [row.key for row in self._data.used() if row.counts is Counts.ALL]
        whole = [layer for layer in self._data.labels() if layer.name in keys]
        kept = whole if name != "csv" else []
        self._writing = writing = Writing()

        def done(counts: tuple[int, int]) -> None:
            self._end()
            self._on_done(counts, path)
            for layer in whole:
                layer.metadata.setdefault(METADATA_KEY, {})[EXPORT_KEY] = name
            self.exported.emit(kept)

        job = Job(
            iter_export(parts, name, Path(path), writing),
            on_done=done,
            on_error=self._on_error,
        )
        self.exporting.emit(kept)
        self._jobs.start(job)
        self._show_progress()

    def cancel(self) -> None:
        """Stop after the image that is being written; nothing of it is kept."""
        if self._writing is not None:
            self._writing.stop()
            self._panel.set_export("Stopping after this image…", True)

    def _show_progress(self) -> None:
        writing = self._writing
        if writing is not None:
            if writing.images and not writing.is_stopped:
                text = f"Exporting… {writing.images} image{'s' * (writing.images != 1)}"
                self._panel.set_export(text, True)
            self._jobs.later("export", _EVERY_S, self._show_progress)

    def _end(self) -> None:
        self._writing = None
        self._jobs.forget("export")

    def _parts(self) -> list[ExportPart]:
        used = {row.key: row for row in self._data.used()}
        if not used:
            raise FormatError(
                "There is nothing to export", remedy="Tick labels above, or open some."
            )
        found = []
        for key, source in self._data.parts().items():
            if isinstance(source, Path):
                found.append(ExportPart(source))
            else:
                layer = next(x for x in self._data.labels() if x.name == key)
                found.append(self._of_layer(layer, source, used[key].counts))
        return found

    def _of_layer(
        self, layer: Labels, source: ArraySource, counts: Counts
    ) -> ExportPart:
        pair = self._data.pair(layer)
        checked = checked_part(layer, pair, counts)
        image = self._viewer.layers[pair.image_name]
        sizes = pixel_size_um(image, pair.axes)
        letters = pair.axes.replace("C", "")
        spacing = None
        if sizes is not None:
            known = dict(zip(letters, sizes, strict=True))
            spacing = tuple(known[axis] for axis in spacing_axes(pair.axes))
        return ExportPart(
            replace(source, checked=checked),
            counts,
            correct_ids(layer),
            spacing,
            Provenance.of_run(
                getattr(_segmentation(layer), "provenance", None),
                str(image.source.path or image.name),
            ),
            EDITED if can_undo(layer) else PROPOSED,
            dict(getattr(_segmentation(layer), "scores", {})),
            _segmentation(layer),
        )

    def _on_done(self, done: tuple[int, int], path: str) -> None:
        images, objects = done
        text = (
            f"Exported {images} image{'s' * (images != 1)} with {objects} "
            f"object{'s' * (objects != 1)} to {path}"
        )
        self._panel.set_export(text, False)

    def _on_error(self, error: BaseException) -> None:
        self._end()
        if isinstance(error, ExportStopped):
            self._panel.set_export("Stopped; nothing was written.", False)
            return
        message, is_fault = explained(error)
        if is_fault:
            self._report(error)
        self._panel.set_export(f"⚠ {message}", False)


class ExportStopped(NapariSegError):
    """The user has stopped an export."""


class Writing:
    """How far a thread is with writing; another one may stop it."""

    def __init__(self) -> None:
        self.images = 0
        self.is_stopped = False

    def stop(self) -> None:
        """Have the next image refused."""
        self.is_stopped = True

    def step(self) -> None:
        """Count an image.

        Raises
        ------
        ExportStopped
            If there are to be no more.
        """
        if self.is_stopped:
            raise ExportStopped("The export was stopped")
        self.images += 1


def iter_export(
    parts: Sequence[ExportPart], name: str, out: Path, writing: Writing
) -> Generator[Progress, None, tuple[int, int]]:
    """Write parts in a format; `writing` tells how far it is, and can stop it.

    Yields
    ------
    Progress
        Stage ``"export"``, one step a part.

    Returns
    -------
    tuple of int
        Images and objects that were written.
    """
    ready: list[ExportPart | list[AnnotatedImage]] = []
    for number, part in enumerate(parts):
        yield Progress("export", number, len(parts))
        # Open labels are copied before anything is written: she may go on correcting.
        # Folders are read image by image while it is written.
        ready.append(part if isinstance(part.source, Path) else list(_images(part)))
    yield Progress("export", len(parts), len(parts))
    items = (
        item
        for each in ready
        for item in (_images(each) if isinstance(each, ExportPart) else each)
    )
    counted = Counted(_unique(items), writing.step)
    FORMATS[name].write(counted, out)
    return counted.images, counted.objects


def _images(part: ExportPart) -> Iterator[AnnotatedImage]:
    if isinstance(part.source, Path):
        yield from read_pairs(part.source)
        return
    from napari_seg.inference.ranking import uncertainties

    source = part.source
    labels: Any = source.labels
    if isinstance(labels, np.ndarray):
        labels = np.array(labels)  # what is on disk is read as it is written
    ids = ids_in(labels, slabs.whole(labels))
    states = {int(i): VERIFIED if i in part.verified else part.state for i in ids}
    only_verified = part.counts is Counts.OBJECTS
    whole = AnnotatedImage(
        source.name,
        labels,
        source.axes or "YX",
        source.image,
        part.spacing,
        states=states,
        scores={i: s for i, s in part.scores.items() if i in states},
        uncertainties=uncertainties(part.segmentation, labels),
        ignored=frozenset(states) - part.verified if only_verified else frozenset(),
        group=source.key,
        provenance=part.provenance,
    )
    planes = source.checked.planes if source.checked is not None else None
    if planes is None:
        yield whole
        return
    for number, plane in enumerate(whole.planes()):
        if number in planes:
            marked = dict.fromkeys(plane.ids, VERIFIED)
            yield replace(plane, states=marked)


def _unique(items: Iterable[AnnotatedImage]) -> Iterator[AnnotatedImage]:
    """Give images of the same name different ones."""
    taken: set[str] = set()
    for item in items:
        name, number = item.name, 2
        while name in taken:
            name, number = f"{item.name}-{number}", number + 1
        taken.add(name)
        yield item if name == item.name else replace(item, name=name)


def _segmentation(layer: Labels) -> Any:
    return layer.metadata.get(METADATA_KEY, {}).get("segmentation")
