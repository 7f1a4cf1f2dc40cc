"""Follow an object from plane to plane, or from frame to frame."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_seg.errors import LabelsError
from napari_seg.imaging.deltas import LabelEdit, bounding_box
from napari_seg.refine.appearance import Appearance, fit_appearance
from napari_seg.refine.energy import (
    BACKGROUND,
    FREE,
    contrast_weights,
    minimum_cut,
    neighbour_offsets,
)
from napari_seg.refine.hints import signed_depth
from napari_seg.refine.matching import shift_between, shifted, transferred
from napari_seg.refine.stack import Piece, Stack
from napari_seg.refine.volume import Volume, normal_spacing
from napari_seg.types import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box


LEAST_DISTINCT = 0.25
"""Log-odds: an object that stands out less at the start has to lose twice this."""


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


def iter_propagate(
    image: Volume,
    labels: Any,
    object_id: int,
    *,
    axis: int,
    start: int,
    stop: int | None = None,
    network: Callable[[Box], NDArray[np.float32] | None] | None = None,
    spacing: Sequence[float] | None = None,
    within: Box | None = None,
    locked: Iterable[int] = (),
    overwrite: bool = False,
    replace: bool = False,
    params: PropagateParams | None = None,
    solve: SolveStep | None = None,
) -> Generator[Progress, None, LabelEdit]:
    """Follow an object from one plane through others.

    Parameters
    ----------
    image : Volume
    labels : array of int
        Current labels, of the spatial shape of the image. They do not change.
    object_id : int
    axis : int
        Axis of the planes; a plane may itself be a volume.
    start : int
        Plane that holds the object.
    stop : int, optional
        Plane to stop before, which may be lower than `start`. None: in both
        directions, until the object ends.
    network : callable, optional
        Log-odds of a network for a box, or None.
    spacing : sequence of float, optional
        Physical size of a voxel along each axis.
    within : tuple of slice, optional
        Stay in here.
    locked : iterable of int, optional
        Ids that keep every pixel.
    overwrite : bool, optional
        Whether other, unlocked ids may lose pixels to the object.
    replace : bool, optional
        Whether planes that hold the object already are done again. They otherwise
        stay as they are and lead on from there.
    params : PropagateParams, optional
    solve : callable, optional
        Does what `solve_step` does, e.g. in another process.

    Yields
    ------
    Progress
        After each plane.

    Returns
    -------
    LabelEdit
        All planes in one.

    Raises
    ------
    LabelsError
        If the object is locked or not in the first plane.
    """
    params = params or PropagateParams()
    stack = Stack.of(
        image,
        labels,
        object_id,
        axis % len(labels.shape),
        network,
        within,
        locked,
        overwrite,
    )
    steps = normal_spacing(spacing, len(labels.shape))
    plane_spacing = normal_spacing(
        [s for a, s in enumerate(steps) if a != stack.axis], len(steps) - 1
    )
    seed = stack.held(start)
    if seed is None:
        raise LabelsError(
            "The object is not in the plane to start from",
            f"object {object_id}, plane {start}",
            "Go to a plane that shows it.",
        )
    ways = stack.ways(start, stop)
    total = sum(len(way) for way in ways)
    found: dict[int, Piece] = {}
    done = 0
    for way in ways:
        walker = _Walker(stack, start, seed, plane_spacing, params, solve or solve_step)
        for plane in way:
            held = None if replace else stack.held(plane)
            if held is not None:
                walker.go_on_from(plane, held)
            else:
                piece = walker.step_to(plane)
                if piece is None:
                    break
                found[plane] = piece
                if walker.beyond_neck():
                    break
            done += 1
            yield Progress("propagate", done, total, message=f"plane {plane}")
        for plane in walker.beyond_neck():
            found.pop(plane, None)
    return stack.edit(found, "propagate")


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


class _Walker:
    """Goes one way from the first plane, and knows what the object looked like there.

    Parameters
    ----------
    stack : Stack
    plane : int
        The first one.
    piece : Piece
        The object in it.
    spacing : tuple of float
        Of the axes in a plane.
    params : PropagateParams
    solve : callable
    """

    def __init__(
        self,
        stack: Stack,
        plane: int,
        piece: Piece,
        spacing: tuple[float, ...],
        params: PropagateParams,
        solve: SolveStep,
    ) -> None:
        self._stack = stack
        self._spacing = spacing
        self._params = params
        self._solve = solve
        self._plane, self._piece = plane, piece
        box, mask = stack.around(piece, self._margin())
        pixels = stack.pixels(plane, box)
        axes = tuple(range(1, pixels.ndim))
        self._centre = np.median(pixels, axis=axes, keepdims=True)
        spread = pixels.std(axis=axes, keepdims=True)
        self._spread = np.maximum(spread, max(0.25 * float(spread.max()), 1e-6))
        depth = signed_depth(mask, spacing)
        self._looks = fit_looks(self._scaled(pixels), depth)
        self._distinct = self._distinctness(self._scaled(pixels), mask)
        self._sizes = {plane: np.count_nonzero(mask)}

    def beyond_neck(self) -> list[int]:
        """Return the planes behind a neck, where the object is another one."""
        planes = list(self._sizes)
        sizes = np.array(list(self._sizes.values()))
        neck = int(np.argmin(sizes))
        params = self._params
        is_neck = sizes[neck] < params.neck * sizes[: neck + 1].max()
        regrown = sizes[neck:].max() > params.regrowth * sizes[neck]
        return planes[neck + 1 :] if is_neck and regrown else []

    def go_on_from(self, plane: int, piece: Piece) -> None:
        """Take a plane as it is."""
        self._plane, self._piece = plane, piece
        self._sizes = {plane: np.count_nonzero(piece.mask)}

    def step_to(self, plane: int) -> Piece | None:
        """Return the object in the next plane, None if it has ended."""
        margin = self._margin()
        box, last = self._stack.around(self._piece, margin)
        pixels = self._scaled(self._stack.pixels(plane, box))
        step = Step(
            self._scaled(self._stack.pixels(self._plane, box)),
            pixels,
            last,
            self._stack.is_forbidden(plane, box),
            self._stack.log_odds(plane, box),
            self._spacing,
        )
        mask = self._solve(step, self._params)
        if self._has_ended(last, mask, pixels):
            return None
        tight = bounding_box(mask)
        start = [s.start for s in box]
        self._piece = Piece.at(start, tight, mask)
        self._plane = plane
        self._sizes[plane] = np.count_nonzero(mask)
        return self._piece

    def _margin(self) -> list[int]:
        """Half of the object, and so more than it may move."""
        sides = self._piece.mask.shape
        return [
            max(n // 2, int(12 / s) + 1)
            for n, s in zip(sides, self._spacing, strict=True)
        ]

    def _scaled(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return pixels in the first plane's spread, about their own median.

        Sections differ in brightness, but noise must not look like an object.
        """
        axes = tuple(range(1, pixels.ndim))
        centre = np.median(pixels, axis=axes, keepdims=True)
        return np.asarray((pixels - centre) / self._spread, np.float32)

    def _distinctness(
        self, pixels: NDArray[np.float32], mask: NDArray[np.bool_]
    ) -> float:
        """Return how much more the object looks like itself than its rim does."""
        wide = ndimage.binary_dilation(mask, iterations=4)
        rim = wide & ~ndimage.binary_dilation(mask)
        if not rim.any():
            return 0.0
        odds = self._looks.log_odds(pixels)
        return float(odds[mask].mean() - odds[rim].mean())

    def _has_ended(
        self,
        last: NDArray[np.bool_],
        mask: NDArray[np.bool_],
        pixels: NDArray[np.float32],
    ) -> bool:
        size, before = np.count_nonzero(mask), np.count_nonzero(last)
        params = self._params
        if size == 0 or not params.smallest <= size / before <= params.largest:
            return True
        least = params.fading * self._distinct
        if self._distinct < LEAST_DISTINCT:
            least = self._distinct - 2 * LEAST_DISTINCT
        return self._distinctness(pixels, mask) < least
