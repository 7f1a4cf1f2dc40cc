"""How large a new object is: coarse looks around strokes, from near and from far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_seg.imaging.deltas import bounding_box
from napari_seg.imaging.slabs import moved
from napari_seg.refine.box import box_around, clipped, touched_sides, volume
from napari_seg.refine.channels import slope, unit_spread
from napari_seg.refine.depth import signed_depth
from napari_seg.refine.pyramid import block_mean, shrink_factors
from napari_seg.refine.strokes import Stroke, shift
from napari_seg.refine.whole import Look, whole_region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box
    from napari_seg.refine.scene import CutParams, Known
    from napari_seg.refine.volume import Volume

LOOK_VOXELS = 3_000
"""Size of a look; the ratings of regions were fitted to such."""

FAR_VOXELS = 500_000
"""The widest window is looked at only if it is not larger: a click on plain ground,
which ends nowhere, must be answered at once, too."""


@dataclass(frozen=True)
class Sought:
    """What looks like the whole object, seen coarsely.

    Parameters
    ----------
    box : tuple of slice
        Where to cut it: the region and a margin.
    fits : bool
        False if the best region is too large to be cut; then this is a smaller one.
    window : tuple of slice
        Where the region was seen.
    factors : tuple of int
        By how much the window was shrunk.
    region : ndarray of bool, shape of the shrunk window
    """

    box: Box
    fits: bool
    window: Box
    factors: tuple[int, ...]
    region: NDArray[np.bool_]

    def within(self, box: Box, spacing: Sequence[float]) -> NDArray[np.bool_]:
        """Return the region at full resolution in a box."""
        depth = signed_depth(self.region, np.multiply(spacing, self.factors).tolist())
        result = np.zeros([s.stop - s.start for s in box], bool)
        here = clipped(self.window, box)
        if not volume(here):
            return result
        factors = np.array(self.factors)
        start = np.array([s.start for s in here]) - [s.start for s in self.window]
        inside = ndimage.affine_transform(
            depth,
            1 / factors,
            # Voxels are boxes: the middle of the first one is half a voxel in.
            (start + 0.5) / factors - 0.5,
            tuple(s.stop - s.start for s in here),
            order=1,
            mode="nearest",
        )
        result[moved(here, [-s.start for s in box])] = inside > 0
        return result


def seek(
    image: Volume,
    strokes: Sequence[Stroke],
    known: Known,
    spacing: tuple[float, ...],
    params: CutParams,
    limits: Box,
) -> Sought:
    """Return what looks most like a whole object around strokes.

    In a window smaller than the object all is noise, and in one much larger it is a
    speck, so windows of several sizes are looked at.

    Parameters
    ----------
    image : Volume
    strokes : sequence of Stroke
    known : Known
    spacing : tuple of float
    params : CutParams
    limits : tuple of slice
        Windows end here.
    """
    points = np.concatenate([s.points for s in strokes])
    limit = min(params.new_voxels, params.max_voxels)
    seen: list[Sought] = []
    ratings: list[float] = []
    for wider in (1.0, *params.wider):
        window = box_around(points, image.shape, wider * params.margin_px, spacing)
        window = clipped(window, limits)
        last = wider == params.wider[-1]
        # What is larger than a new object may be takes long, and is not cut anyway.
        is_too_large = bool(seen) and volume(window) > (FAR_VOXELS if last else limit)
        if is_too_large or any(window == other.window for other in seen):
            continue
        if last and not _is_cut_off(seen[int(np.argmax(ratings))], limits):
            break
        look, factors = looked(image, window, strokes, known, spacing)
        region, rating = whole_region(look)
        box = clipped(_around(region, window, spacing, params), limits)
        seen.append(Sought(box, volume(box) <= limit, window, factors, region))
        ratings.append(np.inf if last else rating)
    best = seen[int(np.argmax(ratings))]
    # Plain ground floods without end; an answer there must not take long.
    return best if best.fits else replace(seen[0], fits=False)


def _is_cut_off(found: Sought, limits: Box) -> bool:
    """Tell whether the region ends only where its window does."""
    sides = touched_sides(found.region, found.window, limits)
    return any(first or last for first, last in sides)


def _around(
    region: NDArray[np.bool_],
    window: Box,
    spacing: tuple[float, ...],
    params: CutParams,
) -> Box:
    """Return the box of a region in a coarse look at a window, with a margin."""
    sides = []
    for axis, seen in enumerate(bounding_box(region)):
        side = window[axis]
        cell = (side.stop - side.start) / region.shape[axis]
        low, high = side.start + cell * seen.start, side.start + cell * seen.stop
        pad = max(params.margin_px / spacing[axis], params.pad * (high - low))
        sides.append(slice(int(low - pad), int(np.ceil(high + pad))))
    return tuple(sides)


def looked(
    image: Volume,
    box: Box,
    strokes: Sequence[Stroke],
    known: Known,
    spacing: tuple[float, ...],
) -> tuple[Look, tuple[int, ...]]:
    """Return what is in a box, blurred, and by how much it is shrunk."""
    raw = image.read(box)
    factors = shrink_factors(raw.shape[1:], spacing, LOOK_VOXELS)
    # Whole blocks of every third voxel or so.
    factors = tuple(-(-f // max(1, f // 3)) * max(1, f // 3) for f in factors)
    steps = [max(1, f // 3) for f in factors]
    blocks = [f // s for f, s in zip(factors, steps, strict=True)]

    def blurred(values: NDArray) -> NDArray[np.float32]:  # type: ignore[type-arg]
        return block_mean(values[tuple(slice(None, None, s) for s in steps)], blocks)

    channels = unit_spread(np.stack([blurred(channel) for channel in raw]))
    network = known.network(box)
    if network is not None:
        channels = np.concatenate([channels, 0.5 * blurred(network)[None]])
    thin = raw[(slice(None), *(slice(None, None, s) for s in steps))]
    marks = [
        Stroke(np.unique(s.points // factors, axis=0), s.positive)
        for s in shift(strokes, box)
    ]
    look = Look(
        channels,
        block_mean(slope(thin, (1.0,) * thin[0].ndim), blocks),
        marks,
        blurred(known.forbidden(box)) > 0.5,
        tuple(s * f for s, f in zip(spacing, factors, strict=True)),
    )
    return look, factors
