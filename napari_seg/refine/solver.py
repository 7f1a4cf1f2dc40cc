"""Cut one object in a local box that grows until the cut is clear of its border."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_seg.refine.box import box_around, grown, touched_sides, union, volume
from napari_seg.refine.energy import BACKGROUND, FOREGROUND, FREE
from napari_seg.refine.evidence import gather
from napari_seg.refine.pyramid import cut_band, cut_scene, shrink_factors, shrunk
from napari_seg.refine.regions import outline_support
from napari_seg.refine.scene import Scene, Weights
from napari_seg.refine.strokes import Stroke, resolve, shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box
    from napari_seg.refine.volume import Volume


@dataclass(frozen=True)
class CutParams:
    """Settings of a graph cut."""

    weights: Weights = field(default_factory=Weights)
    """How much each kind of evidence counts."""
    diagonal: bool | None = None
    """8 or 26 neighbours instead of 4 or 6; None: 8 in 2D, 6 in 3D."""
    margin_px: float = 24.0
    """Width of the first box around strokes and object."""
    wider: tuple[float, ...] = (2.5, 6.0)
    """A new object is also sought in boxes whose margins are larger by this, ..."""
    wider_gain: float = 1.3
    """... and taken from there if its outline is clearer by this factor."""
    growth: float = 0.5
    """Share of its length by which a box grows on a side that the cut touches."""
    max_voxels: int = 6_000_000
    """Boxes do not grow beyond this."""
    coarse_voxels: int = 16_000
    """Larger boxes are cut coarsely first, then exactly around that surface."""
    max_hole: float = 0.05
    """Holes up to this share of the object are filled if no stroke speaks for them."""


Solve = Callable[[Scene, CutParams], "NDArray[np.bool_]"]
"""Finds the object in a scene: `solve_scene`, or the same in another process."""


@dataclass(frozen=True)
class Known:
    """What is known about an object besides strokes; each is read box by box.

    Parameters
    ----------
    previous : callable
        Object before the last stroke, bool.
    forbidden : callable
        Ground of locked and other objects, bool.
    network : callable
        Log-odds of a network, or None.
    """

    previous: Callable[[Box], NDArray[np.bool_]]
    forbidden: Callable[[Box], NDArray[np.bool_]]
    network: Callable[[Box], NDArray[np.float32] | None]


@dataclass(frozen=True)
class Cut:
    """A mask in a box; outside the box nothing is known and nothing changes.

    Parameters
    ----------
    box : tuple of slice
    mask : ndarray of bool, shape of the box
    complete : bool
        False if the box reached its limit with the cut still touching it.
    """

    box: Box
    mask: NDArray[np.bool_]
    complete: bool


def cut_object(
    image: Volume,
    strokes: Sequence[Stroke],
    known: Known,
    spacing: tuple[float, ...],
    params: CutParams,
    start: Box | None = None,
    within: Box | None = None,
    solve: Solve | None = None,
) -> Cut:
    """Cut an object out of an image.

    Parameters
    ----------
    image : Volume
    strokes : sequence of Stroke
        Oldest first; where sides overlap, the newer one counts.
    known : Known
    spacing : tuple of float
        Voxel size in units of its shortest side.
    params : CutParams
    start : tuple of slice, optional
        Box that the cut must at least cover, e.g. of the object so far.
    within : tuple of slice, optional
        Limit of the box, e.g. one plane of a volume.
    solve : callable, optional
        Does what `solve_scene` does, e.g. in another process.

    Returns
    -------
    Cut
    """
    marks = resolve(strokes)
    solve = solve or solve_scene
    best = _cut_from(image, marks, known, spacing, params, start, within, solve, 1.0)
    if start is not None and known.previous(start).any():
        return best
    # In a box smaller than the object all is noise: look from further away, too.
    for wider in params.wider:
        covers = volume(best.box) == volume(within or _whole(image))
        if covers or not best.mask.any():
            break
        other = _cut_from(
            image, marks, known, spacing, params, start, within, solve, wider
        )
        if _support(image, other) > params.wider_gain * _support(image, best):
            best = other
    return best


def _cut_from(
    image: Volume,
    strokes: Sequence[Stroke],
    known: Known,
    spacing: tuple[float, ...],
    params: CutParams,
    start: Box | None,
    within: Box | None,
    solve: Solve,
    wider: float,
) -> Cut:
    """Cut in a box around the strokes, which grows while the cut touches it."""
    margin = wider * params.margin_px
    limits = within or _whole(image)
    box = box_around(_marked(strokes), image.shape, margin, spacing)
    if start is not None and volume(start):
        corners = np.array([[s.start for s in start], [s.stop - 1 for s in start]])
        box = union(box, box_around(corners, image.shape, margin, spacing))
    box = _clipped(box, limits)
    while True:
        mask = solve(read_scene(image, box, strokes, known, spacing), params)
        sides = touched_sides(mask, box, limits)
        clear = not any(first or last for first, last in sides)
        larger = grown(box, sides, limits, params.growth)
        if clear or volume(larger) > params.max_voxels:
            return Cut(box, mask, complete=clear)
        box = larger


def _marked(strokes: Sequence[Stroke]) -> NDArray[np.intp]:
    return np.concatenate([s.points for s in strokes])


def _whole(image: Volume) -> Box:
    return tuple(slice(0, n) for n in image.shape)


def _support(image: Volume, cut: Cut) -> float:
    """Return how much the image changes on average across the outline of a cut."""
    if not cut.mask.any():
        return 0.0
    distance = np.where(cut.mask, 0.0, 1.0)
    return float(outline_support(image.read(cut.box), distance, np.zeros(1))[0])


def _clipped(box: Box, within: Box) -> Box:
    return tuple(
        slice(min(max(s.start, w.start), w.stop), max(min(s.stop, w.stop), w.start))
        for s, w in zip(box, within, strict=True)
    )


def solve_scene(scene: Scene, params: CutParams) -> NDArray[np.bool_]:
    """Return the object in a scene: the heavy part of a cut, and a pure function.

    Parameters
    ----------
    scene : Scene
    params : CutParams

    Returns
    -------
    ndarray of bool, shape of the scene's grid
    """
    fresh = not scene.previous.any()
    if fresh and not any(s.positive and len(s.points) for s in scene.strokes):
        return np.zeros(scene.states.shape, bool)
    flat = _without_single_planes(scene)
    diagonal = params.diagonal
    if diagonal is None:
        diagonal = flat.states.ndim < 3
    factors = shrink_factors(flat.states.shape, flat.spacing, params.coarse_voxels)
    coarse = shrunk(flat, factors)
    evidence = gather(coarse, params.weights)
    mask = cut_scene(coarse, evidence, params.weights, diagonal=diagonal)
    if any(f > 1 for f in factors):
        mask = cut_band(
            flat, mask, evidence, factors, params.weights, diagonal=diagonal
        )
    mask = tidied(mask, flat, params.max_hole)
    return mask.reshape(scene.states.shape)


def read_scene(
    image: Volume,
    box: Box,
    strokes: Sequence[Stroke],
    known: Known,
    spacing: tuple[float, ...],
) -> Scene:
    """Read all that is known in a box."""
    here = shift(strokes, box)
    states = np.where(known.forbidden(box), BACKGROUND, FREE).astype(np.int8)
    for stroke in here:
        own = stroke.points[states[tuple(stroke.points.T)] == FREE]
        states[tuple(own.T)] = FOREGROUND if stroke.positive else BACKGROUND
    network = known.network(box)
    channels = unit_spread(image.read(box))
    if network is not None:
        # As one more channel it leads the flood and the outline, too.
        channels = np.concatenate([channels, 0.5 * network[None]])
    return Scene(
        image=channels,
        states=states,
        strokes=here,
        previous=known.previous(box),
        network=network,
        spacing=spacing,
    )


def unit_spread(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return channels of zero mean and unit spread; faint channels stay fainter."""
    axes = tuple(range(1, image.ndim))
    spread = image.std(axis=axes, keepdims=True)
    floor = max(0.25 * float(spread.max()), 1e-6)
    centred = image - image.mean(axis=axes, keepdims=True)
    return np.asarray(centred / np.maximum(spread, floor), np.float32)


def _without_single_planes(scene: Scene) -> Scene:
    """Drop axes of length one: a single plane is cut as an image."""
    keep = [a for a, n in enumerate(scene.states.shape) if n > 1]
    if len(keep) == scene.states.ndim or not keep:
        return scene
    shape = tuple(scene.states.shape[a] for a in keep)
    network = scene.network
    return Scene(
        image=scene.image.reshape(len(scene.image), *shape),
        states=scene.states.reshape(shape),
        strokes=[Stroke(s.points[:, keep], s.positive) for s in scene.strokes],
        previous=scene.previous.reshape(shape),
        network=None if network is None else network.reshape(shape),
        spacing=tuple(scene.spacing[a] for a in keep),
    )


def tidied(mask: NDArray[np.bool_], scene: Scene, max_hole: float) -> NDArray[np.bool_]:
    """Fill small holes, and keep the parts that strokes or the old mask hold."""
    holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    if count:
        size = np.bincount(holes.ravel())
        small = size <= max_hole * np.count_nonzero(mask)
        small[np.unique(holes[scene.states == BACKGROUND])] = False
        small[0] = False
        mask = mask | small[holes]
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    held = np.zeros(count + 1, bool)
    held[np.unique(parts[scene.states == FOREGROUND])] = True
    shared = np.bincount(parts[scene.previous], minlength=count + 1)
    held |= shared > 0.5 * np.bincount(parts.ravel(), minlength=count + 1)
    held[0] = False
    return held[parts]
