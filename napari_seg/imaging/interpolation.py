"""Fill the planes between those in which somebody has drawn an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_seg.imaging.deltas import LabelEdit, make_edit
from napari_seg.imaging.objects import check_unlocked, object_box
from napari_seg.imaging.slabs import Box, box_shape, check_integers, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray


def interpolate_object(
    labels: Any,
    object_id: int,
    *,
    axis: int,
    within: Box | None = None,
    locked: Iterable[int] = (),
    spacing: Sequence[float] | None = None,
) -> LabelEdit:
    """Fill the planes between those that hold an object.

    Its outline goes over from one plane's to the next one's, and its centre moves
    along the straight line between theirs.

    Parameters
    ----------
    labels : array of int
        Current labels.
    object_id : int
    axis : int
        Axis of the planes; a plane may itself be a volume.
    within : tuple of slice, optional
        Look for planes, and fill them, only here.
    locked : iterable of int, optional
        Ids that keep every pixel.
    spacing : sequence of float, optional
        Physical size of a voxel along each axis of the labels.

    Returns
    -------
    LabelEdit
        Only background is filled. Empty if no plane lies between two others.
    """
    check_integers(labels)
    check_unlocked([object_id], locked)
    axis %= len(labels.shape)
    limits = within or whole(labels)
    tight = object_box(labels, object_id, limits)
    # In between, an outline may bulge by a pixel beyond both.
    box = tuple(
        s if a == axis else slice(max(s.start - 1, b.start), min(s.stop + 1, b.stop))
        for a, (s, b) in enumerate(zip(tight, limits, strict=True))
    )
    if 0 in box_shape(tight):
        box = tight
    before = np.array(labels[box])
    after = before.copy()
    planes, filled = np.moveaxis(before, axis, 0), np.moveaxis(after, axis, 0)
    steps = np.ones(before.ndim) if spacing is None else np.asarray(spacing, float)
    sampling = np.delete(steps, axis)
    own = planes == object_id
    drawn = np.flatnonzero(own.any(axis=tuple(range(1, own.ndim))))
    for first, last in pairwise(drawn):
        shares = (np.arange(first + 1, last) - first) / (last - first)
        between = _between(own[first], own[last], shares, sampling)
        for plane, mask in zip(range(first + 1, last), between, strict=True):
            filled[plane][mask & (planes[plane] == 0)] = object_id
    return make_edit("interpolate", [s.start for s in box], before, after)


def _between(
    first: NDArray[np.bool_],
    last: NDArray[np.bool_],
    shares: NDArray[np.floating[Any]],
    sampling: NDArray[np.floating[Any]],
) -> Iterator[NDArray[np.bool_]]:
    """Give the masks at some shares of the way from one to another."""
    if not len(shares):
        return
    centres = [np.array(ndimage.center_of_mass(mask)) for mask in (first, last)]
    # Room for what moves, so that nothing has to be made up at the border.
    room = np.ceil(np.abs(centres[1] - centres[0])).astype(int) + 1
    inner = tuple(slice(r, r + n) for r, n in zip(room, first.shape, strict=True))
    masks = [np.pad(mask, [(r, r) for r in room]) for mask in (first, last)]
    depths = [_depth(mask, sampling) for mask in masks]
    for share in shares:
        centre = (1 - share) * centres[0] + share * centres[1]
        moves = [np.round(centre - c, 6) for c in centres]
        a, b = (
            ndimage.shift(depth, move, order=1, mode="nearest")
            for depth, move in zip(depths, moves, strict=True)
        )
        mask = (1 - share) * a + share * b > 0
        if not mask.any():
            # Objects of a pixel or two get lost between the pixels.
            nearer = int(share >= 0.5)
            mask = ndimage.shift(masks[nearer], np.round(moves[nearer]), order=0)
        yield mask[inner]


def _depth(
    mask: NDArray[np.bool_], sampling: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Return the distance to the outline, negative outside."""
    inside = ndimage.distance_transform_edt(mask, sampling=sampling)
    outside = ndimage.distance_transform_edt(~mask, sampling=sampling)
    return np.asarray(inside - outside)
