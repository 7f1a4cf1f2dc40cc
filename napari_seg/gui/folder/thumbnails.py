"""Small pictures of the images of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_seg.data.folder import FolderImage
from napari_seg.data.image_data import ImageData
from napari_seg.data.io import read_image
from napari_seg.errors import NapariSegError
from napari_seg.gui.jobs import JobGenerator
from napari_seg.types import Progress

SIDE_PX = 44


@dataclass(frozen=True)
class Thumbnail(Progress):
    """A picture that is ready."""

    name: str = ""
    picture: np.ndarray | None = None
    """Of uint8, shape (rows, columns, 3); None if the image cannot be read."""


def iter_thumbnails(images: Sequence[FolderImage]) -> JobGenerator:
    """Read images one after the other; yields a `Thumbnail` each."""
    for number, image in enumerate(images):
        yield Thumbnail("thumbnail", number, len(images), None, "", *_of(image))


def _of(image: FolderImage) -> tuple[str, np.ndarray | None]:
    try:
        return image.name, draw(read_image(image.path, lazy_bytes=0))
    except (NapariSegError, OSError, MemoryError):
        return image.name, None


def draw(data: ImageData) -> np.ndarray:
    """Draw the middle plane, between its 1st and its 99.8th percentile.

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
        The first channel in grey, or the colours where there are three; the longer
        side has at most `SIDE_PX` pixels.
    """
    axes, shape = data.axes, data.array.shape
    sizes = dict(zip(axes, shape, strict=True))
    step = max(1, -(-max(sizes["Y"], sizes["X"]) // SIDE_PX))
    index = tuple(
        slice(step // 2, None, step)
        if letter in "YX"
        else slice(0, 3)
        if letter == "C"
        else size // 2
        for letter, size in zip(axes, shape, strict=True)
    )
    left = [letter for letter in axes if letter in "CYX"]
    part = np.asarray(data.array[index], dtype=np.float32)
    part = part.transpose([left.index(letter) for letter in "YXC" if letter in left])
    if part.ndim == 2 or part.shape[-1] < 3:
        part = np.repeat(part.reshape(*part.shape[:2], -1)[..., :1], 3, axis=-1)
    low, high = np.percentile(part, (1, 99.8)) if part.size else (0.0, 1.0)
    scaled = (part - low) / max(float(high - low), 1e-12)
    return (np.clip(scaled, 0, 1) * 255).astype(np.uint8)
