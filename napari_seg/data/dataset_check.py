"""Whether a data set is whole, and how to mend one that is not."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.data.dataset import PARTS, STAGING
from napari_seg.data.dataset_index import (
    INDEX,
    DatasetItem,
    array_sha256,
    locked,
    read_index,
    write_index,
)
from napari_seg.data.io import read_image, read_labels
from napari_seg.data.limits import inside
from napari_seg.errors import FormatError, NapariSegError
from napari_seg.imaging.axes import spatial_shape

if TYPE_CHECKING:
    from napari_seg.data.image_data import ImageData

_ABANDONED_S = 3600.0


def check_dataset(path: str | Path) -> list[str]:
    """Compare the index of a data set with its files.

    Parameters
    ----------
    path : path-like
        The folder.

    Returns
    -------
    list of str
        One line per problem: missing or damaged files, values that changed, shapes
        that do not fit, names that are there twice, groups on both sides of the
        split, files nobody names, an addition that was cut off. Empty: all is well.

    Raises
    ------
    DatasetError
        If there is no index.
    """
    folder = Path(path)
    items = read_index(folder)
    problems = [problem for item in items for problem in _check_item(folder, item)]
    names = Counter(item.name for item in items)
    problems += [f"{n}: {c} items of this name" for n, c in names.items() if c > 1]
    problems += _check_split(items)
    return problems + _strays(folder, items)


def repair_dataset(path: str | Path) -> list[str]:
    """Drop items whose files are missing or lead out of the folder.

    Files that no item names are left alone and not added; items whose values changed
    stay, for only a person can tell which are right.

    Parameters
    ----------
    path : path-like
        The folder.

    Returns
    -------
    list of str
        One line per change; empty: nothing was written. The index before is kept as
        ``dataset.json.bak``, ``dataset.json.bak2``, ...
    """
    folder = Path(path)
    with locked(folder):
        items = read_index(folder)
        whole = [item for item in items if not _missing(folder, item)]
        if len(whole) == len(items):
            return []
        backup = _backup(folder)
        write_index(folder, whole)
    lines = [
        f"{item.name}: dropped, {'; '.join(_missing(folder, item))}"
        for item in items
        if item not in whole
    ]
    return [*lines, f"the index before is in {backup.name}"]


def _files(item: DatasetItem) -> dict[str, str]:
    named = zip(PARTS, (item.image, item.labels, item.weights), strict=True)
    return {part: name for part, name in named if name or part != "weights"}


def _missing(folder: Path, item: DatasetItem) -> list[str]:
    """Say which files of an item are not there."""
    found = []
    for name in _files(item).values():
        try:
            if not inside(folder, name).exists():
                found.append(f"{name} is missing")
        except FormatError as error:
            found.append(str(error))
    return found


def _check_item(folder: Path, item: DatasetItem) -> Iterator[str]:
    missing = _missing(folder, item)
    if missing:
        yield from (f"{item.name}: {problem}" for problem in missing)
        return
    try:
        image = read_image(folder / item.image)
        labels = read_labels(folder / item.labels)
        files = [(item.image, image, item.image_sha256)]
        files += [(item.labels, labels, item.labels_sha256)]
        for name, data, expected in files:
            if expected and array_sha256(np.asarray(data.array)) != expected:
                yield f"{item.name}: {name} is not what was added (sha256 differs)"
        yield from _check_shapes(folder, item, image, labels)
    except NapariSegError as error:
        yield f"{item.name}: {error}"
        return
    ids = set(np.unique(np.asarray(labels.array)).tolist())
    unknown = sorted(set(item.states) - ids)
    if unknown:
        yield f"{item.name}: states of objects that are not there: {unknown[:5]}"


def _check_shapes(
    folder: Path, item: DatasetItem, image: ImageData, labels: ImageData
) -> Iterator[str]:
    expected = spatial_shape(image.axes, image.array.shape)
    found = {item.labels: labels.array.shape}
    if item.weights:
        found[item.weights] = read_image(folder / item.weights).array.shape
    for name, shape in found.items():
        if tuple(shape) != expected:
            yield (
                f"{item.name}: {name} has the shape {tuple(shape)}, "
                f"the image {expected} without channels"
            )


def _check_split(items: list[DatasetItem]) -> Iterator[str]:
    sides: dict[str, set[str]] = {}
    for item in items:
        if item.split:
            sides.setdefault(item.group or item.name, set()).add(item.split)
    for group, found in sides.items():
        if len(found) > 1:
            yield f"group {group} is on both sides of the split"


def _strays(folder: Path, items: list[DatasetItem]) -> list[str]:
    named = {Path(name) for item in items for name in _files(item).values()}
    problems = [
        f"{file.relative_to(folder).as_posix()} is in no item; it is not used"
        for part in PARTS
        for file in sorted((folder / part).glob("*"))
        if file.relative_to(folder) not in named
    ]
    old = time.time() - _ABANDONED_S
    return problems + [
        f"{left.name} is what remains of an addition that was cut off; delete it"
        for left in sorted(folder.glob(f"{STAGING}*"))
        if left.stat().st_mtime < old
    ]


def _backup(folder: Path) -> Path:
    """Copy the index to a name that is free."""
    number, target = 1, folder / f"{INDEX}.bak"
    while target.exists():
        number += 1
        target = folder / f"{INDEX}.bak{number}"
    shutil.copy2(folder / INDEX, target)
    return target
