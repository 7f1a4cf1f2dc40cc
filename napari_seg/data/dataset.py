"""The data set on disk: images, labels, and an index that says what they are.

A folder with ``images/``, ``labels/``, perhaps ``weights/``, and ``dataset.json``.
Items are only ever added; the index names an item once all its files are there.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import napari_seg
from napari_seg.data.dataset_index import (
    INDEX,
    LOCK,
    DatasetItem,
    array_sha256,
    locked,
    read_index,
    write_index,
)
from napari_seg.data.io import (
    read_image,
    read_labels,
    write_image,
    write_labels,
    write_picture,
)
from napari_seg.errors import DatasetError, FormatError
from napari_seg.imaging.weight_blocks import iter_border_weights

if TYPE_CHECKING:
    from napari_seg.data.annotated import AnnotatedImage
    from napari_seg.imaging.weightmap import BorderWeights

STAGING = ".adding-"
"""Folders in which items wait until they are complete."""
PARTS = ("images", "labels", "weights")


def add_items(
    folder: str | Path,
    items: Iterable[AnnotatedImage],
    *,
    weights: BorderWeights | None = None,
    number_taken: bool = False,
) -> list[DatasetItem]:
    """Add images with labels to a data set, all of them or none.

    Parameters
    ----------
    folder : path-like
        The data set; it is begun if it is not there.
    items : iterable of AnnotatedImage
        Taken one at a time; each must have an image.
    weights : BorderWeights, optional
        If given, the border weights of each are written beside it.
    number_taken : bool
        What to do with a name that is there already: add the item under a new name
        (``cells-2``), or raise. Nothing is ever overwritten.

    Returns
    -------
    list of DatasetItem
        What was added.

    Raises
    ------
    DatasetError
        If a name is taken, or another program does not finish.
    FormatError
        If an item has no image, or the folder cannot be written to.
    """
    folder = Path(folder)
    is_new, had_folder = not (folder / INDEX).exists(), folder.exists()
    _begin(folder)
    staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=folder))
    try:
        staged = [
            _stage(staging / str(number), item, weights)
            for number, item in enumerate(items)
        ]
        with locked(folder):
            # Another writer that has failed may have taken the empty index away.
            known = read_index(folder) if (folder / INDEX).exists() else []
            added = _move_in(folder, staging, staged, known, number_taken)
            write_index(folder, [*known, *added])
        return added
    except BaseException:  # Ctrl+C, too
        shutil.rmtree(staging, ignore_errors=True)
        if is_new:
            _unmake(folder, had_folder)
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _begin(folder: Path) -> None:
    """Make sure that there is an index to add to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if (folder / INDEX).exists():
                return
            if any((folder / part).exists() for part in (*PARTS, "masks", "train")):
                raise DatasetError(
                    f"{folder} holds images that no {INDEX} names",
                    remedy="Choose an empty folder, or convert this one into another.",
                )
            write_index(folder, [])
    except OSError as error:
        raise FormatError(
            f"cannot write to {folder}",
            str(error),
            "Choose a folder that can be written to.",
        ) from error


def _unmake(folder: Path, had_folder: bool) -> None:
    """Remove a data set that was begun, if nothing has come or is coming into it."""
    with suppress(OSError), locked(folder):
        is_used = any((folder / part).exists() for part in PARTS)
        if is_used or any(folder.glob(f"{STAGING}*")) or read_index(folder):
            return
        (folder / INDEX).unlink()
    if not had_folder:
        with suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()


def _stage(
    staging: Path, item: AnnotatedImage, weights: BorderWeights | None
) -> DatasetItem:
    """Write the files of one item where nobody looks; return its entry so far."""
    if item.image is None:
        raise FormatError(
            f"{item.name} has no image",
            "only masks",
            "Give the folder of the images (--images).",
        )
    files = {part: staging / f"{part}.tif" for part in PARTS}
    write_picture(files["images"], item.image, item.axes, item.spacing)
    write_labels(files["labels"], item.labels, item.label_axes, item.spacing)
    if weights is not None:
        array = _weigh(item, weights)
        write_image(files["weights"], array, item.label_axes, item.spacing)
    # what counts is what is in the files, and they are better read once too often
    image, labels = read_image(files["images"]), read_labels(files["labels"])
    return replace(
        stage_item(item),
        weights="" if weights is None else "weights",
        axes=image.axes,
        spacing_um=image.spacing,
        image_sha256=array_sha256(np.asarray(image.array)),
        labels_sha256=array_sha256(np.asarray(labels.array)),
    )


def stage_item(item: AnnotatedImage) -> DatasetItem:
    """Return the entry of an image, as far as it does not depend on its files."""
    provenance = item.provenance
    software = provenance.software or f"napari-seg {napari_seg.__version__}"
    return DatasetItem(
        name=item.name,
        split=item.split or None,
        group=item.group,
        correct_ids=_correct(item),
        channels=item.channels,
        states=item.states,
        classes=item.classes,
        scores=item.scores,
        uncertainties=item.uncertainties,
        provenance=replace(provenance, software=software),
    )


def _correct(item: AnnotatedImage) -> tuple[int, ...] | None:
    """Objects to learn from, where some are to be left out."""
    if not item.ignored:
        return None
    return tuple(i for i in item.ids if i not in item.ignored)


def _weigh(item: AnnotatedImage, weights: BorderWeights) -> NDArray[np.float32]:
    """Weights of each frame by itself: a cell has no neighbours in another one."""
    if not isinstance(item.labels, np.ndarray):
        spatial = [i for i, axis in enumerate(item.label_axes) if axis != "T"]
        return _weigh_blocks(item.labels, spatial, weights)
    if "T" not in item.label_axes:
        return weights.weigh(item.labels)
    time = item.label_axes.index("T")
    frames = np.moveaxis(item.labels, time, 0)
    return np.stack([weights.weigh(frame) for frame in frames], axis=time)


def _weigh_blocks(
    labels: Any, spatial: Sequence[int], weights: BorderWeights
) -> NDArray[np.float32]:
    """Weigh labels on disk, into a file that goes when it is no longer needed."""
    with tempfile.TemporaryFile() as file:
        room = np.memmap(file, np.float32, "w+", shape=labels.shape)
    for box, found in iter_border_weights(labels, spatial, weights):
        room[box] = found
    return room


def _move_in(
    folder: Path,
    staging: Path,
    staged: list[DatasetItem],
    known: list[DatasetItem],
    number_taken: bool,
) -> list[DatasetItem]:
    """Rename the files into place; only under `locked`."""
    names = {item.name for item in known}
    plan: list[DatasetItem] = []
    for item in staged:
        if item.name in names and not number_taken:
            raise DatasetError(
                f"{folder} has an item called {item.name} already",
                remedy="Nothing was overwritten: choose another name or data set.",
            )
        name = _free(item.name, names, folder)
        names.add(name)
        plan.append(_placed(item, name))
    for number, item in enumerate(plan):
        for part in PARTS:
            source = staging / str(number) / f"{part}.tif"
            if source.exists():
                target = folder / part / f"{_stem(item.name)}.tif"
                target.parent.mkdir(exist_ok=True)
                source.rename(target)
    return plan


def _placed(item: DatasetItem, name: str) -> DatasetItem:
    file = f"{_stem(name)}.tif"
    return replace(
        item,
        name=name,
        image=f"images/{file}",
        labels=f"labels/{file}",
        weights=f"weights/{file}" if item.weights else "",
    )


def _free(name: str, taken: set[str], folder: Path) -> str:
    """Return the name, numbered until neither an item nor a stray file has it."""
    stems = {_stem(other).lower() for other in taken}
    candidate, number = name, 1
    while _stem(candidate).lower() in stems or any(
        (folder / part / f"{_stem(candidate)}.tif").exists() for part in PARTS
    ):
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def _stem(name: str) -> str:
    """Name of the files of an item: no folders, and nothing Windows forbids."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).strip(". ") or "item"
