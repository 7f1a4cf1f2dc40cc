"""One step from a plane to the next: what becomes of a mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_seg.refine.appearance import Appearance, fit_appearance
from napari_seg.refine.depth import signed_depth
from napari_seg.refine.energy import (
    BACKGROUND,
    FREE,
    contrast_weights,
    minimum_cut,
    neighbour_offsets,
)
from napari_seg.refine.matching import shift_between, shifted, transferred

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PropagateParams:
    """Settings of the way from plane to plane."""

    place: float = 2.0
    """Log-odds far from the outline in the last plane, once that has moved along."""
    softness_px: float = 2.5
    """Distance from that outline at which they are strong."""
    appearance: float = 0.5
    """Weight of the intensity model."""
    match: float = 1.5
    """Weight of where similar places of the last plane lie."""
    network: float = 0.5
    """Weight of the network's log-odds."""
    reach_px: float = 3.0
    """How far away similar places are sought."""
    patch_px: int = 5
    """Side of the surroundings that are compared."""
    likeness: float = 1.0
    """How much less similar a place may be than the most similar one."""
    smoothness: float = 3.0
    """Cost of a unit of outline where the image is flat."""
    contrast: float = 0.35
    """Step of intensity that makes an outline cheap, in units of the spread."""
    motion: float = 0.7
    """Farthest move from one plane to the next, in radii of the object."""
    motion_gain: float = 0.3
    """A move must leave at most this share of the difference that is not noise."""
    smallest: float = 0.3
    """The object ends where its size falls below this share of the last plane's, ..."""
    largest: float = 2.5
    """... or rises above this multiple, ..."""
    fading: float = 0.45
    """... or where it stands out less than this share of what it did at the start."""
    neck: float = 0.6
    """A size below this share of the largest is the end of the object, ..."""
    regrowth: float = 1.3
    """... if further on it is larger again by this: there another one begins."""


@dataclass(frozen=True)
class Step:
    """What an object's mask in the next plane is decided by, in a box.

    Parameters
    ----------
    last, next : ndarray of float32, shape (C, *grid)
        The two planes, channels scaled to unit spread.
    mask : ndarray of bool, shape (*grid)
        The object in the last plane.
    is_forbidden : ndarray of bool, shape (*grid)
        Where it must not be in the next one.
    network : ndarray of float32, shape (*grid), or None
        Log-odds of a network in the next plane.
    spacing : tuple of float
        Voxel size in units of its shortest side.
    """

    last: NDArray[np.float32]
    next: NDArray[np.float32]
    mask: NDArray[np.bool_]
    is_forbidden: NDArray[np.bool_]
    network: NDArray[np.float32] | None
    spacing: tuple[float, ...]


SolveStep = Callable[[Step, PropagateParams], "NDArray[np.bool_]"]


def solve_step(step: Step, params: PropagateParams) -> NDArray[np.bool_]:
    """Return the object in the next plane: the heavy part, and a pure function.

    Parameters
    ----------
    step : Step
    params : PropagateParams

    Returns
    -------
    ndarray of bool, shape of the step's grid
    """
    flat = _without_single_axes(step)
    depth = signed_depth(flat.mask, flat.spacing)
    radius = max(float(depth.max()), 1.0)
    reach = [
        min(int(np.ceil((params.motion * radius + 1) / s)), (n - 1) // 2)
        for n, s in zip(flat.mask.shape, flat.spacing, strict=True)
    ]
    weight = np.clip(depth / 3 + 1, 0, 1).astype(np.float32)
    shift = shift_between(flat.last, flat.next, weight, reach, gain=params.motion_gain)
    last = np.stack([shifted(channel, shift) for channel in flat.last])
    prior = shifted(flat.mask, shift)
    log_odds = _log_odds(flat, last, prior, params)
    offsets = neighbour_offsets(prior.ndim, diagonal=prior.ndim < 3)
    weigh = contrast_weights(
        flat.next,
        offsets,
        flat.spacing,
        strength=params.smoothness,
        sigma=params.contrast,
    )
    states = np.where(flat.is_forbidden, BACKGROUND, FREE).astype(np.int8)
    if flat.is_forbidden.all():
        return np.zeros(step.mask.shape, bool)
    mask = _main_part(minimum_cut(log_odds, states, offsets, weigh), prior)
    return mask.reshape(step.mask.shape)


def _log_odds(
    step: Step,
    last: NDArray[np.float32],
    prior: NDArray[np.bool_],
    params: PropagateParams,
) -> NDArray[np.float32]:
    """Return what speaks for the object in the next plane."""
    depth = signed_depth(prior, step.spacing)
    looks = fit_looks(last, depth)
    total = params.place * np.tanh(depth / params.softness_px)
    total += params.appearance * looks.log_odds(step.next)
    near = np.abs(depth) <= params.reach_px + 1
    share = transferred(
        last,
        step.next,
        prior,
        near,
        step.spacing,
        reach=params.reach_px if prior.ndim < 3 else params.reach_px - 1,
        patch_px=params.patch_px,
        likeness=params.likeness,
    )
    share = np.clip(share, 0.02, 0.98)
    total[near] += params.match * np.log(share / (1 - share))
    if step.network is not None:
        total += params.network * step.network
    return np.asarray(total, np.float32)


def fit_looks(image: NDArray[np.float32], depth: NDArray[np.float32]) -> Appearance:
    """Learn how an object and its near surroundings look."""
    radius = max(float(depth.max()), 1.0)
    inside = np.clip(depth / (0.5 * radius), 0, 1)
    ring = np.clip(1.5 + depth / (2.0 * radius + 4), 0, 1) * (depth < 0)
    return fit_appearance(image, inside, ring)


def _main_part(mask: NDArray[np.bool_], prior: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the part that shares most with the last plane, without holes."""
    parts, count = ndimage.label(mask)
    if count > 1:
        shared = np.bincount(parts[prior], minlength=count + 1)
        shared[0] = 0
        mask = parts == np.argmax(shared) if shared.any() else np.zeros_like(mask)
    return np.asarray(ndimage.binary_fill_holes(mask))


def _without_single_axes(step: Step) -> Step:
    """Drop axes of length one: a single plane of a volume is an image."""
    keep = [a for a, n in enumerate(step.mask.shape) if n > 1]
    if len(keep) in (0, step.mask.ndim):
        return step
    shape = tuple(step.mask.shape[a] for a in keep)
    return Step(
        step.last.reshape(len(step.last), *shape),
        step.next.reshape(len(step.next), *shape),
        step.mask.reshape(shape),
        step.is_forbidden.reshape(shape),
        None if step.network is None else step.network.reshape(shape),
        tuple(step.spacing[a] for a in keep),
    )
