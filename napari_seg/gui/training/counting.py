"""How much there is to learn from, and copies that edits cannot reach."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_seg.errors import NapariSegError
from napari_seg.gui.training.data import Amount, Part
from napari_seg.imaging.axes import guess_axes, iter_planes, plane_selection
from napari_seg.training.checked import Checked
from napari_seg.training.folders import folder_sources
from napari_seg.training.sources import ArraySource, FileSource
from napari_seg.types import Progress


@dataclass(frozen=True)
class Counted(Progress):
    """The amount of one row, or why it cannot be read."""

    key: str = ""
    amount: Amount | None = None
    problem: str = ""


def iter_count(parts: Mapping[str, Part]) -> Generator[Progress, None, None]:
    """Count rows; for a thread, as files are read.

    Yields
    ------
    Progress
        After every plane, and a `Counted` after every row.
    """
    for done, (key, part) in enumerate(parts.items(), start=1):
        try:
            amount = yield from _iter_amount(part)
        except (NapariSegError, OSError) as error:
            yield Counted("count", done, len(parts), key=key, problem=str(error))
        else:
            yield Counted("count", done, len(parts), key=key, amount=amount)


def iter_snapshot(
    parts: Sequence[Part],
) -> Generator[Progress, None, list[ArraySource | Path]]:
    """Copy labels that could be edited while a training reads them, plane by plane.

    Images, and arrays that are no NumPy arrays, are handed on as they are.
    """
    taken: list[ArraySource | Path] = []
    for part in parts:
        if isinstance(part, ArraySource) and isinstance(part.labels, np.ndarray):
            copy = np.empty(part.labels.shape, part.labels.dtype)
            for index in np.ndindex(copy.shape[:-2]):
                copy[index] = part.labels[index]
                yield Progress("load", 0, 0, message="Copying labels")
            part = replace(part, labels=copy)
        taken.append(part)
    return taken


def _iter_amount(part: Part) -> Generator[Progress, None, Amount]:
    sources: Sequence[ArraySource | FileSource] = (
        folder_sources(part) if isinstance(part, Path) else [part]
    )
    total = Amount()
    for source in sources:
        opened = source.open() if isinstance(source, FileSource) else source
        for objects in _objects(opened):
            yield Progress("count", 0, 0)
            total = Amount(total.images + (objects > 0), total.objects + objects)
    return total


def _objects(source: ArraySource) -> Iterator[int]:
    """Count the objects of every plane that counts."""
    checked = source.checked or Checked()
    image_axes = source.axes or guess_axes(tuple(source.image.shape))
    axes = image_axes.replace("C", "")
    for number, plane in enumerate(iter_planes(axes, source.labels.shape)):
        if checked.uses_plane(number):
            labels = np.asarray(source.labels[plane_selection(axes, plane)])
            yield _distinct(labels, checked, number)


def _distinct(labels: np.ndarray, checked: Checked, number: int) -> int:
    ids = np.unique(labels[labels > 0])
    is_whole = checked.planes is not None and number in checked.planes
    if checked.ids is not None and not is_whole:
        ids = np.intersect1d(ids, list(checked.ids))
    return len(ids)
