"""The tools that the robot drives: ours, and what people use otherwise.

Each is made from a `View`, which does not hold the truth, and takes clicks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import cv2
import maxflow
import numpy as np
from edt import edt
from scipy import ndimage
from skimage.filters import sobel
from skimage.segmentation import random_walker, watershed

from napari_seg.refine.energy import neighbour_offsets
from napari_seg.refine.session import CorrectionSession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.click_pieces import View
    from benchmarks.robot import Click, Tool

OBJECT, GROUND = 1, 2
"""Values of seeds."""

BINS = 32
"""Of the histograms of the plain graph cut, ..."""
SMOOTHNESS, SIGMA = 5.0, 0.1
"""... its weight of the outline, and its contrast for images of 0..1: of 9 settings
tried on nuclei and axons one of the two best."""


def ours(view: View) -> Tool:
    """Return the graph cut of the Correct panel."""
    labels = view.labels.copy()
    session = CorrectionSession(
        view.image,
        labels,
        view.probabilities,
        view.spacing,
        channel_axis=-1 if view.has_channels else None,
    )
    object_id = session.select(view.object_id or None)

    def click(click: Click) -> NDArray[np.bool_]:
        taken = labels[tuple(click.centre)]
        if click.positive and taken not in (0, object_id):
            # She wants a pixel that another object has, and says so.
            session.overwrite = True
        edit = session.stroke(click.points, click.positive)
        mask = labels == object_id
        inside = mask[edit.box]
        inside[edit.mask] = edit.after == object_id
        mask[edit.box] = inside
        return mask

    return click


def brush(view: View) -> Tool:
    """Return a disc (ball) brush, always of the size that just fits the error."""
    mask = view.start()
    grid = np.indices(mask.shape)

    def click(click: Click) -> NDArray[np.bool_]:
        steps = (grid - click.centre.reshape(-1, *(1,) * mask.ndim)).astype(float)
        steps *= np.reshape(view.spacing, (-1, *(1,) * mask.ndim))
        mask[(steps**2).sum(axis=0) < click.depth**2] = click.positive
        return mask.copy()

    return click


def walker(view: View) -> Tool:
    """Return scikit-image's random walker."""
    data = _unit(view)

    def solve(seeds: NDArray[np.int32]) -> NDArray[np.bool_]:
        found = random_walker(
            data,
            seeds,
            beta=130,
            mode="cg_j",
            tol=1e-3,
            prob_tol=1.0,
            channel_axis=-1 if view.has_channels else None,
            spacing=view.spacing,
        )
        return np.asarray(found == OBJECT)

    return _seeded(solve, view)


def flood(view: View) -> Tool:
    """Return scikit-image's watershed of the gradient from seeds."""
    data = _unit(view)
    relief = sobel(data.mean(axis=-1) if view.has_channels else data)
    return _seeded(lambda seeds: watershed(relief, seeds) == OBJECT, view)


def grabcut(view: View) -> Tool:
    """Return OpenCV's GrabCut; its border is probably, not surely background."""
    data = (255 * _unit(view)).astype(np.uint8)
    colour = data if view.has_channels else np.repeat(data[..., None], 3, axis=-1)
    colour = np.ascontiguousarray(np.resize(colour, (*view.labels.shape, 3)))

    def solve(seeds: NDArray[np.int32]) -> NDArray[np.bool_]:
        mask = np.full(seeds.shape, cv2.GC_PR_BGD, np.uint8)
        near = edt(seeds != OBJECT) < 8
        mask[near] = cv2.GC_PR_FGD
        mask[seeds == GROUND], mask[seeds == OBJECT] = cv2.GC_BGD, cv2.GC_FGD
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)
        cv2.grabCut(colour, mask, None, *models, 5, cv2.GC_INIT_WITH_MASK)
        return np.asarray((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))

    return _seeded(solve, view)


def boykov_jolly(view: View) -> Tool:
    """Return a plain graph cut: histograms of the seeds, and contrast.

    Of its mask the parts are kept that hold a seed, as every such tool does: else all
    objects of the same colour would come with the one that is clicked.
    """
    data = _unit(view)
    channels = data if view.has_channels else data[..., None]
    index = np.minimum((channels * BINS).astype(np.intp), BINS - 1)
    links = list(_links(channels, view.spacing))

    def solve(seeds: NDArray[np.int32]) -> NDArray[np.bool_]:
        graph = maxflow.GraphFloat(seeds.size, seeds.size * len(links))
        nodes = graph.add_grid_nodes(seeds.shape)
        for starts, stops, weights in links:
            graph.add_edges(starts, stops, weights, weights)
        object_, ground = (_likelihood(index, seeds == s) for s in (OBJECT, GROUND))
        share = object_ / (object_ + ground)
        share[seeds == OBJECT], share[seeds == GROUND] = 1, 0
        costs = -np.log(np.maximum([share, 1 - share], 1e-9))
        graph.add_grid_tedges(nodes, *costs)
        graph.maxflow()
        parts, _ = ndimage.label(graph.get_grid_segments(nodes))
        held = np.unique(parts[seeds == OBJECT])
        return np.isin(parts, held[held > 0])

    return _seeded(solve, view)


def _links(
    channels: NDArray[np.float64], spacing: tuple[float, ...]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]]:
    """Yield starts, stops and weights of the links for each of 8 or 6 directions."""
    shape = channels.shape[:-1]
    numbers = np.arange(np.prod(shape)).reshape(shape)
    for offset in neighbour_offsets(len(shape), diagonal=len(shape) == 2):
        length = float(np.linalg.norm(np.multiply(offset, spacing)))
        sides = list(zip(offset, shape, strict=True))
        here = tuple(slice(max(-o, 0), n - max(o, 0)) for o, n in sides)
        there = tuple(slice(max(o, 0), n - max(-o, 0)) for o, n in sides)
        squares = ((channels[here] - channels[there]) ** 2).mean(axis=-1)
        weights = SMOOTHNESS / length * np.exp(-squares / (2 * SIGMA**2))
        yield numbers[here].ravel(), numbers[there].ravel(), weights.ravel()


def _likelihood(
    index: NDArray[np.intp], seeds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return how common each pixel's colour is among the seeds."""
    result = np.ones(seeds.shape)
    for channel in np.moveaxis(index, -1, 0):
        counts = np.bincount(channel[seeds], minlength=BINS).astype(float)
        counts = ndimage.gaussian_filter1d(counts, 1.0, mode="nearest")
        result *= (0.9 * counts / counts.sum() + 0.1 / BINS)[channel]
    return result


def _seeded(
    solve: Callable[[NDArray[np.int32]], NDArray[np.bool_]], view: View
) -> Tool:
    """Return a tool that solves for all seeds.

    Background is seeded on the border of the piece, except where that is the border of
    the image. It starts from nothing: seeds are all that such tools know.
    """
    seeds = np.zeros(view.labels.shape, np.int32)
    for axis, faces in enumerate(view.cut_faces):
        lines = np.moveaxis(seeds, axis, 0)
        for place, is_cut in zip((0, -1), faces, strict=True):
            if is_cut:
                lines[place] = GROUND

    def click(click: Click) -> NDArray[np.bool_]:
        seeds[tuple(click.points.T)] = OBJECT if click.positive else GROUND
        sides = [bool((seeds == side).any()) for side in (OBJECT, GROUND)]
        if not all(sides):
            return np.full(seeds.shape, sides[0])
        return solve(seeds)

    return click


def _unit(view: View) -> NDArray[np.float64]:
    """Return the image from 0 to 1."""
    low, high = np.percentile(view.image, [1, 99])
    spread = (view.image.astype(float) - low) / max(float(high - low), 1e-9)
    return np.asarray(np.clip(spread, 0, 1))


TOOLS: dict[str, Callable[[View], Tool]] = {
    "graph cut": ours,
    "plain graph cut": boykov_jolly,
    "random walker": walker,
    "watershed": flood,
    "GrabCut": grabcut,
    "disc brush": brush,
}
PLANAR = ("GrabCut",)
"""Tools that know no volumes."""
MENDING = ("graph cut", "disc brush")
"""Tools that can begin from an object that is there."""
