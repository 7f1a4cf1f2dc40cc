"""What speaks for object or surroundings at each voxel, gathered in a local box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from edt import edt
from scipy import ndimage

from napari_seg.refine.appearance import Appearance, fit_appearance
from napari_seg.refine.energy import BACKGROUND, FOREGROUND
from napari_seg.refine.regions import best_region, flood_relief, geodesic_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.refine.strokes import Stroke


@dataclass(frozen=True)
class Weights:
    """How much each kind of evidence counts."""

    appearance: float = 1.0
    """Of the intensity model's log-odds."""
    shape: float = 2.0
    """Log-odds far from the outline of the region that the strokes suggest."""
    network: float = 1.0
    """Of the log-odds of the network's probabilities."""
    correction: float = 0.5
    """Log-odds that the surroundings of a stroke must reach on the stroke's side."""
    correction_reach: float = 4.0
    """Distance at which a stroke's influence has faded, in units of spacing."""
    correction_range: float = 0.5
    """Difference of intensity at which it has faded, in units of the spread."""
    outset: float = 0.2
    """How far outside the steepest place the outline of a new object is expected."""
    rim_px: float = 2.0
    """A stroke this near to the outline moves the outline, ..."""
    rim_share: float = 0.4
    """... or at this share of the object's radius."""
    overshoot: float = 0.2
    """By which share of its distance a stroke moves the outline beyond itself."""
    shift_all: float = 0.2
    """Share of that shift which the whole outline follows."""
    shift_reach: float = 0.5
    """How far the rest reaches, in radii of the object."""
    sharpness: float = 1.0
    """Distance from a corrected outline at which its evidence is strong."""
    rim_trust: float = 0.6
    """Weight of the intensity model once the outline is being corrected."""
    click_reach: float = 0.6
    """A stroke far from the outline claims this share of its distance to it."""
    smoothness: float = 2.5
    """Cost of a unit of outline where the image is flat."""
    contrast: float = 0.35
    """Step of intensity that makes an outline cheap, in units of the spread."""


@dataclass(frozen=True)
class Scene:
    """All that is known in a box.

    Parameters
    ----------
    image : ndarray of float32, shape (C, *grid)
        Channels scaled to unit spread.
    states : ndarray of int8, shape (*grid)
        Strokes, and what is forbidden ground.
    strokes : list of Stroke
        In the box's coordinates, oldest first.
    previous : ndarray of bool, shape (*grid)
        The object before the last stroke.
    network : ndarray of float32, shape (*grid), or None
        Log-odds of the network.
    spacing : tuple of float
        Voxel size in units of its shortest side.
    """

    image: NDArray[np.float32]
    states: NDArray[np.int8]
    strokes: Sequence[Stroke]
    previous: NDArray[np.bool_]
    network: NDArray[np.float32] | None
    spacing: tuple[float, ...]


@dataclass(frozen=True)
class Evidence:
    """Log-odds in two parts: by intensity, and by place.

    Parameters
    ----------
    appearance : Appearance
    spatial : ndarray of float32
        By place: suggested shape, strokes, network.
    weight : float
        Of the appearance.
    """

    appearance: Appearance
    spatial: NDArray[np.float32]
    weight: float

    def log_odds(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the sum of both parts for the image they were gathered from."""
        return self.weight * self.appearance.log_odds(image) + self.spatial


def gather(scene: Scene, weights: Weights) -> Evidence:
    """Return the evidence in a scene."""
    hint = suggest(scene, weights)
    depth = signed_depth(hint.mask, scene.spacing)
    radius = max(float(depth.max()), 1.0)
    inside = np.clip(depth / (0.5 * radius), 0, 1)
    ring = np.clip(1.5 - (-depth) / (2.0 * radius + 4), 0, 1) * (depth < 0)
    free = scene.states != FOREGROUND
    appearance = fit_appearance(scene.image, inside, ring * free)
    spatial = weights.shape * np.tanh((depth + hint.outset) / hint.softness)
    if scene.network is not None:
        spatial = spatial + weights.network * scene.network
    trust = weights.appearance * np.float32(hint.trust)
    first = Evidence(appearance, spatial.astype(np.float32), float(trust))
    moved = corrected(first.log_odds(scene.image), scene, weights)
    return replace(first, spatial=first.spatial + moved)


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
        mask = flooded(scene, np.zeros_like(scene.previous), 0.0)
        radius = float(signed_depth(mask, scene.spacing).max())
        return Hint(mask, 0.5 * radius + 1, weights.outset * cell, 1.0)
    depth = signed_depth(scene.previous, scene.spacing)
    sign = 1.0 if stroke.positive else -1.0
    wrong = float((-sign * depth[tuple(stroke.points.T)]).max())
    radius = float(depth.max())
    if wrong <= max(weights.rim_px * cell, weights.rim_share * radius):
        moved = shifted(depth, scene, weights)
        return Hint(moved > 0, weights.sharpness * cell, 0.0, weights.rim_trust)
    mask = flooded(scene, scene.previous, weights.click_reach * wrong)
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
    for _ in range(4):
        for point, sign, goal in reversed(marks):
            lack = goal - sign * result[point]
            if lack > 0:
                result += sign * lack * _spread(point, scene, radius, weights)
    return result


def _spread(
    point: tuple[int, ...], scene: Scene, radius: float, weights: Weights
) -> NDArray[np.float32]:
    axes = [
        ((np.arange(n) - p) * s / (weights.shift_reach * radius + 1)) ** 2
        for n, p, s in zip(scene.states.shape, point, scene.spacing, strict=True)
    ]
    near = np.exp(-0.5 * sum(np.ix_(*axes)))
    # The first stroke tells how outlines are drawn here, later ones mend places.
    everywhere = weights.shift_all / max(len(scene.strokes) - 1, 1)
    return np.asarray(everywhere + (1 - everywhere) * near, np.float32)


def flooded(
    scene: Scene, previous: NDArray[np.bool_], reach: float
) -> NDArray[np.bool_]:
    """Return the previous mask with the best region around the last stroke changed."""
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
    seeds |= domain & (signed_depth(seeds, scene.spacing) > -reach)
    distance = geodesic_distance(relief, seeds, domain, scene.spacing)
    rivals = _marks(scene, not positive)
    if rivals.any():
        # Halfway to strokes of the other side is as far as a stroke should claim.
        other = geodesic_distance(relief, rivals, ~seeds, scene.spacing)
        reached = np.isfinite(distance)
        distance[reached] /= distance[reached] + other[reached] + 1e-6
    click = points[len(points) // 2]
    region = best_region(scene.image, distance, base & ~seeds, click, scene.spacing)
    joined = base | region | seeds
    mask = joined if positive else ~joined
    held = scene.states == FOREGROUND
    return np.asarray((mask | held) & (scene.states != BACKGROUND))


def _marks(scene: Scene, positive: bool) -> NDArray[np.bool_]:
    marks = np.zeros(scene.states.shape, bool)
    for stroke in scene.strokes:
        if stroke.positive is positive:
            marks[tuple(stroke.points.T)] = True
    return marks


def signed_depth(
    mask: NDArray[np.bool_], spacing: Sequence[float]
) -> NDArray[np.float32]:
    """Return the distance to the outline, negative outside, in units of spacing."""
    step = tuple(spacing)
    signed = np.where(
        mask, edt(mask, anisotropy=step) - 0.5, 0.5 - edt(~mask, anisotropy=step)
    )
    # Without any outline all distances are infinite.
    most = float(np.linalg.norm(np.multiply(mask.shape, step)))
    return np.asarray(np.clip(signed, -most, most), np.float32)


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


def _last(strokes: Sequence[Stroke]) -> Stroke:
    return next(s for s in reversed(strokes) if len(s.points))
