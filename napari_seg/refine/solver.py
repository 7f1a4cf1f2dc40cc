"""Cut one object in a local box that grows until the cut is clear of its border."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_seg.imaging.deltas import bounding_box
from napari_seg.refine.box import (
    box_around,
    clipped,
    grown,
    touched_sides,
    union,
    volume,
)
from napari_seg.refine.channels import busyness, slope
from napari_seg.refine.energy import BACKGROUND, FOREGROUND, FREE
from napari_seg.refine.evidence import gather
from napari_seg.refine.instance_hint import believed, find_instance, without_network
from napari_seg.refine.pyramid import cut_band, cut_scene, shrink_factors, shrunk
from napari_seg.refine.reading import read_scene
from napari_seg.refine.scale import seek
from napari_seg.refine.scene import CutParams, Known, Scene
from napari_seg.refine.strokes import Stroke, resolve

__all__ = [
    "Cut",
    "CutParams",
    "Known",
    "Solve",
    "cut_object",
    "predicted_seconds",
    "solve_scene",
]

TEXTURE_PX = 2.0
"""Width of the Gaussian over which texture is gathered, ..."""
FAINT = 0.1
"""... and the share of the usual slope below which it makes no difference."""
FIXED_SECONDS, COARSE_SECONDS = 0.002, 0.7e-6
READ_SECONDS, BAND_SECONDS = 0.02e-6, 0.7e-6
"""Of any cut; for each voxel of a coarse one, of a large box, and of its band."""
TEXTURE_SECONDS = 0.05e-6
"""For each voxel of a box whose texture is looked at."""

MOST_SHRUNK = 3
"""Scenes shrunk more than this are cut at half their resolution in between."""

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box
    from napari_seg.refine.appearance import Evidence
    from napari_seg.refine.volume import Volume


Solve = Callable[[Scene, CutParams], "NDArray[np.bool_]"]
"""Finds the object in a scene: `solve_scene`, or the same in another process."""


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
    known = believed(known, marks)
    limits = within or tuple(slice(0, n) for n in image.shape)
    points = np.concatenate([s.points for s in marks])
    box = clipped(box_around(points, image.shape, params.margin_px, spacing), limits)
    fits = True
    if start is not None and volume(start):
        corners = np.array([[s.start for s in start], [s.stop - 1 for s in start]])
        held = box_around(corners, image.shape, params.margin_px, spacing)
        box = clipped(union(box, held), limits)
    fresh = not known.previous(box).any()
    instance = find_instance(image, marks, known, spacing, params, limits)
    if instance is not None:
        box = union(box, instance.around(params.margin_px, spacing, limits))
    elif fresh:
        known = without_network(known)
    sought = None
    is_shown = any(s.positive and len(s.points) for s in marks)
    if fresh and instance is None and is_shown:
        sought = seek(image, marks, known, spacing, params, limits)
        box, fits = union(box, sought.box), sought.fits
    most = min(params.max_voxels, int(params.most_growth * volume(box)))
    if fresh:
        most = min(most, params.new_voxels)
    while True:
        scene = read_scene(image, box, marks, known, spacing, instance)
        if sought is not None:
            scene = replace(scene, sought=sought.within(box, spacing))
        mask = (solve or solve_scene)(scene, params)
        sides = touched_sides(mask, box, limits)
        clear = not any(first or last for first, last in sides)
        larger = grown(box, sides, limits, params.growth)
        if clear or volume(larger) > most:
            return Cut(box, mask, complete=clear and fits)
        box = larger


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
    flat = with_texture(_without_single_planes(scene))
    diagonal = params.diagonal
    if diagonal is None:
        diagonal = flat.states.ndim < 3
    mask, _ = _cut_from_coarse(flat, params, diagonal=diagonal)
    mask = tidied(mask, flat, params.max_hole)
    return mask.reshape(scene.states.shape)


def _cut_from_coarse(
    scene: Scene, params: CutParams, *, diagonal: bool
) -> tuple[NDArray[np.bool_], Evidence]:
    """Cut a shrunk copy of the scene, and the scene itself near that surface."""
    weights = params.weights
    factors = shrink_factors(scene.states.shape, scene.spacing, params.coarse_voxels)
    if all(f == 1 for f in factors):
        evidence = gather(scene, weights)
        return cut_scene(scene, evidence, weights, diagonal=diagonal), evidence
    if max(factors) > MOST_SHRUNK:
        # The band around a very coarse surface is thick: a step between spares most.
        factors = tuple(2 if f > 2 else f for f in factors)
    coarse, evidence = _cut_from_coarse(
        shrunk(scene, factors), params, diagonal=diagonal
    )
    mask = cut_band(scene, coarse, evidence, factors, weights, diagonal=diagonal)
    return mask, evidence


def predicted_seconds(scene: Scene, params: CutParams) -> float:
    """Return roughly how long `solve_scene` takes, from the voxels to decide.

    Measured on one core of an AMD EPYC: right within a factor of two there.
    """
    count = int(np.count_nonzero(scene.states == FREE))
    ndim = sum(n > 1 for n in scene.states.shape)
    coarse = min(count, params.coarse_voxels)
    seconds = FIXED_SECONDS + coarse * COARSE_SECONDS
    if _has_texture(scene):
        seconds += scene.states.size * TEXTURE_SECONDS
    if count > coarse:
        # The band is three blocks wide, around an object of half the box's length.
        band = 3.4 * count / coarse ** (1 / ndim)
        seconds += count * READ_SECONDS + band * BAND_SECONDS
    return seconds


def _has_texture(scene: Scene) -> bool:
    """Whether texture is looked at: in a plane of one channel, and no network.

    Of what tells more it adds nothing, and of a volume it would cost more time than a
    stroke may take.
    """
    is_plane = sum(n > 1 for n in scene.states.shape) == 2
    return is_plane and len(scene.image) == 1 and scene.network is None


def with_texture(scene: Scene) -> Scene:
    """Add how busy the image is, where that is looked at."""
    if not _has_texture(scene):
        return scene
    width = [TEXTURE_PX / s for s in scene.spacing]
    steep = slope(scene.image, scene.spacing)
    return replace(scene, texture=busyness(steep, width, FAINT))


def _without_single_planes(scene: Scene) -> Scene:
    """Drop axes of length one: a single plane is cut as an image."""
    keep = [a for a, n in enumerate(scene.states.shape) if n > 1]
    if len(keep) == scene.states.ndim or not keep:
        return scene
    shape = tuple(scene.states.shape[a] for a in keep)
    network, instance, sought = scene.network, scene.instance, scene.sought
    return Scene(
        image=scene.image.reshape(len(scene.image), *shape),
        states=scene.states.reshape(shape),
        strokes=[Stroke(s.points[:, keep], s.positive) for s in scene.strokes],
        previous=scene.previous.reshape(shape),
        network=None if network is None else network.reshape(shape),
        spacing=tuple(scene.spacing[a] for a in keep),
        instance=None if instance is None else instance.reshape(shape),
        sought=None if sought is None else sought.reshape(shape),
    )


def tidied(mask: NDArray[np.bool_], scene: Scene, max_hole: float) -> NDArray[np.bool_]:
    """Fill small holes, and keep the parts that strokes or the old mask hold."""
    if not mask.any():
        return mask
    # All that matters lies within the mask's own box.
    here = bounding_box(mask)
    result = np.zeros_like(mask)
    result[here] = _tidied(
        mask[here], scene.states[here], scene.previous[here], max_hole
    )
    return result


def _tidied(
    mask: NDArray[np.bool_],
    states: NDArray[np.int8],
    previous: NDArray[np.bool_],
    max_hole: float,
) -> NDArray[np.bool_]:
    holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    if count:
        size = np.bincount(holes.ravel())
        small = size <= max_hole * np.count_nonzero(mask)
        small[np.unique(holes[states == BACKGROUND])] = False
        small[0] = False
        mask = mask | small[holes]
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    held = np.zeros(count + 1, bool)
    held[np.unique(parts[states == FOREGROUND])] = True
    shared = np.bincount(parts[previous], minlength=count + 1)
    held |= shared > 0.5 * np.bincount(parts.ravel(), minlength=count + 1)
    held[0] = False
    return held[parts]
