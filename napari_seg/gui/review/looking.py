"""Move the sliders and the camera to what is doubtful."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.gui.correction.target import Target
from napari_seg.imaging.axes import PlaneIndex

FULL = 0.95
"""Share of the canvas an image spans."""

SMALLEST, BEST, LARGEST = 0.08, 0.15, 0.4
"""Share of the canvas an object may span before the zoom is changed, and then spans."""


def places(plane: PlaneIndex, row: float, column: float) -> dict[str, float]:
    """Return where a pixel of a plane is along each axis."""
    return {"T": plane.t, "Z": plane.z, "Y": row, "X": column}


def grid_pixel(target: Target, at: Mapping[str, float]) -> list[float]:
    """Return a pixel of the labels' grid."""
    return [at[letter] for letter in target.axes]


def look_at(
    viewer: ViewerModel,
    target: Target,
    plane: PlaneIndex,
    box: tuple[int, int, int, int],
) -> None:
    """Bring a box of one plane to the middle of the canvas.

    Parameters
    ----------
    viewer : ViewerModel
        Keeps its zoom, unless the box would be tiny or fill the canvas.
    target : Target
        The labels.
    plane : PlaneIndex
        The plane.
    box : tuple of int
        Half-open (y0, x0, y1, x1).
    """
    y0, x0, y1, x1 = box
    middle = places(plane, (y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2)
    corners = [
        _world(viewer, target, places(plane, row, column))
        for row, column in ((y0 - 0.5, x0 - 0.5), (y1 - 0.5, x1 - 0.5))
    ]
    world = _world(viewer, target, middle)
    go_to(viewer, target, world)
    shown = list(viewer.dims.displayed)
    viewer.scene.camera.center = tuple(world[shown])
    _zoom_to(viewer, float(np.ptp(corners, axis=0)[shown].max()))


def look_at_layer(viewer: ViewerModel, layer: Labels) -> None:
    """Let a layer fill the canvas."""
    shown = list(viewer.dims.displayed)
    low_high = np.zeros((2, viewer.dims.ndim))
    low_high[:, -layer.ndim :] = layer.extent.world
    sides = np.ptp(low_high, axis=0)[shown]
    camera = viewer.scene.camera
    camera.center = tuple(low_high.mean(axis=0)[shown])
    # Rows are on the vertical axis of the canvas.
    width, height = viewer.canvas.size[1], viewer.canvas.size[0]
    room = np.array([height, width]) / np.maximum(sides[-2:], 1e-12)
    camera.zoom = FULL * float(room.min())


def go_to_plane(viewer: ViewerModel, target: Target, plane: PlaneIndex) -> None:
    """Move the sliders of time and depth to a plane."""
    at = places(plane, 0, 0)
    world = _world(viewer, target, at)
    go_to(viewer, target, world, letters="TZ")


def go_to(
    viewer: ViewerModel, target: Target, world: np.ndarray, letters: str = "TZYX"
) -> None:
    """Move the sliders of what is not on the canvas; that of channels stays."""
    dims = viewer.dims
    missing = dims.ndim - target.layer.ndim
    moved = [
        missing + target.to_layer_axis(axis)
        for axis, letter in enumerate(target.axes)
        if letter in letters
    ]
    moved = [axis for axis in moved if axis not in dims.displayed]
    if moved:
        dims.set_point(moved, [float(world[axis]) for axis in moved])


def _world(viewer: ViewerModel, target: Target, at: Mapping[str, float]) -> np.ndarray:
    """Return a pixel in world coordinates, one for each slider of the viewer."""
    pixel = list(grid_pixel(target, at))
    if target.repeated is not None:
        pixel.insert(target.repeated, 0.0)
    world = np.asarray(viewer.dims.point, float).copy()
    world[-target.layer.ndim :] = target.layer.data_to_world(pixel)
    return world


def _zoom_to(viewer: ViewerModel, span: float) -> None:
    side = min(viewer.canvas.size)
    camera = viewer.scene.camera
    share = span * camera.zoom / side
    if span > 0 and not SMALLEST <= share <= LARGEST:
        camera.zoom = BEST * side / span
