"""COCO instances: polygons along pixel edges, run lengths where there are holes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
from napari_seg.data.formats.outlines import Piece, pieces, rings_of
from napari_seg.data.formats.overlaps import put
from napari_seg.data.limits import library
from napari_seg.errors import FormatError

STEM = "annotations"


def write_coco(items: Iterable[AnnotatedImage], out: Path) -> None:
    """Write ``annotations.json`` and ``images/``; stacks become one image a plane.

    Ignored objects are written with ``iscrowd`` 1, which COCO's scores leave out. The
    id of each object is kept as ``label_id``.
    """
    documents, names = Documents(STEM), Names()
    image_id = annotation_id = 0
    with new_folder(out) as folder:
        for item in (plane for each in items for plane in each.planes()):
            image_id += 1
            file_name = write_plane(folder / "images", names.take(item), item)
            annotations = []
            for piece in pieces(item.labels):
                annotation_id += 1
                ids = {"id": annotation_id, "image_id": image_id}
                annotations.append(ids | annotation(piece, item, documents.categories))
            entry = image_entry(image_id, file_name, item)
            documents.add(item.split, entry, annotations)
        documents.write(folder)


def annotation(
    piece: Piece, item: AnnotatedImage, categories: Categories
) -> dict[str, Any]:
    """Describe one object of a plane as COCO does, without the ids of the file."""
    number = piece.object_id
    crowd = number in item.ignored
    rows, columns = piece.box
    height, width = piece.mask.shape
    entry: dict[str, Any] = {
        "category_id": categories.number(item.class_of(number)),
        "segmentation": segmentation(piece, item.labels.shape, as_runs=crowd),
        "area": int(np.count_nonzero(piece.mask)),
        "bbox": [columns.start, rows.start, width, height],
        "iscrowd": int(crowd),
        "label_id": number,
    }
    for key, known in (("score", item.scores), ("state", item.states)):
        if number in known:
            entry[key] = known[number]
    return entry


def segmentation(piece: Piece, shape: tuple[int, ...], *, as_runs: bool = False) -> Any:
    """Return the outline of an object, one polygon a part, or run lengths.

    Parameters
    ----------
    piece : Piece
        The object.
    shape : tuple of int
        Rows and columns of the plane.
    as_runs : bool
        Run lengths also where polygons would do.

    Returns
    -------
    list of list of int, or dict
        Decoded by pycocotools, either gives exactly the mask.
    """
    if not as_runs:
        rings = rings_of(piece)
        if not rings.holes:
            return [ring.ravel().tolist() for ring in rings.outer]
    whole = np.zeros(shape, np.uint8, order="F")
    whole[piece.box] = piece.mask
    runs = library("pycocotools.mask").encode(whole)
    return {"size": list(shape), "counts": runs["counts"].decode("ascii")}


def read_coco(path: Path, images: Path | None = None) -> Iterator[AnnotatedImage]:
    """Read COCO instances.

    Parameters
    ----------
    path : pathlib.Path
        The JSON file, or the folder of some.
    images : pathlib.Path, optional
        Where the images lie; else beside the file or in ``images/``. An image that is
        not there leaves masks alone.

    Yields
    ------
    AnnotatedImage
        Ids are `label_id` where a file has them, else 1, 2, ... in its order. Crowds
        are ignored objects.

    Raises
    ------
    FormatError
        If objects overlap or share an id, a polygon leaves its image, a name leads out
        of the folder, or the file is damaged.
    """
    for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        entries, annotations, classes = load_index(file)
        for key, entry in entries.items():
            with understood(file):
                item = open_image(entry, file.parent, images)
                found = [(_id(a, i), a) for i, a in enumerate(annotations[key], 1)]
                yield _filled(item, found, classes)


def _id(entry: Mapping[str, Any], number: int) -> int:
    value = entry.get("label_id", number)
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"label_id {value!r}")
    return value


def _filled(
    item: AnnotatedImage,
    annotations: list[tuple[int, Mapping[str, Any]]],
    classes: Mapping[Any, str],
) -> AnnotatedImage:
    """Draw the objects into an image without any."""
    labels = item.labels.copy()
    seen: set[int] = set()
    for number, entry in annotations:
        if number in seen:
            raise FormatError(
                f"two objects of {item.name} have the id {number}",
                remedy="Nothing was read: give every object its own label_id.",
            )
        seen.add(number)
        mask = decode(entry["segmentation"], labels.shape)
        put(labels, mask, number, item.name)
    # An object that others cover is not there.
    there = set(np.unique(labels).tolist())
    known = {number: entry for number, entry in annotations if number in there}
    return replace(
        item,
        labels=labels,
        classes={i: classes[a["category_id"]] for i, a in known.items()},
        scores={i: float(a["score"]) for i, a in known.items() if "score" in a},
        states={i: a["state"] for i, a in known.items() if a.get("state") in STATES},
        ignored=frozenset(i for i, a in known.items() if a.get("iscrowd")),
    )


def decode(stored: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the mask of a segmentation.

    Polygons are filled by pycocotools, so that the mask is what others see. Run
    lengths are read here: its own reader takes memory, or shows memory that is not
    its own, for whatever a file says.

    Raises
    ------
    ValueError
        If a polygon leaves the image, or run lengths do not add up to it.
    """
    size = shape
    if isinstance(stored, list):
        coder = library("pycocotools.mask")
        polygons = [np.asarray(polygon, float).reshape(-1, 2) for polygon in stored]
        limit = np.array(shape[::-1]) + 1
        for corners in polygons:
            if len(corners) < 3 or not ((corners >= -1) & (corners <= limit)).all():
                raise ValueError("a polygon leaves its image, or has no area")
        runs = coder.frPyObjects([p.ravel().tolist() for p in polygons], *shape)
        counts = _counts(coder.merge(runs)["counts"])
    else:
        counts, size = stored["counts"], tuple(stored["size"])
        if not isinstance(counts, list):
            counts = _counts(counts.encode("ascii"))
    if size != shape or min(counts) < 0 or sum(counts) != np.prod(shape):
        raise ValueError(f"run lengths do not add up to the image {shape}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(shape[::-1]).T


def _counts(code: bytes) -> list[int]:
    """Read run lengths from COCO's text: five bits a character, low ones first."""
    counts: list[int] = []
    value = shift = 0
    for character in code:
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        # from the fourth on, what is written is the change from two before
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths are cut off")
    return counts
