"""What a network takes for one object: the instance of its probabilities at a click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed

from napari_seg.refine.box import (
    Instance,
    box_around,
    clipped,
    grown,
    touched_sides,
    volume,
)
from napari_seg.refine.channels import unit_spread
from napari_seg.refine.lobes import depth_in, lobe_at
from napari_seg.refine.pyramid import block_mean, enlarged, shrink_factors
from napari_seg.refine.strokes import shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box
    from napari_seg.refine.scene import CutParams, Known
    from napari_seg.refine.strokes import Stroke
    from napari_seg.refine.volume import Volume

SEED = 0.6
"""Core probability from which voxels seed an object, as in the decoder of labels."""

SHARE = 0.25
"""A stroke means all instances that hold at least this share of it."""

LEAST = 0.1
"""Where the object probability under a stroke is lower, the network is wrong there."""

MOST_VOXELS = 60_000
"""Larger surroundings are looked at in blocks of voxels."""

CENTRED, SURE = 0.6, 0.4
"""An instance is believed if a stroke is at least this near to its middle, and the
network this sure of it: 1 where probabilities are 0 or 1, 0 where they are a half."""


def believed(known: Known, strokes: Sequence[Stroke]) -> Known:
    """Return what is known, without a network that sees nothing where an object is.

    Parameters
    ----------
    known : Known
    strokes : sequence of Stroke
        The first one on the object shows whether the network knows such objects.
    """
    own = [s.points for s in strokes if s.positive and len(s.points)]
    if not own:
        return known
    low, high = own[0].min(axis=0), own[0].max(axis=0) + 1
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    network = known.network(box)
    if network is None or _chance(network, own[0] - low) >= LEAST:
        return known
    return without_network(known)


def without_network(known: Known) -> Known:
    """Return what is known besides the network."""
    return replace(known, network=lambda _: None, core=lambda _: None)


def find_instance(
    image: Volume,
    strokes: Sequence[Stroke],
    known: Known,
    spacing: tuple[float, ...],
    params: CutParams,
    limits: Box,
) -> Instance | None:
    """Return what the network takes for the object under the last stroke.

    Parameters
    ----------
    image : Volume
    strokes : sequence of Stroke
    known : Known
    spacing : tuple of float
        Voxel size in units of its shortest side.
    params : CutParams
    limits : tuple of slice
        Where the object may lie.

    Returns
    -------
    Instance or None
        None without a network, where it sees nothing under the stroke or is not to be
        believed, and where the stroke is not on the object.
    """
    last = [s for s in strokes if len(s.points)][-1:]
    if not last or not last[0].positive:
        return None
    shape = tuple(s.stop for s in limits)
    box = clipped(box_around(last[0].points, shape, params.margin_px, spacing), limits)
    while True:
        network, core = known.network(box), known.core(box)
        if network is None or core is None:
            return None
        marks = shift(last, box)[0].points
        forbidden = known.forbidden(box)
        factors = shrink_factors(network.shape, spacing, MOST_VOXELS)
        small = [block_mean(a, factors) for a in (network, core, forbidden)]
        points = np.unique(marks // factors, axis=0)
        coarse = instance_at(small[0], small[1], small[2] < 0.5, points)
        sides = touched_sides(enlarged(coarse, factors, network.shape), box, limits)
        larger = grown(box, sides, limits, 1.0)
        if larger == box or volume(larger) > params.new_voxels:
            break
        box = larger
    image_ = np.stack([block_mean(c, factors) for c in unit_spread(image.read(box))])
    size = tuple(s * f for s, f in zip(spacing, factors, strict=True))
    coarse = lobe_at(
        coarse, points, np.concatenate([image_, 0.5 * small[0][None]]), size
    )
    if not _is_likely(coarse, small[0], points, size):
        return None
    mask = coarse
    if max(factors) > 1:
        mask = _sharpened(coarse, small[0], network, marks, factors) & ~forbidden
    return Instance(box, mask)


def _sharpened(
    coarse: NDArray[np.bool_],
    small: NDArray[np.float32],
    network: NDArray[np.float32],
    points: NDArray[np.intp],
    factors: Sequence[int],
) -> NDArray[np.bool_]:
    """Return an instance found in blocks of voxels with the outline of each voxel."""
    level = _level(network, points)
    others = (small > level) & ~coarse
    near = ndimage.binary_dilation(coarse) & ~others
    return enlarged(near, factors, network.shape) & (network > level)


def _is_likely(
    mask: NDArray[np.bool_],
    network: NDArray[np.float32],
    points: NDArray[np.intp],
    spacing: Sequence[float],
) -> bool:
    if not mask.any():
        return False
    sure = float(np.abs(np.tanh(0.5 * network[mask])).mean())
    depth = depth_in(mask, spacing)
    centred = float(depth[tuple(points[len(points) // 2])] / depth.max())
    return sure >= SURE and centred >= CENTRED


def _level(network: NDArray[np.float32], points: NDArray[np.intp]) -> float:
    """Return the log-odds of the outline: a faint object's is at half its own."""
    level = min(0.5, 0.5 * _chance(network, points))
    return float(np.log(level / (1 - level)))


def _chance(network: NDArray[np.float32], points: NDArray[np.intp]) -> float:
    return 1 / (1 + float(np.exp(-np.median(network[tuple(points.T)]))))


def instance_at(
    network: NDArray[np.float32],
    core: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    points: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Separate objects by a watershed from their cores; return those under points.

    Parameters
    ----------
    network : ndarray of float32
        Log-odds of any object.
    core : ndarray of float32, same shape
        Probability of an object's inside, lower where objects touch.
    allowed : ndarray of bool, same shape
        Where the object may be.
    points : ndarray of int, shape (N, ndim)

    Returns
    -------
    ndarray of bool, same shape
        Without holes; empty where the network sees no object.
    """
    empty = np.zeros(network.shape, bool)
    here = tuple(points.T)
    if _chance(network, points) < LEAST:
        return empty
    objects = (network > _level(network, points)) & allowed
    labels = watershed(-core, _seeds(core, objects), mask=objects)
    counts = np.bincount(labels[here])
    counts[0] = 0
    meant = np.flatnonzero(counts >= max(SHARE * len(points), 1))
    if not len(meant):
        return empty
    filled = ndimage.binary_fill_holes(np.isin(labels, meant))
    return np.asarray(filled & allowed)


def _seeds(core: NDArray[np.float32], objects: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return a seed for each core, and for each object that has none."""
    seeds, count = ndimage.label((core > SEED) & objects)
    parts, total = ndimage.label(objects)
    lonely = np.ones(total + 1, bool)
    lonely[parts[seeds > 0]] = False
    lonely[0] = False
    return np.asarray(np.where(lonely[parts], count + parts, seeds), np.int32)
