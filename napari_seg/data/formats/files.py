"""What the formats share: folders that appear whole, images beside annotations."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.data.io import READABLE_SUFFIXES, read_image, write_picture
from napari_seg.data.limits import inside
from napari_seg.errors import FormatError
from napari_seg.files import atomic_path

if TYPE_CHECKING:
    from napari_seg.data.annotated import AnnotatedImage
    from napari_seg.data.image_data import ImageData

IMAGE_FOLDERS = ("", "images")
"""Where images may lie, seen from the annotations."""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `out` when the block succeeds.

    Raises
    ------
    FormatError
        If there is something at `out` already, or it cannot be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FormatError(
            f"{out} exists already",
            remedy="Nothing was overwritten: choose another --out.",
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise FormatError(
            f"cannot write {out}", str(error), "Choose a folder that can be written to."
        ) from error
    try:
        # mkdtemp makes folders private; a result should be as shareable as any other
        inner = temporary / "out"
        inner.mkdir()
        yield inner
        if out.exists():
            out.rmdir()
        inner.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(out: Path) -> Iterator[Path]:
    """Give a temporary file that becomes `out`; nothing is overwritten."""
    if out.exists():
        raise FormatError(
            f"{out} exists already",
            remedy="Nothing was overwritten: choose another --out.",
        )
    with atomic_path(out) as temporary:
        yield temporary


class Names:
    """Names for the files of items: no folders, nothing forbidden, none twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, item: AnnotatedImage) -> str:
        """Return the name for the files of an item.

        Raises
        ------
        FormatError
            If another item has it.
        """
        name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", item.name).strip(". ") or "image"
        if name.lower() in self._taken:
            raise FormatError(
                f"two images are called {item.name}",
                remedy="Rename one: their files would overwrite each other.",
            )
        self._taken.add(name.lower())
        return name


def write_plane(folder: Path, name: str, item: AnnotatedImage) -> str:
    """Write the image of a plane as PNG where that keeps every value, else as TIFF.

    Returns
    -------
    str
        Name of the file; it is written only if the item has an image.
    """
    image, axes = item.image, item.axes
    if image is None:
        return f"{name}.png"
    image = np.asarray(image)
    if axes == "CYX" and image.shape[0] == 3:
        image, axes = np.moveaxis(image, 0, -1), "YXC"
    is_colour = axes == "YXC" and image.shape[-1] == 3 and image.dtype == np.uint8
    is_grey = axes == "YX" and image.dtype in (np.uint8, np.uint16)
    folder.mkdir(parents=True, exist_ok=True)
    if not (is_colour or is_grey):
        write_picture(folder / f"{name}.tif", image, axes, item.spacing)
        return f"{name}.tif"
    from PIL import Image  # not needed for TIFF

    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.save(folder / f"{name}.png")
    return f"{name}.png"


def find_image(name: object, beside: Path, images: Path | None) -> ImageData | None:
    """Read the image that annotations name.

    Parameters
    ----------
    name : object
        File name, perhaps with folders; they may not lead out of `beside`.
    beside : pathlib.Path
        Folder of the annotations.
    images : pathlib.Path, optional
        Folder to look in instead.

    Returns
    -------
    ImageData or None
        None if it is nowhere.

    Raises
    ------
    FormatError
        If the name leads out of the folder, or the file cannot be read.
    """
    roots = [images] if images else [beside / part for part in IMAGE_FOLDERS]
    for root in roots:
        path = inside(root, name)
        if path.is_file():
            return read_image(path)
    return None


def image_of_stem(stem: str, folders: list[Path]) -> Path | None:
    """Find the image of a name without suffix."""
    for folder in folders:
        for suffix in READABLE_SUFFIXES:
            path = inside(folder, stem + suffix)
            if path.exists():
                return path
    return None


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    FormatError
        If it is none.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(
            f"cannot read {path.name} as JSON", str(error), "Export it again."
        ) from error
    if not isinstance(stored, dict):
        raise FormatError(f"{path.name} holds no JSON object", type(stored).__name__)
    return stored
