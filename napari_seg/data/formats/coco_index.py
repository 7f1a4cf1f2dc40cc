"""What COCO and COCO panoptic have in common: images, categories, their checks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg import __version__
from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.formats.files import find_image, load_json
from napari_seg.data.limits import check_size
from napari_seg.data.provenance import Provenance
from napari_seg.errors import FormatError
from napari_seg.imaging.axes import spatial_shape

if TYPE_CHECKING:
    from napari_seg.data.image_data import ImageData


class Categories:
    """Numbers of the classes, from 1 in the order of their first object."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        """Return the number of a class."""
        return self._numbers.setdefault(name, len(self._numbers) + 1)

    def entries(self) -> list[dict[str, Any]]:
        """Return them as COCO lists them."""
        named = self._numbers or {"object": 1}
        return [
            {"id": i, "name": n, "supercategory": "", "isthing": 1}
            for n, i in named.items()
        ]


class Documents:
    """The JSON files of an export: one, or one for each side of a split.

    Parameters
    ----------
    stem : str
        Of the files: ``stem.json``, or ``stem_train.json`` and ``stem_val.json``.
    """

    def __init__(self, stem: str) -> None:
        self.categories = Categories()
        self._stem = stem
        self._sides: dict[str, dict[str, list[Any]]] = {}

    def stem(self, split: str) -> str:
        """Return the name of the file for a side, without suffix."""
        return f"{self._stem}_{split}" if split else self._stem

    def add(self, split: str, image: Any, annotations: list[Any]) -> None:
        """Add an image and what is on it."""
        side = self._sides.setdefault(split, {"images": [], "annotations": []})
        side["images"].append(image)
        side["annotations"] += annotations

    def write(self, folder: Path) -> None:
        """Write all files."""
        info = {"description": "", "contributor": f"napari-seg {__version__}"}
        for split, side in (
            self._sides or {"": {"images": [], "annotations": []}}
        ).items():
            document: dict[str, Any] = {"info": info, "licenses": [], **side}
            document["categories"] = self.categories.entries()
            # json.dumps is in C where json.dump is not
            text = json.dumps(document, allow_nan=False)
            (folder / f"{self.stem(split)}.json").write_text(text, encoding="utf-8")


def image_entry(number: int, file_name: str, item: AnnotatedImage) -> dict[str, Any]:
    """Describe the image of a plane, with what COCO has no field for."""
    height, width = item.labels.shape
    entry = {"id": number, "file_name": file_name, "height": height, "width": width}
    extra = {
        "name": item.name,
        "group": item.group,
        "split": item.split,
        "spacing_um": item.spacing,
        "channels": list(item.channels),
        "provenance": item.provenance.as_dict(),
    }
    return entry | {key: value for key, value in extra.items() if value}


def open_image(
    entry: Mapping[str, Any], beside: Path, images: Path | None
) -> AnnotatedImage:
    """Find the image of an entry and return it without any object.

    Raises
    ------
    FormatError
        If the image has another size than the entry says, or that is too large.
    """
    shape = (int(entry["height"]), int(entry["width"]))
    name = entry["file_name"]
    found = find_image(name, beside, images)
    check_size(shape, 4, name)
    if found is None and images is not None:
        raise FormatError(f"{name} is not in {images}", remedy="Check --images.")
    if found is not None and spatial_shape(found.axes, found.array.shape) != shape:
        raise FormatError(
            f"the masks of {name} do not fit its image",
            f"masks {shape}, image {found.array.shape} ({found.axes})",
            "Give the image that the masks were made for.",
        )
    return _without_objects(entry, found, shape)


def _without_objects(
    entry: Mapping[str, Any], found: ImageData | None, shape: tuple[int, int]
) -> AnnotatedImage:
    spacing = found.spacing if found is not None else None
    stored = entry.get("spacing_um")
    item = AnnotatedImage(
        str(entry.get("name") or Path(str(entry["file_name"])).stem),
        np.zeros(shape, np.int32),
        spacing=spacing or (tuple(stored) if stored else None),
        channels=tuple(entry.get("channels", ())),
        group=str(entry.get("group", "")),
        split=str(entry.get("split", "")),
        provenance=Provenance.from_dict(entry.get("provenance", {})),
    )
    if found is None:
        return item
    return replace(item, image=found.array, axes=found.axes)


def load_index(
    path: Path,
) -> tuple[dict[Any, Any], dict[Any, list[Any]], dict[Any, str]]:
    """Read images, annotations by image, and class names of a COCO file.

    Raises
    ------
    FormatError
        If it is not one, or names an image twice.
    """
    stored = load_json(path)
    with understood(path):
        images: dict[Any, Any] = {}
        for entry in stored["images"]:
            if entry["id"] in images:
                raise FormatError(
                    f"{path.name} gives two images the id {entry['id']}",
                    remedy="Nothing was read: give every image its own id.",
                )
            images[entry["id"]] = entry
        annotations: dict[Any, list[Any]] = {key: [] for key in images}
        for annotation in stored["annotations"]:
            annotations[annotation["image_id"]].append(annotation)
        classes = {c["id"]: str(c["name"]) for c in stored.get("categories", ())}
    return images, annotations, classes


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Turn whatever a malformed file trips over into one clear error."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(
            f"{path.name} is not a COCO file that can be read",
            f"{type(error).__name__}: {error}",
            "Export it again, or check it with pycocotools.",
        ) from error
