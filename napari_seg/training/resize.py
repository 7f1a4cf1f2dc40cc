"""Bring an image and its labels to another magnification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.transform import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray


def resize_image(
    image: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Resample (C, [Z,] Y, X) linearly to new rows and columns, anti-aliased."""
    out = resize(
        image, (*image.shape[:-2], *shape), order=1, mode="reflect", anti_aliasing=True
    )
    return np.asarray(out, np.float32)


def resize_labels(
    labels: NDArray[np.int32], shape: tuple[int, int]
) -> NDArray[np.int32]:
    """Resample ids ([Z,] Y, X) to new rows and columns by the nearest pixel."""
    size = (*labels.shape[:-2], *shape)
    out = resize(labels, size, order=0, anti_aliasing=False, preserve_range=True)
    return np.asarray(out, np.int32)


def resize_pair(
    image: NDArray[np.float32], labels: NDArray[np.int32], zoom: float
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Both, by a factor of new pixels per old pixel; planes stay as they are."""
    rows, cols = (max(round(n * zoom), 1) for n in labels.shape[-2:])
    return resize_image(image, (rows, cols)), resize_labels(labels, (rows, cols))
