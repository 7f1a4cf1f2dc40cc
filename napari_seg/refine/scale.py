"""How large a new object is: coarse looks around a click, from near and from far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.imaging.deltas import bounding_box
from napari_seg.refine.box import box_around, clipped, volume
from napari_seg.refine.energy import BACKGROUND, FOREGROUND, FREE
from napari_seg.refine.hints import flooded
from napari_seg.refine.pyramid import block_mean, shrink_factors
from napari_seg.refine.reading import unit_spread
from napari_seg.refine.regions import CONTRAST, outline_support
from napari_seg.refine.scene import CutParams, Known, Scene
from napari_seg.refine.strokes import Stroke, shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box
    from napari_seg.refine.volume import Volume


def first_box(
    image: Volume,
    strokes: Sequence[Stroke],
    known: Known,
    spacing: tuple[float, ...],
    params: CutParams,
    limits: Box,
) -> tuple[Box, bool]:
    """Return the box in which to cut a new object, and whether it is large enough.

    In a box smaller than the object all is noise, so the surroundings are looked at
    coarsely in windows of several sizes: the clearest outline tells the size.
    """
    points = np.concatenate([s.points for s in strokes])
    windows: list[Box] = []
    for wider in (1.0, *params.wider):
        window = box_around(points, image.shape, wider * params.margin_px, spacing)
        window = clipped(window, limits)
        if window not in windows:
            windows.append(window)
    best, most, fits = windows[0], 0.0, True
    limit = min(params.new_voxels, params.max_voxels)
    for window in windows if len(windows) > 1 else []:
        raw, scene = _look(image, window, strokes, known, spacing, params)
        region, rating = flooded(scene, scene.previous, 0.0)
        # Each window is scaled to its own spread, which must not decide.
        seen = outline_support(scene.image, region)
        unit = outline_support(raw, region) / seen if seen else 1.0
        rating *= unit ** (1 + CONTRAST)
        rating /= min(scene.spacing) ** params.nearness
        found = clipped(_around(region, window, spacing, params), limits)
        if rating <= most:
            continue
        # Plain ground floods without end; an answer there must not take long.
        fits = volume(found) <= limit
        best, most = found if fits else best, rating
    return best, fits


def _around(
    region: NDArray[np.bool_],
    window: Box,
    spacing: tuple[float, ...],
    params: CutParams,
) -> Box:
    """Return the box of a region in a coarse look at a window, with a margin."""
    sides = []
    for axis, seen in enumerate(bounding_box(region)):
        side = window[axis]
        cell = (side.stop - side.start) / region.shape[axis]
        low, high = side.start + cell * seen.start, side.start + cell * seen.stop
        pad = max(params.margin_px / spacing[axis], params.pad * (high - low))
        sides.append(slice(int(low - pad), int(np.ceil(high + pad))))
    return tuple(sides)


def _look(
    image: Volume,
    box: Box,
    strokes: Sequence[Stroke],
    known: Known,
    spacing: tuple[float, ...],
    params: CutParams,
) -> tuple[NDArray[np.float32], Scene]:
    """Return what is in a box, blurred: in units of the image, and of its spread."""
    raw = image.read(box)
    factors = shrink_factors(raw.shape[1:], spacing, params.look_voxels)
    # Whole blocks of every third voxel or so.
    factors = tuple(-(-f // max(1, f // 3)) * max(1, f // 3) for f in factors)
    raw = np.stack([_blurred(channel, factors) for channel in raw])
    forbidden = _blurred(known.forbidden(box), factors) > 0.5
    states = np.where(forbidden, BACKGROUND, FREE).astype(np.int8)
    here = [
        Stroke(np.unique(s.points // factors, axis=0), s.positive)
        for s in shift(strokes, box)
    ]
    for stroke in here:
        side = FOREGROUND if stroke.positive else BACKGROUND
        states[tuple(stroke.points.T)] = side
    channels = unit_spread(raw)
    network = known.network(box)
    if network is not None:
        channels = np.concatenate([channels, 0.5 * _blurred(network, factors)[None]])
    size = tuple(s * f for s, f in zip(spacing, factors, strict=True))
    scene = Scene(channels, states, here, np.zeros(states.shape, bool), None, size)
    return raw, scene


def _blurred(values: NDArray, factors: Sequence[int]) -> NDArray[np.float32]:  # type: ignore[type-arg]
    """Return the means of blocks, of every third voxel or so where they are large."""
    steps = [max(1, f // 3) for f in factors]
    thin = values[tuple(slice(None, None, s) for s in steps)]
    return block_mean(thin, [f // s for f, s in zip(factors, steps, strict=True)])
