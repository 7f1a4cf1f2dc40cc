"""What the last stroke makes of the object: an outline moved, or a region changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.refine.depth import signed_depth
from napari_seg.refine.energy import BACKGROUND, FOREGROUND
from napari_seg.refine.regions import best_region, flood_relief, geodesic_distance

__all__ = ["Hint", "flooded", "shifted", "signed_depth", "suggest"]

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.refine.scene import Scene, Weights
    from napari_seg.refine.strokes import Stroke


@dataclass(frozen=True)
class Hint:
    """The region that strokes suggest, and how far to believe its outline.

    Parameters
    ----------
    mask : ndarray of bool
    softness : ndarray of float or float
        Distance from the outline at which its evidence is strong.
    outset : float
        How far outside the outline the evidence changes sign.
    trust : float
        Weight of the intensity model.
    """

    mask: NDArray[np.bool_]
    softness: NDArray[np.float32] | float
    outset: float
    trust: float


def suggest(scene: Scene, weights: Weights) -> Hint:
    """Return what the last stroke makes of the previous mask."""
    stroke = _last(scene.strokes)
    cell = min(scene.spacing)
    if not scene.previous.any():
        mask, _ = flooded(scene, np.zeros_like(scene.previous), 0.0)
        radius = float(signed_depth(mask, scene.spacing).max())
        return Hint(mask, 0.5 * radius + 1, weights.outset * cell, 1.0)
    depth = signed_depth(scene.previous, scene.spacing)
    sign = 1.0 if stroke.positive else -1.0
    wrong = float((-sign * depth[tuple(stroke.points.T)]).max())
    radius = float(depth.max())
    if wrong <= max(weights.rim_px * cell, weights.rim_share * radius):
        moved = shifted(depth, scene, weights)
        return Hint(moved > 0, weights.sharpness * cell, 0.0, weights.rim_trust)
    mask, _ = flooded(scene, scene.previous, weights.click_reach * wrong)
    changed = mask != scene.previous
    reach = 1.5 * float(signed_depth(changed, scene.spacing).max()) + cell
    far = np.maximum(-signed_depth(changed, scene.spacing), 0) / reach
    near = np.exp(-0.5 * far**2)
    softness = weights.sharpness * cell + near * (0.5 * reach + 1)
    return Hint(mask, softness.astype(np.float32), 0.0, 1.0)


def shifted(
    depth: NDArray[np.float32], scene: Scene, weights: Weights
) -> NDArray[np.float32]:
    """Move the outline so that a stroke just beside it, and all older ones, agree.

    Outlines tend to be wrong by the same distance all around: a stroke moves the
    whole outline, and most of all near itself.
    """
    cell = min(scene.spacing)
    radius = max(float(depth.max()), cell)
    result = depth.copy()
    marks = []
    for stroke in scene.strokes:
        sign = 1.0 if stroke.positive else -1.0
        for point in stroke.points[:: max(1, len(stroke.points) // 8)]:
            marks.append((tuple(point), sign, 0.25 * cell))
    last = _last(scene.strokes)
    sign = 1.0 if last.positive else -1.0
    for point in last.points[:: max(1, len(last.points) // 8)]:
        beyond = -sign * depth[tuple(point)]
        goal = 0.5 * cell + weights.overshoot * max(beyond - 0.5 * cell, 0)
        marks.append((tuple(point), sign, goal))
    return result + _offsets(marks, result, scene, radius, weights)


def _offsets(
    marks: Sequence[tuple[tuple[int, ...], float, float]],
    depth: NDArray[np.float32],
    scene: Scene,
    radius: float,
    weights: Weights,
) -> NDArray[np.float32]:
    """Return the least shift of the outline that brings all marks to their goals.

    Shifts are alike everywhere, and more so near each other: the kernel of a Gaussian
    process. Its dual is solved by Hildreth's method, one mark after the other.
    """
    # The first corrections tell how outlines are drawn here, later ones mend places.
    common = weights.shift_all / max(len(scene.strokes) - 1, 1) ** weights.shift_decay
    reach = weights.shift_reach * radius + 1
    at = np.array([point for point, _, _ in marks])
    signs = np.array([sign for _, sign, _ in marks])
    lacks = np.array([goal - sign * depth[point] for point, sign, goal in marks])
    steps = (at[:, None] - at[None]) * np.asarray(scene.spacing) / reach
    kernel = common + (1 - common) * np.exp(-0.5 * (steps**2).sum(axis=-1))
    kernel *= signs[:, None] * signs
    pushes = np.zeros(len(marks))
    for _ in range(30):
        for k in reversed(range(len(marks))):
            pushes[k] = max(0.0, pushes[k] + lacks[k] - kernel[k] @ pushes)
    total = np.zeros_like(depth)
    for k in np.flatnonzero(pushes).tolist():
        axes = [
            ((np.arange(n) - p) * s / reach) ** 2
            for n, p, s in zip(depth.shape, at[k], scene.spacing, strict=True)
        ]
        near = np.exp(-0.5 * sum(np.ix_(*axes)))
        total += signs[k] * pushes[k] * (common + (1 - common) * near)
    return total


def flooded(
    scene: Scene, previous: NDArray[np.bool_], reach: float
) -> tuple[NDArray[np.bool_], float]:
    """Return the previous mask with the best region around the last stroke changed.

    The number tells how much that region looks like a whole object.
    """
    stroke = _last(scene.strokes)
    points = stroke.points
    if not previous.any():
        points = np.concatenate([s.points for s in scene.strokes if s.positive])
    positive = stroke.positive or not previous.any()
    base = previous if positive else ~previous
    seeds = np.zeros(base.shape, bool)
    seeds[tuple(points.T)] = True
    domain = (scene.states != (BACKGROUND if positive else FOREGROUND)) & (
        ~base | seeds
    )
    relief = flood_relief(scene.image, seeds, scene.spacing)
    # People click in the middle: what is nearer than the outline is meant, too.
    if reach > 0:
        seeds |= domain & (signed_depth(seeds, scene.spacing) > -reach)
    distance = geodesic_distance(relief, seeds, domain, scene.spacing)
    rivals = _marks(scene, not positive)
    if rivals.any():
        # Halfway to strokes of the other side is as far as a stroke should claim.
        other = geodesic_distance(relief, rivals, ~seeds, scene.spacing)
        reached = np.isfinite(distance)
        distance[reached] /= distance[reached] + other[reached] + 1e-6
    click = points[len(points) // 2]
    region, rating = best_region(
        scene.image, distance, base & ~seeds, click, scene.spacing
    )
    joined = base | region | seeds
    mask = joined if positive else ~joined
    held = scene.states == FOREGROUND
    return (mask | held) & (scene.states != BACKGROUND), rating


def _marks(scene: Scene, positive: bool) -> NDArray[np.bool_]:
    marks = np.zeros(scene.states.shape, bool)
    for stroke in scene.strokes:
        if stroke.positive is positive:
            marks[tuple(stroke.points.T)] = True
    return marks


def _last(strokes: Sequence[Stroke]) -> Stroke:
    return next(s for s in reversed(strokes) if len(s.points))
