"""Cut an object out of an image from a few strokes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import ImageError, LabelsError
from napari_seg.imaging.deltas import bounding_box
from napari_seg.refine.box import volume
from napari_seg.refine.solver import Cut, CutParams, Known, cut_object
from napari_seg.refine.strokes import Stroke, as_points, spatial_ndim
from napari_seg.refine.volume import Volume, normal_spacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.imaging.deltas import Box

SUREST = 0.98
"""Probabilities are not believed beyond this."""


def graph_cut(
    image: Any,
    foreground: Any,
    background: Any = (),
    *,
    probabilities: Any = None,
    spacing: Sequence[float] | None = None,
    previous: NDArray[np.bool_] | None = None,
    forbidden: NDArray[np.bool_] | None = None,
    channel_axis: int | None = None,
    params: CutParams | None = None,
) -> NDArray[np.bool_]:
    """Cut one object out of an image.

    Parameters
    ----------
    image : array-like
        Shape (Y, X) or (Z, Y, X), with channels first or last where it has any.
        Of dask and zarr arrays only the pieces needed are read.
    foreground, background : ndarray of bool, or array_like of int, shape (N, ndim)
        Strokes on the object, and beside it: masks of the spatial shape or points.
    probabilities : array-like, optional
        Of a network, shape (*spatial) or (K, *spatial) with the background first.
    spacing : sequence of float, optional
        Physical size of a voxel along each axis, in any unit.
    previous : ndarray of bool, optional
        The object so far; the strokes correct it.
    forbidden : ndarray of bool, optional
        Where the object must not be, e.g. other objects. Strokes do not overrule it.
    channel_axis : int, optional
        Where it cannot be told from the shape.
    params : CutParams, optional

    Returns
    -------
    ndarray of bool
        Mask of the spatial shape. Voxels of `foreground` are in it, those of
        `background` are not.

    Raises
    ------
    LabelsError
        If there are no strokes, or the two sides overlap.
    ImageError
        If shapes do not fit.
    """
    ndim, shape = spatial_ndim(foreground, background)
    volume_ = Volume(image, ndim, shape=shape, channel_axis=channel_axis)
    positive = as_points(foreground, volume_.shape)
    negative = as_points(background, volume_.shape)
    _check_apart(positive, negative)
    mask = np.zeros(volume_.shape, bool)
    strokes = [Stroke(negative, False), Stroke(positive, True)]
    if not len(positive) + len(negative):
        return mask if previous is None else np.array(previous, bool)
    known = Known(
        previous=reader(previous, volume_.shape),
        forbidden=reader(forbidden, volume_.shape),
        network=network_reader(probabilities, volume_.shape),
        core=core_reader(probabilities, volume_.shape),
    )
    start = None
    if previous is not None:
        mask[...] = previous
        start = as_box(mask)
    found: Cut = cut_object(
        volume_,
        strokes if len(positive) else strokes[:1],
        known,
        normal_spacing(spacing, ndim),
        params or CutParams(),
        start,
    )
    mask[found.box] = found.mask
    return mask


def as_box(mask: NDArray[np.bool_]) -> Box | None:
    """Return the bounding box of a mask, or None if it is empty."""
    box = bounding_box(mask)
    return box if volume(box) else None


def reader(mask: Any, shape: tuple[int, ...]) -> Any:
    """Return a function that reads a box of a mask, which may be None."""
    if mask is None:
        return lambda box: np.zeros([s.stop - s.start for s in box], bool)
    if tuple(mask.shape) != shape:
        raise ImageError("A mask does not fit the image", f"{mask.shape} and {shape}")
    return lambda box: np.asarray(mask[box], bool)


def network_reader(probabilities: Any, shape: tuple[int, ...]) -> Any:
    """Return a function that reads a box of a network's log-odds, or None."""
    if probabilities is None:
        return lambda _: None
    full = tuple(probabilities.shape)
    if shape not in (full, full[1:]):
        raise ImageError(
            "The probabilities do not fit the image",
            f"{full} for an image of {shape}",
            "Their shape must be (K, ...) with the background first.",
        )

    def read(box: Box) -> NDArray[np.float32]:
        if full == shape:
            object_ = np.asarray(probabilities[box], np.float32)
        else:
            # Interior and border are both object: the border lies inside the outline.
            object_ = 1 - np.asarray(probabilities[(0, *box)], np.float32)
        sure = np.clip(object_, 1 - SUREST, SUREST)
        return np.log(sure / (1 - sure))

    return read


def core_reader(probabilities: Any, shape: tuple[int, ...]) -> Any:
    """Return a function that reads how surely a box is inside an object, or None.

    Of three classes the second is the inside of objects and the third their border,
    as in all networks here that part touching objects. Of others nothing is known but
    what is background.
    """
    if probabilities is None:
        return lambda _: None
    full = tuple(probabilities.shape)

    def read(box: Box) -> NDArray[np.float32]:
        if full == shape:
            return np.asarray(probabilities[box], np.float32)
        if full[0] == 3:
            return np.asarray(probabilities[(1, *box)], np.float32)
        return 1 - np.asarray(probabilities[(0, *box)], np.float32)

    return read


def _check_apart(positive: NDArray[np.intp], negative: NDArray[np.intp]) -> None:
    both = set(map(tuple, positive.tolist())) & set(map(tuple, negative.tolist()))
    if both:
        raise LabelsError(
            "Foreground and background strokes overlap",
            f"{len(both)} pixels in both",
            "Remove them from one of the two.",
        )
