"""The edits people make to labels: add, merge, split, delete, fill, smooth, trim."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_seg.errors import LabelsError
from napari_seg.imaging.deltas import (
    Change,
    LabelEdit,
    bounding_box,
    join_edit,
    make_edit,
)
from napari_seg.imaging.objects import (
    check_unlocked,
    ids_in,
    is_any_of,
    next_free_id,
    next_free_ids,
    object_box,
)
from napari_seg.imaging.slabs import (
    Box,
    box_shape,
    check_integers,
    moved,
    whole,
)
from napari_seg.imaging.stored import places

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Box",
    "LabelEdit",
    "add_object",
    "bounding_box",
    "delete_objects",
    "fill_holes",
    "ids_in",
    "keep_largest_part",
    "make_edit",
    "merge_objects",
    "next_free_id",
    "next_free_ids",
    "object_box",
    "smooth_object",
    "split_object",
]


def add_object(
    labels: Any,
    start: Sequence[int],
    mask: NDArray[np.bool_],
    object_id: int,
    *,
    locked: Iterable[int] = (),
    overwrite: bool = False,
    name: str = "add",
) -> LabelEdit:
    """Make a mask the extent of one object within the mask's piece of the labels.

    Parameters
    ----------
    labels : array of int
        Current labels.
    start : sequence of int
        Where the piece begins.
    mask : ndarray of bool
        The object in the piece; its pixels outside the mask become background.
    object_id : int
        Id of the object, which may be new.
    locked : iterable of int, optional
        Ids that keep every pixel.
    overwrite : bool, optional
        Whether other, unlocked ids may lose pixels to the object.
    name : str, optional
        Of the edit.
    """
    check_unlocked([object_id], locked)
    piece = tuple(slice(a, a + n) for a, n in zip(start, mask.shape, strict=True))
    before = np.array(labels[piece])
    _check_fits(before, object_id)
    own = before == object_id
    open_ = own | (before == 0)
    if overwrite:
        open_ = ~np.isin(before, list(locked))
    after = before.copy()
    after[own & ~mask] = 0
    after[mask & open_] = object_id
    return make_edit(name, start, before, after)


def merge_objects(
    labels: Any,
    ids: Sequence[int],
    *,
    into: int | None = None,
    locked: Iterable[int] = (),
    within: Box | None = None,
) -> LabelEdit:
    """Give several objects one id: `into`, or the first of `ids`.

    Parameters
    ----------
    labels : array of int
        Current labels.
    ids : sequence of int
        Objects to join.
    into : int, optional
        Their common id, which may be new.
    locked : iterable of int, optional
        Ids that keep every pixel.
    within : tuple of slice, optional
        Where to look for them, e.g. one plane of a volume.
    """
    if not len(ids):
        raise LabelsError("There is nothing to merge", remedy="Choose two objects.")
    target = ids[0] if into is None else into
    check_unlocked([*ids, target], locked)
    others = [i for i in ids if i != target]
    return _repaint(labels, others, target, "merge", within)


def delete_objects(
    labels: Any,
    ids: Sequence[int],
    *,
    locked: Iterable[int] = (),
    within: Box | None = None,
) -> LabelEdit:
    """Turn objects into background, everywhere or only within a box."""
    check_unlocked(ids, locked)
    return _repaint(labels, ids, 0, "delete", within)


def split_object(
    labels: Any,
    object_id: int,
    parts: NDArray[np.integer],
    start: Sequence[int],
    *,
    locked: Iterable[int] = (),
    name: str = "split",
) -> LabelEdit:
    """Give the parts of one object ids of their own.

    Parameters
    ----------
    labels : array of int
        Current labels.
    object_id : int
        The object to split.
    parts : ndarray of int
        Part number 1, 2, ... of every pixel of a piece of the labels; 0 keeps the
        id. The largest part keeps the id, the others take the next free ones.
    start : sequence of int
        Where the piece begins.
    locked : iterable of int, optional
        Ids that keep every pixel.
    name : str, optional
        Of the edit.
    """
    check_unlocked([object_id], locked)
    piece = tuple(slice(a, a + n) for a, n in zip(start, parts.shape, strict=True))
    before = np.array(labels[piece])
    inside = np.where(before == object_id, parts, 0)
    numbers, sizes = np.unique(inside[inside > 0], return_counts=True)
    after = before.copy()
    others = numbers[np.argsort(-sizes, kind="stable")][1:]
    for number, new_id in zip(others, next_free_ids(labels, len(others)), strict=True):
        after[inside == number] = new_id
    return make_edit(name, start, before, after)


def fill_holes(
    labels: Any,
    object_id: int,
    *,
    locked: Iterable[int] = (),
    within: Box | None = None,
) -> LabelEdit:
    """Fill background that an object encloses; enclosed objects stay."""
    return _reshape(labels, object_id, "fill holes", _filled, locked, within)


def keep_largest_part(
    labels: Any,
    object_id: int,
    *,
    locked: Iterable[int] = (),
    within: Box | None = None,
) -> LabelEdit:
    """Drop all but the largest connected part of an object."""
    return _reshape(labels, object_id, "keep largest part", _largest, locked, within)


def smooth_object(
    labels: Any,
    object_id: int,
    *,
    sigma_px: float = 1.5,
    spacing: Sequence[float] | None = None,
    locked: Iterable[int] = (),
    within: Box | None = None,
) -> LabelEdit:
    """Smooth the outline of an object with a Gaussian; its neighbours stay.

    Parameters
    ----------
    labels : array of int
        Current labels.
    object_id : int
        The object to smooth.
    sigma_px : float, optional
        Width of the Gaussian, in the shortest side of a voxel.
    spacing : sequence of float, optional
        Size of a voxel along each axis, in any unit: along coarse axes the outline
        is smoothed over fewer voxels.
    locked : iterable of int, optional
        Ids that keep every pixel.
    within : tuple of slice, optional
        Smooth only here, e.g. in one plane of a volume.
    """
    steps = np.ones(len(labels.shape)) if spacing is None else np.asarray(spacing)
    sigmas = sigma_px * steps.min() / steps

    def smoothed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        # A single plane must not be averaged with emptiness above and below.
        sigma = [s if n > 1 else 0.0 for s, n in zip(sigmas, mask.shape, strict=True)]
        return np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), sigma) > 0.5)

    rim = int(np.ceil(3 * sigma_px))
    return _reshape(labels, object_id, "smooth", smoothed, locked, within, rim)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    flat = np.squeeze(mask)
    return np.asarray(ndimage.binary_fill_holes(flat)).reshape(mask.shape)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    if count < 2:
        return mask
    return np.asarray(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))


def _reshape(
    labels: Any,
    object_id: int,
    name: str,
    change: Callable[[NDArray[np.bool_]], NDArray[np.bool_]],
    locked: Iterable[int],
    within: Box | None,
    rim: int = 1,
) -> LabelEdit:
    """Edit one object's mask, in its bounding box and a rim around it."""
    check_unlocked([object_id], locked)
    limits = within or whole(labels)
    tight = object_box(labels, object_id, within)
    # An object of one plane is edited as an image: no rim above and below.
    rims = [rim if s.stop - s.start > 1 else 0 for s in tight]
    box = tuple(
        slice(max(s.start - r, b.start), min(s.stop + r, b.stop))
        for s, b, r in zip(tight, limits, rims, strict=True)
    )
    mask = change(np.asarray(labels[box]) == object_id)
    return add_object(labels, [s.start for s in box], mask, object_id, name=name)


def _repaint(
    labels: Any, ids: Sequence[int], target: int, name: str, within: Box | None
) -> LabelEdit:
    """Give all pixels of some ids another id, slab by slab."""
    check_integers(labels)
    dtype = np.dtype(labels.dtype)
    most = np.iinfo(dtype).max
    wanted = np.array(sorted({i for i in ids if 0 < i <= most}), dtype)

    def changes() -> Iterator[Change]:
        for slab in places(labels, within or whole(labels), wanted.tolist()):
            before = np.asarray(labels[slab])
            hit = is_any_of(before, wanted)
            tight = bounding_box(hit)
            if 0 not in box_shape(tight):
                before = before[tight]
                after = np.where(hit[tight], dtype.type(target), before)
                yield moved(tight, [s.start for s in slab]), before, after

    _check_fits(labels, target)
    return join_edit(name, changes(), dtype, len(labels.shape))


def _check_fits(labels: Any, object_id: int) -> None:
    check_integers(labels)
    dtype = np.dtype(labels.dtype)
    if not 0 <= object_id <= np.iinfo(dtype).max:
        raise LabelsError(
            "The id does not fit the labels",
            f"id {object_id} in {dtype} labels",
            "Convert the labels to int32.",
        )
