"""What a batch does in its threads: list a folder, segment it, show one image."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.data.batch_plan import PlannedFile, plan
from napari_seg.data.batch_table import BatchTables
from napari_seg.data.image_data import ImageData
from napari_seg.data.io import read_image, read_labels
from napari_seg.data.run_manifest import Mode, RunManifest
from napari_seg.errors import FormatError, NapariSegError
from napari_seg.gui.batch.rows import BatchList, BatchRow, list_batch
from napari_seg.gui.batch.settings import in_the_window
from napari_seg.gui.engine import import_torch
from napari_seg.gui.folder.prepared import Limits, limits_of
from napari_seg.gui.folder.thumbnails import Thumbnail, draw
from napari_seg.imaging.axes import spatial_axes
from napari_seg.inference.params import SegmentParams
from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.inference.batch import Outcome
    from napari_seg.models.card import Card

TABLE = "objects.csv"
_CHEAP_BYTES = 8 * 2**20
"""Larger files are not read for a small picture of them."""
_MOST_PICTURES = 500


@dataclass(frozen=True)
class Place:
    """Which images, and where their labels go."""

    folder: str
    pattern: str
    """Files below the folder, as on the command line."""
    out: str

    def plan(self) -> list[PlannedFile]:
        """Look for the images; this may take a while."""
        return plan([Path(self.folder) / self.pattern], Path(self.out))


@dataclass(frozen=True)
class Order:
    """A batch, as it was when it was begun."""

    place: Place
    model: str
    params: SegmentParams
    mode: Mode
    measures: bool
    """Whether each object is measured into a table."""


@dataclass(frozen=True)
class FileBegun(Progress):
    """An image is taken up."""

    file: PlannedFile | None = None


@dataclass(frozen=True)
class FileEnded(Progress):
    """An image is done, or has failed."""

    outcome: Outcome | None = None


@dataclass(frozen=True)
class Pair:
    """An image and its labels, ready to be shown."""

    name: str
    data: ImageData
    limits: Limits | None
    labels: np.ndarray | None
    """With the axes of the image without C; None if there are none."""


def iter_list(place: Place) -> Generator[Progress, None, BatchList]:
    """Look for the images of a folder, and for a run that was begun."""
    yield Progress("list", 0, 1)
    files = place.plan()
    if len(files) == 1 and files[0].problem is not None:
        return BatchList(problem=str(files[0].problem))
    try:
        return list_batch(files, RunManifest.find(Path(place.out)))
    except FormatError as error:
        # Begun, as far as one can tell: it is only forgotten if she says so.
        found = list_batch(files, None)
        return replace(found, is_begun=True, problem=str(in_the_window(error)))


def iter_batch(order: Order) -> Generator[Progress, None, str]:
    """Segment all images; returns what could not be saved at the end.

    Yields
    ------
    Progress
        A `FileBegun` and a `FileEnded` for each image, its own steps between.
    """
    yield from import_torch()
    from napari_seg.inference.batch import Batch, run_about
    from napari_seg.models.checkpoint import load_model

    checkpoint, out = load_model(order.model), Path(order.place.out)
    yield Progress("load", 2, 2)
    params = order.params
    if order.mode == "resume":
        params = as_begun(params, checkpoint.card, RunManifest.find(out))
    batch = Batch(
        order.place.plan(),
        checkpoint,
        params,
        manifest=RunManifest.open(
            out, run_about(checkpoint, params, classes=False), order.mode
        ),
        tables=BatchTables(out / TABLE) if order.measures else None,
        resume=order.mode == "resume",
    )
    try:
        batch.begin(overwrite_tables=order.mode != "new")
    except OSError as error:
        raise FormatError(
            "the run cannot be begun", str(error), "Choose another folder for it."
        ) from error
    total = len(batch.files)
    for number, file in enumerate(batch.files):
        if file not in batch.finished:
            yield FileBegun("file", number, total, file=file)
        outcome = yield from batch.iter_file(file)
        yield FileEnded("file", number + 1, total, outcome=outcome)
    return batch.end()


def as_begun(
    params: SegmentParams, card: Card, manifest: RunManifest | None
) -> SegmentParams:
    """Return parameters with what the window has forgotten of a run, as it was begun.

    On another day sizes and thresholds are the usual ones again, and the channel is
    that of the image at hand. What somebody has set since stays, and is refused.
    """
    known = {} if manifest is None else manifest.about.get("parameters", {})
    usual: dict[str, Any] = {
        "channel": params.channel,
        "diameter_px": None,
        "diameter_um": None,
        "threshold": card.threshold,
        "seed_threshold": card.seed_threshold,
        "min_size_px": SegmentParams().min_size_px,
    }
    forgotten = [
        name
        for name, plain in usual.items()
        if name in known and getattr(params, name) in (plain, None)
    ]
    return replace(params, **{name: known[name] for name in forgotten})


def iter_pictures(rows: Sequence[BatchRow]) -> Generator[Progress, None, None]:
    """Draw small pictures of the images for which that is quick."""
    for number, row in enumerate(rows[:_MOST_PICTURES]):
        picture = None
        try:
            if row.path.is_file() and row.path.stat().st_size <= _CHEAP_BYTES:
                picture = draw(read_image(row.path))
        except (NapariSegError, OSError, MemoryError):
            pass  # the run says what is wrong with it
        yield Thumbnail("thumbnail", number, len(rows), None, "", row.name, picture)


def iter_pair(row: BatchRow) -> Generator[Progress, None, Pair]:
    """Read an image, and its labels if there are any."""
    yield Progress("open", 0, 1)
    data = read_image(row.path)
    labels: Any = None
    if row.target.is_file():
        stored = read_labels(row.target)
        # In the file they are in the order T, Z, Y, X.
        axes = spatial_axes(data.axes)
        labels = np.asarray(stored.array)
        if sorted(axes) == sorted(stored.axes):
            labels = labels.transpose([stored.axes.index(a) for a in axes])
    return Pair(row.name, data, limits_of(data), labels)
