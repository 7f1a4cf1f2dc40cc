"""Follow an object from plane to plane, or from frame to frame."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_seg.errors import LabelsError
from napari_seg.imaging.deltas import LabelEdit, bounding_box
from napari_seg.refine.depth import signed_depth
from napari_seg.refine.stack import Piece, Stack
from napari_seg.refine.step import (
    PropagateParams,
    SolveStep,
    Step,
    fit_looks,
    solve_step,
)
from napari_seg.refine.volume import Volume, normal_spacing
from napari_seg.types import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box

__all__ = ["PropagateParams", "Step", "iter_propagate", "solve_step"]

LEAST_DISTINCT = 0.25
"""Log-odds: an object that stands out less at the start has to lose twice this."""


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
) -> Generator[Progress, bool | None, LabelEdit]:
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
        After each plane. Sending true ends it with the planes done so far.

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
            if (yield Progress("propagate", done, total, message=f"plane {plane}")):
                return stack.edit(found, "propagate")
        for plane in walker.beyond_neck():
            found.pop(plane, None)
    return stack.edit(found, "propagate")


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
