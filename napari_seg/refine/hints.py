"""What the last stroke makes of the object: an outline moved, or a region changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.refine.depth import depth_inside, signed_depth
from napari_seg.refine.energy import BACKGROUND, FOREGROUND
from napari_seg.refine.network_change import changed_by_network
from napari_seg.refine.regions import best_region, flood_relief, geodesic_distance

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
    strength : float, optional
        Multiple of the usual log-odds far from the outline.
    depth : ndarray of float32, optional
        Signed distance to the outline, where it is known better than by whole voxels.
    """

    mask: NDArray[np.bool_]
    softness: NDArray[np.float32] | float
    outset: float
    trust: float
    strength: float = 1.0
    depth: NDArray[np.float32] | None = None


def suggest(scene: Scene, weights: Weights) -> Hint:
    """Return what the last stroke makes of the previous mask."""
    share = scene.instance
    if not scene.previous.any() and share is not None and (share > 0.5).any():
        return _as_instance(share, scene, weights)
    if scene.sought is not None:
        radius = float(signed_depth(scene.sought, scene.spacing).max())
        softness = weights.whole_softness * radius + 1
        return Hint(scene.sought, softness, weights.outset * min(scene.spacing), 1.0)
    depth = signed_depth(scene.previous, scene.spacing)
    stroke = _last(scene.strokes)
    sign = 1.0 if stroke.positive else -1.0
    wrong = float((-sign * depth[tuple(stroke.points.T)]).max())
    radius, rim = float(depth.max()), weights.rim_px * min(scene.spacing)
    if wrong <= max(rim, weights.rim_share * radius):
        return _mended(depth, max(wrong, 0.0), scene, weights)
    told = changed_by_network(scene)
    if told is not None:
        return _by_network(told, scene, weights)
    # A part that is missing or too much is seldom thicker than the object.
    return _refilled(min(wrong, weights.part_thickness * radius), scene, weights)


def _as_instance(share: NDArray[np.float32], scene: Scene, weights: Weights) -> Hint:
    """Return what the network takes for the object as a hint."""
    share = np.where(scene.states == FOREGROUND, 1, share)
    hint = _by_network(share > 0.5, scene, weights)
    # Voxels of a coarse scene lie partly inside.
    depth = signed_depth(hint.mask, scene.spacing)
    parted = (share > 0) & (share < 1)
    depth[parted] = min(scene.spacing) * (share[parted] - 0.5)
    return replace(hint, depth=depth)


def _mended(
    depth: NDArray[np.float32], wrong: float, scene: Scene, weights: Weights
) -> Hint:
    """Return the outline shifted, less sure near the stroke."""
    cell = min(scene.spacing)
    moved = shifted(depth, scene, weights)
    reach = weights.mend_reach * max(wrong, cell)
    near = _near(_last(scene.strokes), reach, scene)
    softness = weights.sharpness * cell + weights.mend_softness * wrong * near
    return Hint(moved > 0, softness.astype(np.float32), 0.0, weights.rim_trust)


def _refilled(thick: float, scene: Scene, weights: Weights) -> Hint:
    """Return the mask with a whole part added or taken away, less sure around it."""
    cell = min(scene.spacing)
    mask = _flooded(scene, thick, weights)
    changed = signed_depth(mask != scene.previous, scene.spacing)
    reach = 1.5 * float(changed.max()) + cell
    near = np.exp(-0.5 * (np.maximum(-changed, 0) / reach) ** 2)
    softness = weights.sharpness * cell + near * (0.5 * reach + 1)
    return Hint(mask, softness.astype(np.float32), 0.0, 1.0)


def _by_network(mask: NDArray[np.bool_], scene: Scene, weights: Weights) -> Hint:
    """Return a hint that the image may move a little, where it is sure."""
    return Hint(
        mask,
        weights.instance_softness * min(scene.spacing),
        0.0,
        weights.instance_trust,
        weights.instance_shape,
    )


def _near(stroke: Stroke, reach: float, scene: Scene) -> NDArray[np.float32]:
    """Return 1 at a stroke, falling to 0 within some reaches around it."""
    away = np.ones(scene.states.shape, bool)
    away[tuple(stroke.points.T)] = False
    distance = depth_inside(away, scene.spacing)
    return np.asarray(np.exp(-0.5 * (distance / reach) ** 2), np.float32)


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
        marks.append((tuple(point), sign, 0.5 * cell))
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
    earlier = max(len(scene.strokes) - 1, 1)
    common = weights.shift_all / earlier**weights.shift_decay
    if len(scene.strokes) > weights.shift_strokes:
        common = 0.0
    # What is wrong by more than a few voxels is not all a matter of taste.
    cell = min(scene.spacing)
    most = max(max(goal - sign * depth[point] for point, sign, goal in marks), 1e-6)
    common *= min(1.0, weights.shift_most * cell / most)
    # Errors are as long as they are deep, times some: what is shallow is short.
    reach = min(weights.shift_reach * radius, weights.mend_reach * most) + cell
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


def _flooded(scene: Scene, thick: float, weights: Weights) -> NDArray[np.bool_]:
    """Return the previous mask with the best region around the last stroke changed."""
    stroke = _last(scene.strokes)
    points, positive = stroke.points, stroke.positive
    base = scene.previous if positive else ~scene.previous
    seeds = np.zeros(base.shape, bool)
    seeds[tuple(points.T)] = True
    domain = (scene.states != (BACKGROUND if positive else FOREGROUND)) & (
        ~base | seeds
    )
    relief = flood_relief(scene.image, seeds, scene.spacing)
    away = -signed_depth(seeds, scene.spacing)
    # As much as lies around the stroke is the most that it can mean; of an object that
    # is lost in coarse voxels nothing is known.
    around = float(np.count_nonzero(away < weights.part_reach * thick))
    most = around if thick > 0 else np.inf
    # People click in the middle: what is nearer than the outline is meant, too.
    seeds |= domain & (away < weights.click_reach * thick)
    distance = geodesic_distance(relief, seeds, domain, scene.spacing)
    rivals = _marks(scene, not positive)
    if rivals.any():
        # Halfway to strokes of the other side is as far as a stroke should claim.
        other = geodesic_distance(relief, rivals, ~seeds, scene.spacing)
        reached = np.isfinite(distance)
        distance[reached] /= distance[reached] + other[reached] + 1e-6
    click = points[len(points) // 2]
    region = best_region(
        scene.image, distance, base & ~seeds, click, scene.spacing, most
    )
    joined = base | region | seeds
    mask = joined if positive else ~joined
    held = scene.states == FOREGROUND
    return (mask | held) & (scene.states != BACKGROUND)


def _marks(scene: Scene, positive: bool) -> NDArray[np.bool_]:
    marks = np.zeros(scene.states.shape, bool)
    for stroke in scene.strokes:
        if stroke.positive is positive:
            marks[tuple(stroke.points.T)] = True
    return marks


def _last(strokes: Sequence[Stroke]) -> Stroke:
    return next(s for s in reversed(strokes) if len(s.points))
