"""A validation image with the outlines of truth and prediction, as a small picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.segmentation import find_boundaries

from napari_seg.training.progress import Picture

TRUTH = (64, 224, 96)
"""Colour of the true outlines, RGB."""
PREDICTION = (255, 72, 200)
"""Colour of the predicted outlines."""
BOTH = (255, 214, 64)
"""Colour where both run."""
UNKNOWN = 0.45
"""Brightness of what nobody has looked at, beside what is known."""
SIDE_PX = 288
"""Longest side; in a dock of this width outlines are a pixel wide."""
_DIM = 0.8
"""Brightness of the image, so that outlines stand out on bright objects."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture that was drawn in the thread, ready for the screen."""

    source: Picture
    """What it shows."""
    step: int
    """Step after which the network saw it so."""
    rgb: np.ndarray
    """Shape (Y, X, 3), uint8, C order."""


def draw(picture: Picture, step: int) -> Drawn:
    """Draw a picture; for a thread, as it takes some ten milliseconds."""
    factor = max(1, -(-max(picture.labels.shape) // SIDE_PX))
    grey = _grey(picture.image, factor)
    truth, labels = (a[::factor, ::factor] for a in (picture.truth, picture.labels))
    repeat = max(1, SIDE_PX // 2 // max(labels.shape))
    grey[truth < 0] *= UNKNOWN
    grey, truth, labels = (
        np.repeat(np.repeat(a, repeat, 0), repeat, 1) for a in (grey, truth, labels)
    )
    rgb = np.repeat((255 * _DIM * grey).astype(np.uint8)[..., None], 3, axis=2)
    true = find_boundaries(np.maximum(truth, 0), mode="inner")
    found = find_boundaries(labels, mode="inner")
    rgb[true] = TRUTH
    rgb[found] = PREDICTION
    rgb[true & found] = BOTH
    return Drawn(picture, step, np.ascontiguousarray(rgb))


def _grey(image: np.ndarray, factor: int) -> np.ndarray:
    """Return the image as 0..1, every `factor`-th pixel."""
    grey = np.nan_to_num(image[:, ::factor, ::factor].mean(axis=0))
    # Normalised values reach beyond 1 where the image is brightest.
    low, high = np.percentile(grey, (0.5, 99.7))
    return np.clip((grey - low) / max(high - low, 1e-6), 0, 1)
