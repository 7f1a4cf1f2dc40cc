"""The edits people make to labels: add, merge, split, delete, fill, smooth, trim."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_seg.errors import LabelsError
from napari_seg.imaging.deltas import Box, LabelEdit, bounding_box, make_edit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Box",
    "LabelEdit",
    "add_object",
    "bounding_box",
    "delete_objects",
    "fill_holes",
    "keep_largest_part",
    "make_edit",
    "merge_objects",
    "next_free_id",
    "object_box",
    "smooth_object",
    "split_object",
]


def next_free_id(labels: Any) -> int:
    """Return the id after the highest one; a free gap if the dtype ends there."""
    array = np.asarray(labels)
    _check_integers(array)
    highest = int(array.max(initial=0))
    if highest < np.iinfo(array.dtype).max:
        return highest + 1
    used = np.unique(array[array > 0])
    free = np.flatnonzero(used != np.arange(1, len(used) + 1))
    if not len(free):
        raise LabelsError(
            "Every id of the labels is taken",
            f"{array.dtype} labels with {len(used)} objects",
            "Convert the labels to int32.",
        )
    return int(free[0]) + 1


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
    _check_unlocked([object_id], locked)
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
) -> LabelEdit:
    """Give several objects one id: `into`, or the first of `ids`."""
    _check_unlocked(ids, locked)
    target = ids[0] if into is None else into
    return _repaint(labels, [i for i in ids if i != target], target, "merge")


def delete_objects(
    labels: Any, ids: Sequence[int], *, locked: Iterable[int] = ()
) -> LabelEdit:
    """Turn objects into background."""
    _check_unlocked(ids, locked)
    return _repaint(labels, ids, 0, "delete")


def split_object(
    labels: Any,
    object_id: int,
    parts: NDArray[np.integer],
    start: Sequence[int],
    *,
    locked: Iterable[int] = (),
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
    """
    _check_unlocked([object_id], locked)
    piece = tuple(slice(a, a + n) for a, n in zip(start, parts.shape, strict=True))
    before = np.array(labels[piece])
    inside = np.where(before == object_id, parts, 0)
    numbers, sizes = np.unique(inside[inside > 0], return_counts=True)
    after = before.copy()
    new_id = next_free_id(labels)
    for number in numbers[np.argsort(-sizes, kind="stable")][1:]:
        _check_fits(before, new_id)
        after[inside == number] = new_id
        new_id += 1
    return make_edit("split", start, before, after)


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
    locked: Iterable[int] = (),
    within: Box | None = None,
) -> LabelEdit:
    """Smooth the outline of an object with a Gaussian; its neighbours stay."""

    def smoothed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        # A single plane must not be averaged with emptiness above and below.
        sigma = [sigma_px if n > 1 else 0.0 for n in mask.shape]
        return np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), sigma) > 0.5)

    rim = int(np.ceil(3 * sigma_px))
    return _reshape(labels, object_id, "smooth", smoothed, locked, within, rim)


def object_box(
    labels: Any,
    object_id: int,
    within: Box | None = None,
    near: Sequence[int] | None = None,
) -> Box:
    """Return the bounding box of an object; empty slices if it is not there."""
    piece = within or tuple(slice(0, n) for n in labels.shape)
    found = bounding_box(np.asarray(labels[piece]) == object_id)
    return tuple(
        slice(s.start + p.start, s.stop + p.start)
        for s, p in zip(found, piece, strict=True)
    )


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
    _check_unlocked([object_id], locked)
    limits = within or tuple(slice(0, n) for n in labels.shape)
    tight = object_box(labels, object_id, within)
    # An object of one plane is edited as an image: no rim above and below.
    rims = [rim if s.stop - s.start > 1 else 0 for s in tight]
    box = tuple(
        slice(max(s.start - r, b.start), min(s.stop + r, b.stop))
        for s, b, r in zip(tight, limits, rims, strict=True)
    )
    mask = change(np.asarray(labels[box]) == object_id)
    return add_object(labels, [s.start for s in box], mask, object_id, name=name)


def _repaint(labels: Any, ids: Sequence[int], target: int, name: str) -> LabelEdit:
    array = np.asarray(labels)
    _check_integers(array)
    hit = np.isin(array, np.asarray([i for i in ids if i > 0], array.dtype))
    box = bounding_box(hit)
    before = np.array(array[box])
    _check_fits(before, target)
    after = np.where(hit[box], before.dtype.type(target), before)
    return make_edit(name, [s.start for s in box], before, after)


def _check_unlocked(ids: Iterable[int], locked: Iterable[int]) -> None:
    clash = sorted(set(ids) & set(locked))
    if clash:
        raise LabelsError(
            "A locked object cannot be changed",
            ", ".join(f"object {i}" for i in clash),
            "Unlock it first.",
        )


def _check_integers(labels: NDArray[Any]) -> None:
    if labels.dtype.kind not in "iu":
        raise LabelsError(
            "Labels must be integers", str(labels.dtype), "Convert them to int32."
        )


def _check_fits(labels: NDArray[Any], object_id: int) -> None:
    _check_integers(labels)
    if not 0 <= object_id <= np.iinfo(labels.dtype).max:
        raise LabelsError(
            "The id does not fit the labels",
            f"id {object_id} in {labels.dtype} labels",
            "Convert the labels to int32.",
        )
