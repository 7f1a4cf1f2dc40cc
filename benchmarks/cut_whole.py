"""The cut in a local box against one PyMaxflow cut of the whole image.

Both minimise the same energy: unary terms from one intensity model and one suggested
shape, which far from the object are those of its surroundings, and the same links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import maxflow
import numpy as np
from edt import edt
from scipy import ndimage

from benchmarks._table import time_together
from napari_seg.refine.channels import busyness, slope
from napari_seg.refine.energy import (
    BACKGROUND,
    FOREGROUND,
    crofton_weights,
    neighbour_offsets,
)
from napari_seg.refine.evidence import gather
from napari_seg.refine.pyramid import shrink_factors, shrunk
from napari_seg.refine.scene import CutParams, Scene
from napari_seg.refine.session import CorrectionSession
from napari_seg.refine.solver import (
    FAINT,
    TEXTURE_PX,
    solve_scene,
    tidied,
    with_texture,
)
from napari_seg.refine.strokes import disc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box

SURE = 1e6
"""Cost of parting a stroke from its side."""


def whole_cut(
    image: NDArray[np.float32],
    log_odds: NDArray[np.float32],
    states: NDArray[np.int8],
    params: CutParams,
) -> NDArray[np.bool_]:
    """Return PyMaxflow's cut of an image of shape (1, Y, X) with 8 neighbours."""
    graph = maxflow.GraphFloat()
    nodes = graph.add_grid_nodes(states.shape)
    offsets = neighbour_offsets(2)
    lengths = params.weights.smoothness * crofton_weights(offsets, (1.0, 1.0))
    for offset, length in zip(offsets, lengths, strict=True):
        # The other end of each link, by wrapping; links over the border cost nothing.
        step = image[0] - np.roll(image[0], [-o for o in offset], (0, 1))
        cost = length * np.exp(-0.5 * (step / params.weights.contrast) ** 2)
        for axis, o in enumerate(offset):
            border = np.moveaxis(cost, axis, 0)
            if o > 0:
                border[-o:] = 0
            elif o < 0:
                border[:-o] = 0
        structure = np.zeros((3, 3))
        structure[offset[0] + 1, offset[1] + 1] = 1
        graph.add_grid_edges(nodes, cost, structure, symmetric=True)
    pull = log_odds.astype(float)
    pull[states == FOREGROUND], pull[states == BACKGROUND] = SURE, -SURE
    graph.add_grid_tedges(nodes, np.maximum(-pull, 0), np.maximum(pull, 0))
    graph.maxflow()
    return np.asarray(graph.get_grid_segments(nodes))


def _recorded(session: CorrectionSession, click: NDArray[np.intp]) -> tuple[Box, Scene]:
    """Return the last box that a stroke is cut in, and the scene there."""
    scenes: list[Scene] = []

    def solve(scene: Scene, params: CutParams) -> NDArray[np.bool_]:
        scenes.append(scene)
        return solve_scene(scene, params)

    task = session.add_stroke(click, True)
    assert task is not None
    return task.solve(solve).box, scenes[-1]


def _spread_out(
    image: NDArray[Any], box: Box, scene: Scene, params: CutParams
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int8]]:
    """Return image, log-odds and states of the whole image, as they are in the box."""
    inside = image[box].astype(np.float32)
    scaled = ((image - inside.mean()) / inside.std()).astype(np.float32)[None]
    factors = shrink_factors(scene.states.shape, scene.spacing, params.coarse_voxels)
    scene = with_texture(scene)
    evidence = gather(shrunk(scene, factors), params.weights)
    # As in the exact pass: what is suggested is read between coarse pixels.
    grid = np.indices(scene.states.shape)
    place = [(i + 0.5) / f - 0.5 for i, f in zip(grid, factors, strict=True)]
    near = ndimage.map_coordinates(evidence.spatial, place, order=1, mode="nearest")
    pad = [(s.start, n - s.stop) for s, n in zip(box, image.shape, strict=True)]
    spatial = np.pad(near, pad, mode="edge")
    seen = np.concatenate([scaled, _texture(scaled, box, scene)[None]])
    looks = evidence.weight * evidence.appearance.log_odds(seen)
    return scaled, looks + spatial, np.pad(scene.states, pad)


def _texture(
    scaled: NDArray[np.float32], box: Box, scene: Scene
) -> NDArray[np.float32]:
    """Return how busy the whole image is, in the box as it is there."""
    steep = slope(scaled, scene.spacing)
    texture = busyness(steep, TEXTURE_PX, FAINT)
    inside = texture[box]
    texture = (texture - inside.mean()) / max(float(inside.std()), 1e-6)
    assert scene.texture is not None
    texture[box] = scene.texture
    return texture


def against_whole(
    image: NDArray[Any], truth: NDArray[Any], objects: int = 3
) -> dict[str, Any]:
    """Return how much faster our stroke is, and how far both masks agree in its box."""
    found = [_compared(image, truth, i) for i in _some(truth, objects)]
    seconds, ratios, agreement = zip(*found, strict=True)
    return {
        "whole_image_seconds": float(np.median(seconds)),
        "times_faster": float(min(ratios)),
        "same_pixels_in_box": float(min(agreement)),
        "bar_times_faster": 20,
        "bar_same_pixels_in_box": 0.995,
    }


def _some(truth: NDArray[Any], count: int) -> list[int]:
    ids = [int(i) for i in np.unique(truth[600:800, 600:800]) if i]
    return ids[:: max(1, len(ids) // count)][:count]


def _compared(
    image: NDArray[Any], truth: NDArray[Any], object_id: int
) -> tuple[float, float, float]:
    """Return seconds for the whole image, how much faster we are, and the agreement."""
    depth = edt(truth[400:1000, 400:1000] == object_id)
    middle = np.array(np.unravel_index(depth.argmax(), depth.shape)) + 400
    click = disc(middle.tolist(), 2.0)
    session = CorrectionSession(image, np.zeros(image.shape, np.int32))
    box, scene = _recorded(session, click)
    whole = _spread_out(image, box, scene, CutParams())
    masks = {}

    def ours() -> None:
        session.cancel()
        session.stroke(click, True)

    def theirs() -> None:
        masks["whole"] = whole_cut(*whole, CutParams())

    times = time_together({"ours": ours, "whole": theirs}, 1)
    mask = tidied(masks["whole"][box], scene, CutParams().max_hole)
    same = float((solve_scene(scene, CutParams()) == mask).mean())
    return times["whole"].wall, times["whole"].wall / times["ours"].wall, same
