"""An image of the folder, with all that must not be worked out in the window."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_seg.data.folder import Opened
from napari_seg.data.image_data import ImageData


class Limits(NamedTuple):
    """How bright an image is shown."""

    all: tuple[float, float]
    """Darkest and brightest value: how far the slider goes."""
    shown: tuple[float, float]
    """What is shown black and white."""


class Prepared(NamedTuple):
    """An image that can be shown at once."""

    opened: Opened
    """The image with its labels, which will be corrected in place."""
    limits: Limits | None = None
    """How bright it is shown; without them napari looks at all of it."""
    base: np.ndarray | None = None
    """The labels as they were on disk."""


def prepare(opened: Opened) -> Prepared:
    """Look at an image and its labels; this may take a while."""
    base = None if opened.labels is None else np.array(opened.labels)
    return Prepared(opened, limits_of(opened.data), base)


def limits_of(data: ImageData) -> Limits | None:
    """Return how bright the middle plane is; None if it is of one value."""
    array = data.array
    index = tuple(
        slice(None) if letter in "YXC" else size // 2
        for letter, size in zip(data.axes, array.shape, strict=True)
    )
    plane = np.asarray(array[index])
    low, high = float(plane.min(initial=0)), float(plane.max(initial=0))
    if not high > low:
        return None
    # One hot pixel must not make all others black. Every other column is enough.
    columns = [letter for letter in data.axes if letter in "YXC"].index("X")
    some = plane.take(range(0, plane.shape[columns], 2), columns)
    dark, bright = (float(p) for p in np.percentile(some, (0.1, 99.8)))
    shown = (dark, bright) if bright > dark else (low, high)
    return Limits((low, high), shown)
