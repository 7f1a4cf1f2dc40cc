"""What speaks for object or surroundings at each voxel, gathered in a local box."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_seg.refine.appearance import Evidence, fit_appearance
from napari_seg.refine.depth import signed_depth
from napari_seg.refine.energy import FOREGROUND
from napari_seg.refine.hints import suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.refine.scene import Scene, Weights


def gather(scene: Scene, weights: Weights) -> Evidence:
    """Return the evidence in a scene."""
    hint = suggest(scene, weights)
    depth = hint.depth
    if depth is None:
        depth = signed_depth(hint.mask, scene.spacing)
    radius = max(float(depth.max()), 1.0)
    inside = np.clip(depth / (0.5 * radius), 0, 1)
    ring = np.clip(1.5 - (-depth) / (2.0 * radius + 4), 0, 1) * (depth < 0)
    free = scene.states != FOREGROUND
    # Over a small object texture is blurred away.
    is_large = radius >= weights.texture_radius
    seen = scene.looks if is_large else scene.image
    appearance = fit_appearance(seen, inside, ring * free)
    spatial = (
        hint.strength * weights.shape * np.tanh((depth + hint.outset) / hint.softness)
    )
    if scene.network is not None:
        spatial = spatial + weights.network * scene.network
    trust = weights.appearance * np.float32(hint.trust)
    first = Evidence(appearance, spatial.astype(np.float32), float(trust))
    moved = corrected(first.log_odds(scene.looks), scene, weights)
    return replace(first, spatial=first.spatial + moved)


def corrected(
    log_odds: NDArray[np.float32], scene: Scene, weights: Weights
) -> NDArray[np.float32]:
    """Return what must be added so that strokes and what resembles them agree.

    Each stroke's shortfall spreads to voxels that are near it and look like it.
    """
    total = np.zeros_like(log_odds)
    for stroke in scene.strokes:
        for point in stroke.points[:: max(1, len(stroke.points) // 8)]:
            sign = 1.0 if stroke.positive else -1.0
            here = tuple(point)
            lack = weights.correction - sign * (log_odds[here] + total[here])
            if lack > 0:
                total += sign * lack * _likeness(point, scene, weights)
    return total


def _likeness(
    point: NDArray[np.intp], scene: Scene, weights: Weights
) -> NDArray[np.float32]:
    axes = [
        ((np.arange(n) - p) * s / weights.correction_reach) ** 2
        for n, p, s in zip(scene.states.shape, point, scene.spacing, strict=True)
    ]
    far = sum(np.ix_(*axes))
    value = scene.image[(slice(None), *point)]
    strange = ndimage.gaussian_filter(
        ((scene.image - value.reshape(-1, *(1,) * len(point))) ** 2).sum(axis=0), 0
    )
    return np.asarray(
        np.exp(-0.5 * (far + strange / weights.correction_range**2)), np.float32
    )
