"""A coarser copy of a scene, and the exact cut in a band around its surface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_seg.imaging.deltas import bounding_box
from napari_seg.refine.energy import (
    BACKGROUND,
    FOREGROUND,
    FREE,
    contrast_weights,
    minimum_cut,
    neighbour_offsets,
)
from napari_seg.refine.scene import Scene, Weights
from napari_seg.refine.strokes import Stroke

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box
    from napari_seg.refine.appearance import Evidence


def shrink_factors(
    shape: Sequence[int], spacing: Sequence[float], most: int
) -> tuple[int, ...]:
    """Return by how much to shrink each axis to have at most `most` voxels.

    The axis of the shortest voxels goes first, so that voxels become cubes.
    """
    factors = [1] * len(shape)

    def size(axis: int) -> int:
        return -(-shape[axis] // factors[axis])

    while np.prod([size(a) for a in range(len(shape))]) > most:
        axes = [a for a in range(len(shape)) if size(a) > 2]
        if not axes:
            break
        factors[min(axes, key=lambda a: spacing[a] * factors[a])] += 1
    return tuple(factors)


def shrunk(scene: Scene, factors: tuple[int, ...]) -> Scene:
    """Return the scene with blocks of voxels made one."""
    if all(f == 1 for f in factors):
        return scene
    strokes = [
        Stroke(np.unique(s.points // factors, axis=0), s.positive)
        for s in scene.strokes
    ]
    forbidden = _majority(scene.states == BACKGROUND, factors)
    states = np.where(forbidden, BACKGROUND, FREE).astype(np.int8)
    for stroke in strokes:
        side = FOREGROUND if stroke.positive else BACKGROUND
        states[tuple(stroke.points.T)] = side
    network, instance, sought = scene.network, scene.instance, scene.sought
    texture = scene.texture
    return Scene(
        image=np.stack([block_mean(channel, factors) for channel in scene.image]),
        states=states,
        strokes=strokes,
        previous=_majority(scene.previous, factors),
        network=None if network is None else block_mean(network, factors),
        spacing=tuple(s * f for s, f in zip(scene.spacing, factors, strict=True)),
        instance=None if instance is None else block_mean(instance, factors),
        sought=None if sought is None else _majority(sought, factors),
        texture=None if texture is None else block_mean(texture, factors),
    )


def _majority(mask: NDArray[np.bool_], factors: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which blocks are mostly true."""
    if not mask.any():
        shape = (-(-n // f) for n, f in zip(mask.shape, factors, strict=True))
        return np.zeros(tuple(shape), bool)
    return block_mean(mask, factors) > 0.5


def block_mean(values: NDArray[Any], factors: Sequence[int]) -> NDArray[np.float32]:
    """Return the means of blocks; the last ones may be incomplete."""
    result = values.astype(np.float32)
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, result.shape[axis], factor)
            counts = np.diff(np.append(starts, result.shape[axis]))
            column = [-1 if a == axis else 1 for a in range(result.ndim)]
            sums = np.add.reduceat(result, starts, axis=axis)
            result = (sums / counts.reshape(column)).astype(np.float32)
    return result


def cut_scene(
    scene: Scene, evidence: Evidence, weights: Weights, *, diagonal: bool
) -> NDArray[np.bool_]:
    """Return the minimum cut of a whole scene."""
    log_odds = evidence.log_odds(scene.looks)
    return _cut(scene.image, scene.spacing, scene.states, log_odds, weights, diagonal)


def cut_band(
    scene: Scene,
    coarse: NDArray[np.bool_],
    evidence: Evidence,
    factors: tuple[int, ...],
    weights: Weights,
    *,
    diagonal: bool,
) -> NDArray[np.bool_]:
    """Return the exact cut near the surface of a coarse mask, which decides the rest.

    Parameters
    ----------
    scene : Scene
        At full resolution.
    coarse : ndarray of bool
        Mask of the shrunk scene.
    evidence : Evidence
        Gathered in the shrunk scene, or in one shrunk further.
    factors : tuple of int
        By how much it was shrunk.
    weights : Weights
    diagonal : bool
        Whether voxels that share only an edge or a corner are neighbours.
    """
    cube = ndimage.generate_binary_structure(coarse.ndim, 1)
    band = ndimage.binary_dilation(coarse, cube) & ~ndimage.binary_erosion(
        coarse, cube, border_value=1
    )
    for stroke in scene.strokes:
        band[tuple((stroke.points // factors).T)] = True
    near = enlarged(band, factors, scene.states.shape)
    decided = enlarged(coarse, factors, scene.states.shape)
    states = np.where(decided, FOREGROUND, BACKGROUND).astype(np.int8)
    states[near] = FREE
    tied = scene.states != FREE
    states[tied] = scene.states[tied]
    mask = states == FOREGROUND
    full = states.shape
    # Only the band and its neighbours take part in the cut.
    here = _with_rim(bounding_box(states == FREE), states.shape)
    states = states[here]
    free = np.nonzero(states == FREE)
    place = [
        (i + s.start + 0.5) * m / n - 0.5
        for i, s, m, n in zip(free, here, evidence.spatial.shape, full, strict=True)
    ]
    spatial = ndimage.map_coordinates(evidence.spatial, place, order=1, mode="nearest")
    seen = scene.looks[(slice(None), *here)]
    looks = evidence.appearance.log_odds(np.stack([c[free] for c in seen]))
    log_odds = np.zeros(states.shape, np.float32)
    log_odds[free] = evidence.weight * looks + spatial
    image = scene.image[(slice(None), *here)]
    mask[here] = _cut(image, scene.spacing, states, log_odds, weights, diagonal)
    return mask


def _with_rim(box: Box, shape: tuple[int, ...]) -> Box:
    return tuple(
        slice(max(s.start - 1, 0), min(s.stop + 1, n))
        for s, n in zip(box, shape, strict=True)
    )


def _cut(
    image: NDArray[np.float32],
    spacing: tuple[float, ...],
    states: NDArray[np.int8],
    log_odds: NDArray[np.float32],
    weights: Weights,
    diagonal: bool,
) -> NDArray[np.bool_]:
    offsets = neighbour_offsets(states.ndim, diagonal=diagonal)
    weigh = contrast_weights(
        image,
        offsets,
        spacing,
        strength=weights.smoothness,
        sigma=weights.contrast,
    )
    return minimum_cut(log_odds, states, offsets, weigh)


def enlarged(
    mask: NDArray[np.bool_], factors: Sequence[int], shape: Sequence[int]
) -> NDArray[np.bool_]:
    """Return a mask of blocks as one of voxels of a shape."""
    result = mask
    for axis, (factor, length) in enumerate(zip(factors, shape, strict=True)):
        result = np.repeat(result, factor, axis=axis)
        result = result.take(np.arange(length), axis=axis)
    return result
