"""Split one object between strokes of different colours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from edt import edt
from scipy import ndimage

from napari_seg.errors import LabelsError
from napari_seg.imaging.edits import object_box, split_object
from napari_seg.imaging.slabs import whole
from napari_seg.refine.appearance import fit_appearance
from napari_seg.refine.box import union
from napari_seg.refine.channels import unit_spread
from napari_seg.refine.energy import (
    BACKGROUND,
    FOREGROUND,
    FREE,
    OUTSIDE,
    contrast_weights,
    minimum_cut,
    neighbour_offsets,
)
from napari_seg.refine.pyramid import block_mean, shrink_factors
from napari_seg.refine.regions import flood_relief, geodesic_distance
from napari_seg.refine.strokes import as_points
from napari_seg.refine.volume import Volume, normal_spacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box, LabelEdit


@dataclass(frozen=True)
class SplitParams:
    """Settings of a split."""

    smoothness: float = 6.0
    """Cost of a unit of the line between the parts where the image is flat."""
    contrast: float = 0.6
    """Step of intensity that makes the line cheap, in units of the spread."""
    place: float = 1.0
    """Log-odds of a voxel at a stroke; halfway between two strokes they are 0."""
    appearance: float = 0.3
    """Weight of what the parts look like."""
    neck: float = 0.6
    """How much further the way is through a place of half the greatest thickness."""
    network: float = 0.5
    """How much a step of the network's log-odds counts, in units of intensity."""
    coarse_voxels: int = 30_000
    """Larger objects are split coarsely first, then exactly around that line."""


@dataclass(frozen=True)
class SplitScene:
    """What a split is decided by, in the box of the object.

    Parameters
    ----------
    image : ndarray of float32, shape (C, *grid)
        Channels scaled to unit spread.
    marks : ndarray of int32, shape (*grid)
        Number 1, 2, ... of the stroke on the object; 0 elsewhere on it, -1 outside.
    spacing : tuple of float
        Voxel size in units of its shortest side.
    """

    image: NDArray[np.float32]
    marks: NDArray[np.int32]
    spacing: tuple[float, ...]


SolveSplit = Callable[[SplitScene, SplitParams], "NDArray[np.int32]"]


def split_between(
    image: Volume,
    labels: Any,
    strokes: Sequence[Any],
    *,
    network: Callable[[Box], NDArray[np.float32] | None] | None = None,
    spacing: Sequence[float] | None = None,
    within: Box | None = None,
    locked: Iterable[int] = (),
    params: SplitParams | None = None,
    name: str = "split",
    solve: SolveSplit | None = None,
) -> LabelEdit:
    """Split the object under some strokes, so that each stroke has a part of its own.

    Parameters
    ----------
    image : Volume
    labels : array of int
        Current labels, of the spatial shape of the image.
    strokes : sequence of array_like
        Pixels of each colour: bool masks or points of shape (N, ndim). Where they
        overlap, the later one counts.
    network : callable, optional
        Log-odds of a network for a box, or None.
    spacing : sequence of float, optional
        Physical size of a voxel along each axis.
    within : tuple of slice, optional
        Split only here, e.g. in one plane of a volume.
    locked : iterable of int, optional
        Ids that keep every pixel.
    params : SplitParams, optional
    name : str, optional
        Of the edit.
    solve : callable, optional
        Does what `solve_split` does, e.g. in another process.

    Returns
    -------
    LabelEdit
        The largest part keeps the id, the others take the next free ones.

    Raises
    ------
    LabelsError
        If the strokes do not all touch one unlocked object.
    """
    params = params or SplitParams()
    limits = within or whole(labels)
    points = [_inside(as_points(s, tuple(labels.shape)), limits) for s in strokes]
    object_id, box = _object_under(labels, points, limits)
    mask = np.asarray(labels[box]) == object_id
    marks = _marked(mask, box, points, object_id)
    channels = unit_spread(image.read(box))
    log_odds = network(box) if network is not None else None
    if log_odds is not None:
        channels = np.concatenate([channels, params.network * log_odds[None]])
    scene = SplitScene(channels, marks, normal_spacing(spacing, mask.ndim))
    parts = (solve or solve_split)(scene, params)
    start = [s.start for s in box]
    return split_object(labels, object_id, parts, start, locked=locked, name=name)


def solve_split(scene: SplitScene, params: SplitParams) -> NDArray[np.int32]:
    """Return the part of each voxel: the heavy part of a split, a pure function.

    Parameters
    ----------
    scene : SplitScene
    params : SplitParams

    Returns
    -------
    ndarray of int32
        Part 1, 2, ... of each voxel of the object, each with the stroke of that
        number; 0 outside.
    """
    flat = _without_single_planes(scene)
    count = int(flat.marks.max())
    parts = np.where(flat.marks >= 0, count, 0).astype(np.int32)
    rest = flat.marks >= 0
    for number in range(1, count):
        marks = np.where(rest, np.sign(flat.marks) * 2, -1)
        marks[flat.marks == number] = 1
        own = _part(SplitScene(flat.image, marks, flat.spacing), params)
        parts[own] = number
        rest &= ~own
    return _whole_parts(parts, flat).reshape(scene.marks.shape)


def _part(scene: SplitScene, params: SplitParams) -> NDArray[np.bool_]:
    """Return the part of mark 1, where all others are marked 2."""
    factors = shrink_factors(scene.marks.shape, scene.spacing, params.coarse_voxels)
    coarse = _shrunk(scene, factors)
    has_both = all((coarse.marks == mark).any() for mark in (1, 2))
    if coarse.marks.size == scene.marks.size or not has_both:
        return _cut(scene, scene.marks, _evidence(scene, params), params)
    evidence = _evidence(coarse, params)
    mask = _cut(coarse, coarse.marks, evidence, params)
    # Exactly once more, between the voxels that surely lie on either side.
    cube = np.ones((3,) * mask.ndim)
    far = ~_enlarged(ndimage.binary_dilation(mask, cube), factors, scene.marks.shape)
    near = _enlarged(
        ndimage.binary_erosion(mask, cube, border_value=1), factors, scene.marks.shape
    )
    marks = scene.marks.copy()
    marks[(marks == 0) & near] = 1
    marks[(marks == 0) & far] = 2
    return _cut(scene, marks, _enlarged(evidence, factors, marks.shape), params)


def _evidence(scene: SplitScene, params: SplitParams) -> NDArray[np.float32]:
    """Return log-odds of mark 1: by how near its stroke is, and by looks."""
    domain = scene.marks >= 0
    depth = edt(domain, anisotropy=tuple(scene.spacing), black_border=True)
    neck = np.maximum(depth.max() / np.maximum(depth, min(scene.spacing)) - 1, 0)
    relief = flood_relief(scene.image, scene.marks > 0, scene.spacing)
    relief = relief + np.float32(params.neck) * neck
    own, other = (
        geodesic_distance(relief, scene.marks == n, domain, scene.spacing)
        for n in (1, 2)
    )
    reached = np.isfinite(own) & np.isfinite(other)
    nearer = np.sign(np.nan_to_num(other) - np.nan_to_num(own))
    nearer[reached] = (other[reached] - own[reached]) / (own + other + 1e-6)[reached]
    looks = fit_appearance(
        scene.image, np.clip(nearer, 0, 1) * domain, np.clip(-nearer, 0, 1) * domain
    )
    return np.asarray(
        params.place * nearer + params.appearance * looks.log_odds(scene.image),
        np.float32,
    )


def _cut(
    scene: SplitScene,
    marks: NDArray[np.int32],
    log_odds: NDArray[np.float32],
    params: SplitParams,
) -> NDArray[np.bool_]:
    states = np.full(marks.shape, OUTSIDE, np.int8)
    for mark, state in ((0, FREE), (1, FOREGROUND), (2, BACKGROUND)):
        states[marks == mark] = state
    if not (marks == 0).any():
        return states == FOREGROUND
    offsets = neighbour_offsets(marks.ndim, diagonal=marks.ndim < 3)
    weigh = contrast_weights(
        scene.image,
        offsets,
        scene.spacing,
        strength=params.smoothness,
        sigma=params.contrast,
    )
    return minimum_cut(log_odds, states, offsets, weigh)


def _whole_parts(parts: NDArray[np.int32], scene: SplitScene) -> NDArray[np.int32]:
    """Give pieces of a part that its stroke does not reach to the nearest part."""
    result = parts.copy()
    for number in range(1, int(parts.max()) + 1):
        pieces, _ = ndimage.label(parts == number, np.ones((3,) * parts.ndim))
        held = np.unique(pieces[scene.marks == number])
        result[(parts == number) & ~np.isin(pieces, held[held > 0])] = 0
    lost = (result == 0) & (scene.marks >= 0)
    if lost.any():
        _, nearest = ndimage.distance_transform_edt(
            result == 0, sampling=scene.spacing, return_indices=True
        )
        result[lost] = result[tuple(i[lost] for i in nearest)]
    return result


def _object_under(
    labels: Any, strokes: Sequence[NDArray[np.intp]], limits: Box
) -> tuple[int, Box]:
    """Return the object that most pixels of the strokes lie on, and its box."""
    if len(strokes) < 2:
        raise LabelsError(
            "A split needs two strokes of different colours",
            f"{len(strokes)}",
            "Draw one stroke on each part.",
        )
    drawn = np.concatenate(strokes)
    if not len(drawn):
        raise LabelsError("The strokes lie outside the labels")
    low = drawn.min(axis=0)
    around = tuple(
        slice(int(a), int(b) + 1) for a, b in zip(low, drawn.max(axis=0), strict=True)
    )
    block = np.asarray(labels[around])
    found = [block[tuple((stroke - low).T)] for stroke in strokes]
    ids, counts = np.unique(np.concatenate(found), return_counts=True)
    ids, counts = ids[ids > 0], counts[ids > 0]
    if not len(ids):
        raise LabelsError(
            "There is no object under the strokes",
            remedy="Draw on the object to split.",
        )
    object_id = int(ids[np.argmax(counts)])
    box: Box | None = None
    for stroke, under in zip(strokes, found, strict=True):
        on = stroke[under == object_id]
        if len(on):
            part = object_box(labels, object_id, limits, near=on[0].tolist())
            box = part if box is None else union(box, part)
    assert box is not None
    return object_id, box


def _marked(
    mask: NDArray[np.bool_],
    box: Box,
    strokes: Sequence[NDArray[np.intp]],
    object_id: int,
) -> NDArray[np.int32]:
    marks = np.where(mask, 0, -1).astype(np.int32)
    for number, stroke in enumerate(strokes, start=1):
        here = tuple((_inside(stroke, box) - [s.start for s in box]).T)
        marks[here] = np.where(mask[here], number, -1)
    for number in range(1, len(strokes) + 1):
        if not (marks == number).any():
            raise LabelsError(
                f"Stroke {number} is not on the object to split",
                f"most of the strokes are on object {object_id}",
                "Draw every stroke on that object, and none over another.",
            )
    return marks


def _inside(points: NDArray[np.intp], box: Box) -> NDArray[np.intp]:
    low, high = [s.start for s in box], [s.stop for s in box]
    return points[((points >= low) & (points < high)).all(axis=1)]


def _without_single_planes(scene: SplitScene) -> SplitScene:
    """Drop axes of length one: a single plane is split as an image."""
    keep = [a for a, n in enumerate(scene.marks.shape) if n > 1]
    if len(keep) in (0, scene.marks.ndim):
        return scene
    shape = tuple(scene.marks.shape[a] for a in keep)
    return SplitScene(
        scene.image.reshape(len(scene.image), *shape),
        scene.marks.reshape(shape),
        tuple(scene.spacing[a] for a in keep),
    )


def _shrunk(scene: SplitScene, factors: tuple[int, ...]) -> SplitScene:
    """Return the scene with blocks of voxels made one; strokes and object stay."""
    marks = np.full(block_mean(scene.marks, factors).shape, -1, np.int32)
    for mark in (0, 1, 2):
        found = np.argwhere(scene.marks == mark) // factors
        marks[tuple(found.T)] = mark
    image = np.stack([block_mean(channel, factors) for channel in scene.image])
    spacing = tuple(s * f for s, f in zip(scene.spacing, factors, strict=True))
    return SplitScene(image, marks, spacing)


def _enlarged(
    values: NDArray[Any], factors: Sequence[int], shape: Sequence[int]
) -> NDArray[Any]:
    place = [np.arange(n) // f for n, f in zip(shape, factors, strict=True)]
    return values[np.ix_(*place)]
