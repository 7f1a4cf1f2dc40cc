"""The tools that the robot drives: ours, and what people use otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from edt import edt
from skimage.filters import sobel
from skimage.segmentation import random_walker, watershed

from benchmarks.robot import Tool, brushed
from napari_seg.refine.session import CorrectionSession

if TYPE_CHECKING:
    from numpy.typing import NDArray


def ours(image: NDArray, truth: NDArray[np.bool_], spacing: Sequence[float]) -> Tool:  # type: ignore[type-arg]
    """Return the graph cut of the Correct panel."""
    labels = np.zeros(truth.shape, np.int32)
    session = CorrectionSession(image, labels, spacing=spacing)

    def click(point: NDArray[np.intp], positive: bool) -> NDArray[np.bool_]:
        marks = brushed(point, truth if positive else ~truth, spacing)
        edit = session.stroke(np.stack(marks, axis=1), positive)
        mask = np.zeros(truth.shape, bool)
        mask[edit.box] = edit.mask
        return mask

    return click


def brush(image: NDArray, truth: NDArray[np.bool_], spacing: Sequence[float]) -> Tool:  # type: ignore[type-arg]
    """Return a disc brush, always of the size that just fits the error."""
    mask = np.zeros(truth.shape, bool)
    grid = np.indices(truth.shape)

    def click(point: NDArray[np.intp], positive: bool) -> NDArray[np.bool_]:
        error = truth & ~mask if positive else mask & ~truth
        depth = edt(error, anisotropy=tuple(spacing), black_border=True)[tuple(point)]
        steps = (grid - point.reshape(-1, *(1,) * mask.ndim)).astype(float)
        steps *= np.reshape(spacing, (-1, *(1,) * mask.ndim))
        mask[(steps**2).sum(axis=0) < max(float(depth), 0.5) ** 2] = positive
        return mask.copy()

    return click


def _seeded(
    solve: Callable[[NDArray[np.int32]], NDArray[np.bool_]],
    truth: NDArray[np.bool_],
    spacing: Sequence[float],
) -> Tool:
    """Return a tool that solves for all seeds; background is seeded on the border."""
    seeds = np.zeros(truth.shape, np.int32)
    for axis in range(truth.ndim):
        if truth.shape[axis] > 1:
            view = np.moveaxis(seeds, axis, 0)
            view[0], view[-1] = 2, 2

    def click(point: NDArray[np.intp], positive: bool) -> NDArray[np.bool_]:
        marks = brushed(point, truth if positive else ~truth, spacing)
        seeds[marks] = 1 if positive else 2
        return solve(seeds)

    return click


def walker(image: NDArray, truth: NDArray[np.bool_], spacing: Sequence[float]) -> Tool:  # type: ignore[type-arg]
    """Return scikit-image's random walker."""
    data = _unit(image)
    channels = -1 if image.ndim > truth.ndim else None

    def solve(seeds: NDArray[np.int32]) -> NDArray[np.bool_]:
        found = random_walker(
            data,
            seeds,
            beta=130,
            mode="cg_j",
            tol=1e-3,
            channel_axis=channels,
            spacing=spacing,
        )
        return np.asarray(found == 1)

    return _seeded(solve, truth, spacing)


def flood(image: NDArray, truth: NDArray[np.bool_], spacing: Sequence[float]) -> Tool:  # type: ignore[type-arg]
    """Return scikit-image's watershed of the gradient from seeds."""
    data = _unit(image)
    grey = data.mean(axis=-1) if image.ndim > truth.ndim else data
    relief = sobel(grey)
    return _seeded(lambda seeds: watershed(relief, seeds) == 1, truth, spacing)


def grabcut(image: NDArray, truth: NDArray[np.bool_], spacing: Sequence[float]) -> Tool:  # type: ignore[type-arg]
    """Return OpenCV's GrabCut; its border is probably, not surely background."""
    data = (255 * np.clip(_unit(image), 0, 1)).astype(np.uint8)
    colour = data if data.ndim > truth.ndim else np.repeat(data[..., None], 3, axis=-1)
    colour = np.ascontiguousarray(colour[..., :3])

    def solve(seeds: NDArray[np.int32]) -> NDArray[np.bool_]:
        mask = np.full(seeds.shape, cv2.GC_PR_BGD, np.uint8)
        near = edt(seeds != 1) < 8
        mask[near] = cv2.GC_PR_FGD
        mask[seeds == 2], mask[seeds == 1] = cv2.GC_BGD, cv2.GC_FGD
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)
        cv2.grabCut(colour, mask, None, *models, 5, cv2.GC_INIT_WITH_MASK)
        return np.asarray((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))

    return _seeded(solve, truth, spacing)


def _unit(image: NDArray) -> NDArray[np.float64]:  # type: ignore[type-arg]
    low, high = np.percentile(image, [1, 99])
    return np.asarray((image - low) / max(high - low, 1e-9), float)


TOOLS = {
    "graph cut": ours,
    "random walker": walker,
    "watershed": flood,
    "GrabCut": grabcut,
    "disc brush": brush,
}
