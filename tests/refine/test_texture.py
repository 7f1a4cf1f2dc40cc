"""An object that differs from its surroundings only by how busy it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seg import graph_cut
from napari_seg.refine.channels import busyness, slope
from napari_seg.refine.strokes import disc


def speckled(side: int, radius: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return noise that is strong in a disc and faint around it, and the disc."""
    y, x = np.indices((side, side)) - side // 2
    truth = np.hypot(y, x) < radius
    grain = ndimage.gaussian_filter(
        np.random.default_rng(0).standard_normal((side, side)), 0.7
    )
    return (grain * np.where(truth, 1.0, 0.25)).astype(np.float32), truth


def test_busyness_tells_strong_from_faint_grain() -> None:
    image, truth = speckled(200, 40)
    busy = busyness(slope(image[None], (1.0, 1.0)), 2.0, 0.1)
    inside = ndimage.binary_erosion(truth, iterations=5)
    outside = ~ndimage.binary_dilation(truth, iterations=5)
    assert np.percentile(busy[inside], 5) > np.percentile(busy[outside], 95)


def test_two_clicks_find_an_object_by_its_texture() -> None:
    image, truth = speckled(200, 40)
    mask = graph_cut(image, disc((100, 100), 2.0), disc((100, 155), 2.0))
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8
