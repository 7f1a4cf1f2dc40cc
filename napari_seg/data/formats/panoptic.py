"""COCO panoptic: one PNG a plane whose colours are ids, and a JSON file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.data.annotated import STATES, AnnotatedImage
from napari_seg.data.formats.coco_index import (
    Categories,
    Documents,
    image_entry,
    load_index,
    open_image,
    understood,
)
from napari_seg.data.formats.files import Names, new_folder, write_plane
from napari_seg.data.formats.outlines import pieces
from napari_seg.data.limits import inside
from napari_seg.errors import FormatError

STEM = "panoptic"
LARGEST_ID = 2**24 - 1


def write_panoptic(items: Iterable[AnnotatedImage], out: Path) -> None:
    """Write ``panoptic.json``, ``panoptic/*.png`` and ``images/``.

    Background and ignored objects are void (0), which the scores leave out.

    Raises
    ------
    FormatError
        If an id is above 16,777,215: three bytes hold no more.
    """
    documents, names = Documents(STEM), Names()
    image_id = 0
    with new_folder(out) as folder:
        for item in (plane for each in items for plane in each.planes()):
            image_id += 1
            name = names.take(item)
            file_name = write_plane(folder / "images", name, item)
            segments = folder / documents.stem(item.split)
            segments.mkdir(exist_ok=True)
            _save(segments / f"{name}.png", item)
            described = {
                "image_id": image_id,
                "file_name": f"{name}.png",
                "segments_info": _segments(item, documents.categories),
            }
            documents.add(
                item.split, image_entry(image_id, file_name, item), [described]
            )
        documents.write(folder)


def _save(path: Path, item: AnnotatedImage) -> None:
    from PIL import Image

    ids = item.kept
    if ids.max(initial=0) > LARGEST_ID:
        raise FormatError(
            f"COCO panoptic cannot hold the ids of {item.name}",
            f"id {ids.max()}, at most {LARGEST_ID}",
            "Renumber the objects, or choose another format.",
        )
    colours = np.stack([(ids >> shift) & 255 for shift in (0, 8, 16)], axis=-1)
    Image.fromarray(colours.astype(np.uint8)).save(path)


def _segments(item: AnnotatedImage, categories: Categories) -> list[dict[str, Any]]:
    found = []
    for piece in pieces(item.kept):
        number = piece.object_id
        entry: dict[str, Any] = {
            "id": number,
            "category_id": categories.number(item.class_of(number)),
            "area": int(np.count_nonzero(piece.mask)),
            "bbox": [
                piece.box[1].start,
                piece.box[0].start,
                *piece.mask.shape[::-1],
            ],
            "iscrowd": 0,
        }
        if number in item.states:
            entry["state"] = item.states[number]
        found.append(entry)
    return found


def read_panoptic(path: Path, images: Path | None = None) -> Iterator[AnnotatedImage]:
    """Read COCO panoptic; see `read_coco`.

    Segments are objects of their own; crowds are ignored objects.

    Raises
    ------
    FormatError
        If the PNG holds ids that the JSON does not name, or the other way round.
    """
    for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        entries, annotations, classes = load_index(file)
        for key, entry in entries.items():
            with understood(file):
                item = open_image(entry, file.parent, images)
                (described,) = annotations[key]
                labels = _load(inside(file.with_suffix(""), described["file_name"]))
                segments = {s["id"]: s for s in described["segments_info"]}
                _check(labels, segments, len(described["segments_info"]), item.name)
                yield replace(
                    item,
                    labels=labels,
                    classes={i: classes[s["category_id"]] for i, s in segments.items()},
                    states={
                        i: s["state"]
                        for i, s in segments.items()
                        if s.get("state") in STATES
                    },
                    ignored=frozenset(
                        i for i, s in segments.items() if s.get("iscrowd")
                    ),
                )


def _load(path: Path) -> NDArray[np.int32]:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            colours = np.asarray(picture.convert("RGB")).astype(np.int32)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FormatError(
            f"cannot read {path.name} as a picture",
            str(error) or type(error).__name__,
            "Export it again.",
        ) from error
    return colours @ np.array([1, 2**8, 2**16], np.int32)


def _check(
    labels: NDArray[np.int32], segments: dict[int, Any], count: int, name: str
) -> None:
    """Refuse ids that are named twice, or on one side only."""
    drawn = set(np.unique(labels).tolist()) - {0}
    if count != len(segments) or drawn != set(segments):
        differing = sorted(drawn ^ set(segments))[:5]
        raise FormatError(
            f"the PNG and the JSON of {name} do not name the same objects",
            f"ids {differing}" if differing else "an id is there twice",
            "Nothing was read: export it again.",
        )
