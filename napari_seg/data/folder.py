"""A folder of images that is worked through, one image after the other.

The labels go into a data set (`data/dataset.py`) beside the folder or elsewhere, which
is at the same time the memory of how far each image is. Nothing else is written.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.data.annotated import EDITED, PROPOSED, VERIFIED, AnnotatedImage
from napari_seg.data.dataset_index import INDEX, DatasetItem, read_index
from napari_seg.data.dataset_update import save_item
from napari_seg.data.io import IMAGE_SUFFIXES, read_image, read_labels
from napari_seg.data.limits import inside
from napari_seg.data.provenance import Provenance
from napari_seg.errors import DatasetError
from napari_seg.imaging.axes import spatial_axes

if TYPE_CHECKING:
    from napari_seg.data.image_data import ImageData


class ImageState(enum.Enum):
    """How far an image is."""

    UNTOUCHED = "untouched"
    PREDICTED = "predicted"
    CORRECTING = "being corrected"
    VERIFIED = "verified"


@dataclass(frozen=True)
class FolderImage:
    """An image of the folder, and what is known of its labels."""

    name: str
    """Names it in the list and in the data set."""
    path: Path
    state: ImageState = ImageState.UNTOUCHED
    objects: int = 0
    """Objects its labels have."""
    verified: int = 0
    """Objects somebody has called correct."""
    time_spent_s: float = 0.0
    """Time of the annotator."""


@dataclass(frozen=True)
class Work:
    """Labels of one image, as they are saved."""

    labels: NDArray[np.integer]
    """Ids with the axes of the image without C."""
    is_verified: bool = False
    """Whether the image as a whole is correct: nothing missing, nothing wrong."""
    verified: frozenset[int] = frozenset()
    """Objects that are correct."""
    edited: frozenset[int] = frozenset()
    """Objects that were changed."""
    scores: Mapping[int, float] = field(default_factory=dict)
    """How sure the network was of each."""
    uncertainties: Mapping[int, float] = field(default_factory=dict)
    """How unsure, where it says so of every pixel."""
    provenance: Provenance = field(default_factory=Provenance)
    """How they were made; `edits` and `time_spent_s` of all sessions together."""


@dataclass(frozen=True)
class Opened:
    """An image read from disk, with the labels it had."""

    name: str
    path: Path
    data: ImageData
    labels: NDArray[np.int32] | None = None
    """With the axes of the image without C; None if there are none yet."""
    item: DatasetItem | None = None
    """What the data set says of them."""


class ImageFolder:
    """Images of one folder, and the data set with their labels.

    Parameters
    ----------
    folder : path-like
        With TIFF, PNG, OME-TIFF, OME-Zarr, CZI, ND2, LIF; folders in it are not
        looked into.
    out : path-like, optional
        The data set; by default beside the folder, ``<folder>-labels``.

    Raises
    ------
    DatasetError
        If there is no such folder, no image in it, or `out` is no data set.
    """

    def __init__(self, folder: str | Path, out: str | Path | None = None) -> None:
        self.folder = Path(folder).absolute()
        self.out = Path(out) if out else default_out(self.folder)
        self.paths = name_images(list_images(self.folder))
        self.images = self._look()

    def open(self, name: str) -> Opened:
        """Read an image, and its labels if it has some.

        Raises
        ------
        NapariSegError
            If a file cannot be read, or the labels are not of the image.
        """
        data = read_image(self.paths[name])
        item = self._items().get(name)
        if item is None:
            return Opened(name, self.paths[name], data)
        stored = read_labels(inside(self.out, item.labels))
        axes = spatial_axes(data.axes)
        labels = np.asarray(stored.array)
        if sorted(stored.axes) == sorted(axes):
            labels = labels.transpose([stored.axes.index(a) for a in axes])
        sizes = zip(data.axes, data.array.shape, strict=True)
        expected = tuple(n for a, n in sizes if a != "C")
        if labels.shape != expected:
            raise DatasetError(
                f"the labels of {name} in {self.out} are of another image",
                f"labels {labels.shape}, image {expected}",
                "Choose another folder for the labels, or put the image back.",
            )
        return Opened(name, self.paths[name], data, np.array(labels, np.int32), item)

    def save(self, name: str, data: ImageData, work: Work) -> FolderImage:
        """Write the labels of an image into the data set, all of them or none."""
        ids = np.unique(work.labels)
        found = frozenset(ids[ids > 0].tolist())
        verified = found if work.is_verified else work.verified & found
        states = dict.fromkeys(found, PROPOSED) | dict.fromkeys(
            work.edited & found, EDITED
        )
        # 0 stands for the background, which nobody has called correct yet: even an
        # image without objects must not be taken for a verified one.
        ignored = frozenset() if work.is_verified else (found - verified) | {0}
        item = save_item(
            self.out,
            AnnotatedImage(
                name,
                work.labels.astype(np.int32, copy=False),
                data.axes,
                data.array,
                data.spacing,
                states=states | dict.fromkeys(verified, VERIFIED),
                scores={i: s for i, s in work.scores.items() if i in found},
                uncertainties={
                    i: u for i, u in work.uncertainties.items() if i in found
                },
                ignored=ignored,
                provenance=work.provenance,
            ),
        )
        return _entry(name, self.paths[name], item)

    def _look(self) -> list[FolderImage]:
        items = self._items()
        return [
            _entry(name, path, items.get(name)) for name, path in self.paths.items()
        ]

    def _items(self) -> dict[str, DatasetItem]:
        if not (self.out / INDEX).exists():
            return {}
        return {item.name: item for item in read_index(self.out)}


def default_out(folder: Path) -> Path:
    """Return where the labels of a folder go if nobody says otherwise."""
    return folder.with_name(f"{folder.name}-labels")


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder, numbers in their names sorted as numbers.

    Raises
    ------
    DatasetError
        If there are none.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder", remedy="Check the path.")
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    if not found:
        raise DatasetError(
            f"there is no image in {folder}",
            f"no {', '.join(IMAGE_SUFFIXES)}",
            "Choose the folder the images themselves are in.",
        )
    return sorted(found, key=lambda path: _natural(path.name))


def name_images(paths: list[Path]) -> dict[str, Path]:
    """Name images after their files, with the suffix where that is not enough."""
    stems = Counter(_stem(path) for path in paths)
    return {
        _stem(path) if stems[_stem(path)] == 1 else path.name: path for path in paths
    }


def state_of(item: DatasetItem | None) -> ImageState:
    """Tell from its entry how far an image is."""
    if item is None:
        return ImageState.UNTOUCHED
    if item.correct_ids is None:
        return ImageState.VERIFIED
    touched = any(state != PROPOSED for state in item.states.values())
    is_corrected = touched or bool(item.provenance.edits)
    return ImageState.CORRECTING if is_corrected else ImageState.PREDICTED


def changed_ids(before: NDArray[Any], after: NDArray[Any]) -> frozenset[int]:
    """Return the objects of either that are not the same in both."""
    differs = before != after
    found = np.union1d(before[differs], after[differs])
    return frozenset(found[found > 0].tolist())


def _entry(name: str, path: Path, item: DatasetItem | None) -> FolderImage:
    if item is None:
        return FolderImage(name, path)
    states = Counter(item.states.values())
    return FolderImage(
        name,
        path,
        state_of(item),
        sum(states.values()),
        states[VERIFIED],
        item.provenance.time_spent_s,
    )


def _stem(path: Path) -> str:
    """Name without suffix; ``.ome.tif`` and ``.ome.zarr`` are one."""
    stem = path.stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key: cells_2 before cells_10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
