"""What part of an image layer the user sees."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image


def full_data(layer: Image) -> Any:
    """Return the data at full resolution, as the layer holds it."""
    return layer.data[0] if layer.multiscale else layer.data


def displayed_axes(viewer: ViewerModel, layer: Image) -> tuple[int, ...]:
    """Return the layer's axes on the canvas; napari aligns the last ones."""
    missing = viewer.dims.ndim - layer.ndim
    return tuple(i - missing for i in viewer.dims.displayed if i >= missing)


def shown_point(viewer: ViewerModel, layer: Image) -> np.ndarray:
    """Return the pixel the sliders stand on, one number per layer axis."""
    return np.asarray(layer.world_to_data(viewer.dims.point), dtype=float)


def seen_corners(viewer: ViewerModel, layer: Image) -> np.ndarray:
    """Return first and last visible pixel, (2, ndim), at full resolution."""
    corners = np.asarray(layer.corner_pixels, dtype=float)
    if not layer.multiscale:
        return corners
    # Here napari's corners are of the part it has loaded, which may be far larger
    # than what is seen; they serve only where there is no canvas to ask.
    seen = _corners_on_canvas(viewer, layer)
    if seen is not None:
        return seen
    factor = layer.downsample_factors[layer.data_level]
    return np.stack([corners[0], corners[1] + 1]) * factor - [[0], [1]]


def _corners_on_canvas(viewer: ViewerModel, layer: Image) -> np.ndarray | None:
    """Return the box of pixels around the canvas, or None without a canvas."""
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    if canvas is None:
        return None
    camera = viewer.scene.camera
    half = np.asarray(canvas.size) / camera.zoom / 2
    shown = list(viewer.dims.displayed)
    pixels = []
    for signs in product((-1, 1), repeat=2):
        point = np.asarray(viewer.dims.point, dtype=float)
        point[shown] = np.asarray(camera.center[-2:]) + half * signs
        pixels.append(layer.world_to_data(point))
    last = np.asarray(full_data(layer).shape[: layer.ndim]) - 1
    box = [np.floor(np.min(pixels, axis=0)), np.ceil(np.max(pixels, axis=0))]
    return np.clip(box, 0, last)


def middle_of_view(viewer: ViewerModel, layer: Image) -> np.ndarray:
    """Return the pixel in the middle of the canvas, one number per layer axis."""
    middle = shown_point(viewer, layer)
    if viewer.dims.ndisplay == 2:
        shown = list(displayed_axes(viewer, layer))
        middle[shown] = seen_corners(viewer, layer).mean(axis=0)[shown]
    return middle
