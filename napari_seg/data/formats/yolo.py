"""YOLO segmentation: a text file an image, one polygon an object, scaled to 0..1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.formats.coco_index import Categories
from napari_seg.data.formats.files import (
    Names,
    image_of_stem,
    new_folder,
    write_plane,
)
from napari_seg.data.formats.outlines import filled, joined, pieces, rings_of
from napari_seg.data.formats.overlaps import put
from napari_seg.data.io import read_image
from napari_seg.data.limits import check_size
from napari_seg.errors import FormatError
from napari_seg.imaging.axes import spatial_shape

DESCRIPTION = "data.yaml"
SIDES = ("train", "val")
_LARGEST_TEXT = 256 * 2**20


def write_yolo(items: Iterable[AnnotatedImage], out: Path) -> None:
    """Write ``images/``, ``labels/`` and ``data.yaml``; stacks become planes.

    What has a side of the split goes to ``train/`` and ``val/`` inside these. Holes
    and parts are joined to one polygon by bridges without width. Ids are lost: line 1
    is object 1. Ignored objects are left out.
    """
    names, categories = Names(), Categories()
    sides: set[str] = set()
    with new_folder(out) as folder:
        for item in (plane for each in items for plane in each.planes()):
            sides.add(item.split)
            name = names.take(item)
            write_plane(folder / "images" / item.split, name, item)
            texts = folder / "labels" / item.split
            texts.mkdir(parents=True, exist_ok=True)
            lines = list(_lines(item, categories))
            (texts / f"{name}.txt").write_text("".join(lines), encoding="ascii")
        (folder / DESCRIPTION).write_text(_described(sides, categories), "utf-8")


def _lines(item: AnnotatedImage, categories: Categories) -> Iterator[str]:
    size = np.array(item.labels.shape[::-1], float)
    for piece in pieces(item.kept):
        number = categories.number(item.class_of(piece.object_id)) - 1
        ring = joined(rings_of(piece)) / size
        yield f"{number} {' '.join(f'{v:.9g}' for v in ring.ravel())}\n"


def _described(sides: set[str], categories: Categories) -> str:
    paths = {
        side: f"images/{side}" if side in sides else "images"
        for side in SIDES
        if side in sides or not sides & set(SIDES)
    }
    classes = {entry["id"] - 1: entry["name"] for entry in categories.entries()}
    return str(yaml.safe_dump({"path": ".", **paths, "names": classes}))


def read_yolo(path: Path, images: Path | None = None) -> Iterator[AnnotatedImage]:
    """Read YOLO polygons.

    Parameters
    ----------
    path : pathlib.Path
        The folder with ``labels/``, or one text file.
    images : pathlib.Path, optional
        Where the images lie, else in ``images/`` where the texts are in ``labels/``.

    Raises
    ------
    FormatError
        If an image is missing, polygons overlap, or a line is no polygon.
    """
    root = path if path.is_dir() else path.parent
    classes = _classes(root / DESCRIPTION)
    for file in sorted((root / "labels").rglob("*.txt")) if path.is_dir() else [path]:
        side = file.parent.name if file.parent.parent == root / "labels" else ""
        folders = [images] if images else [root / "images" / side, file.parent]
        picture = image_of_stem(file.stem, folders)
        if picture is None:
            raise FormatError(
                f"there is no image {file.stem} to the polygons",
                ", ".join(map(str, folders)),
                "Give its folder (--images): the polygons are relative to its size.",
            )
        data = read_image(picture)
        shape = spatial_shape(data.axes, data.array.shape)
        check_size(shape, 4, picture.name)
        if len(shape) != 2:
            raise FormatError(f"{picture.name} is no plane", f"shape {shape}")
        labels, known = _read_text(file, shape, classes)
        yield AnnotatedImage(
            file.stem,
            labels,
            data.axes,
            data.array,
            data.spacing,
            classes=known,
            split=side,
        )


def _classes(path: Path) -> dict[int, str]:
    if not path.is_file():
        return {}
    try:
        names: Any = yaml.safe_load(path.read_text("utf-8"))["names"]
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {int(number): str(name) for number, name in pairs}
    except (yaml.YAMLError, OSError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"cannot read {path.name}", str(error)) from error


def _read_text(
    file: Path, shape: tuple[int, ...], classes: dict[int, str]
) -> tuple[NDArray[np.int32], dict[int, str]]:
    labels, known = np.zeros(shape, np.int32), {}
    if file.stat().st_size > _LARGEST_TEXT:
        raise FormatError(f"{file.name} is too large", f"{file.stat().st_size} bytes")
    text = file.read_text("utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        try:
            first, *values = line.split()
            kind = int(first)
            ring = np.array(values, float).reshape(-1, 2)
        except ValueError as error:
            raise _no_polygon(file, number, str(error)) from error
        if len(ring) < 3 or not ((ring >= -0.01) & (ring <= 1.01)).all():
            raise _no_polygon(file, number, f"{len(ring)} corners, {line[:40]}")
        corners = np.round(ring * shape[::-1], 4)
        put(labels, filled([corners], (shape[0], shape[1])), number, file.name)
        known[number] = classes.get(kind, str(kind))
    return labels, known


def _no_polygon(file: Path, number: int, found: str) -> FormatError:
    return FormatError(
        f"line {number} of {file.name} is no polygon",
        found,
        "A line is a class and corners x y from 0 to 1, at least three.",
    )
