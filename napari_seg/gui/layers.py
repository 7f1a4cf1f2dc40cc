"""From an image layer to an array, and what its labels must inherit from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.transforms import Affine

from napari_seg.errors import AxesError
from napari_seg.gui.view import (
    displayed_axes,
    full_data,
    middle_of_view,
    seen_corners,
    shown_point,
)
from napari_seg.imaging.axes import check_axes, guess_axes, spatial_shape
from napari_seg.imaging.levels import Levels
from napari_seg.state import Scope

_SNAP_PX = 16
"""What is seen grows at most to whole pixels of the fifth level, each half as fine."""

METADATA_KEY = "napari_seg"
"""Where a labels layer keeps its `Segmentation`, provenance and place."""


@dataclass(frozen=True)
class Source:
    """The part of an image layer that a job gets, and its place in the layer.

    Parameters
    ----------
    layer : Image
        Only for its identity and transform; the job never sees it.
    data : array_like
        The part, still lazy if the layer's data is; axes as in `axes`. `Levels` of a
        multiscale layer.
    axes : str
        One letter per axis of `data`, e.g. ``"ZYXC"``.
    index : tuple of slice
        Where `data` lies in the full-resolution data of the layer.
    focus : tuple of float
        What the user looks at, in pixels of `data`, one number per spatial axis.
    scope : Scope
        How the part was chosen.
    """

    layer: Image
    data: Any
    axes: str
    index: tuple[slice, ...]
    focus: tuple[float, ...]
    scope: Scope

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels: that of `data` without the channels."""
        return spatial_shape(self.axes, self.data.shape)

    @property
    def offset(self) -> tuple[int, ...]:
        """First pixel of the part in the image, one number per spatial axis."""
        pairs = zip(self.axes, self.index, strict=True)
        return tuple(int(part.start) for axis, part in pairs if axis != "C")


def default_axes(layer: Image) -> str:
    """Guess the axes of a layer; empty if nobody can."""
    names = [str(label) for label in layer.axis_labels]
    try:
        return guess_axes(full_data(layer).shape, rgb=layer.rgb, names=names)
    except AxesError:
        return ""


def pixel_size_um(layer: Image, axes: str) -> tuple[float, ...] | None:
    """Return the edge lengths of a pixel in micrometres, per spatial axis.

    T counts with 1. None if the layer has no unit of length.
    """
    sizes = []
    for axis, unit, scale in zip(axes, layer.units, layer.scale, strict=False):
        if axis == "T":
            sizes.append(1.0)
        elif axis in "ZYX":
            if not unit.is_compatible_with("micrometer"):
                return None
            sizes.append(abs(float((scale * unit).to("micrometer").magnitude)))
    return tuple(sizes)


def take_source(viewer: ViewerModel, layer: Image, axes: str, scope: Scope) -> Source:
    """Cut the part that is to be segmented out of a layer, without reading it.

    Parameters
    ----------
    viewer : ViewerModel
        For the plane and the field it shows.
    layer : Image
        The image.
    axes : str
        One letter per axis of its data.
    scope : Scope
        All of it, the plane, or the field the user sees.

    Returns
    -------
    Source
        Slices keep their axis (with length 1), so `axes` stays true.
    """
    data = Levels(layer.data) if layer.multiscale else layer.data
    axes = check_axes(axes, data.shape)
    index = _index_of(viewer, layer, axes, scope)
    middle = middle_of_view(viewer, layer)
    focus = tuple(
        float(np.clip(middle[i], part.start, part.stop - 1) - part.start)
        for i, (axis, part) in enumerate(zip(axes, index, strict=True))
        if axis != "C"
    )
    part = data.cut(index) if isinstance(data, Levels) else data[index]
    return Source(layer, part, axes, index, focus, scope)


def _index_of(
    viewer: ViewerModel, layer: Image, axes: str, scope: Scope
) -> tuple[slice, ...]:
    """Return where the scope lies in the data, every slice with its bounds.

    The field on a multiscale layer begins and ends between the pixels of a coarser
    level, so that this one can be read.
    """
    shape = full_data(layer).shape
    index = [slice(0, int(size)) for size in shape]
    if scope is Scope.IMAGE:
        return tuple(index)
    displayed = displayed_axes(viewer, layer)
    point = shown_point(viewer, layer)
    corners = seen_corners(viewer, layer)
    for i, axis in enumerate(axes):
        last = shape[i] - 1
        if axis in "TZ" and i not in displayed:
            here = int(np.clip(round(point[i]), 0, last))
            index[i] = slice(here, here + 1)
        elif axis in "YX" and i in displayed and scope is Scope.FIELD:
            low, high = np.clip(corners[:, i], 0, last)
            step = _step_px(layer, i)
            stop = min(-(-(int(high) + 1) // step) * step, last + 1)
            index[i] = slice(int(low) // step * step, stop)
    return tuple(index)


def _step_px(layer: Image, axis: int) -> int:
    """Return how many pixels one of the coarsest level is wide, within reason."""
    if not layer.multiscale:
        return 1
    return int(min(_SNAP_PX, round(layer.downsample_factors[-1][axis])))


def kept_dims(layer: Image, axes: str) -> list[int]:
    """Return which axes of the image layer its labels layer has.

    napari aligns layers by their last axes. So a leading channel axis can go, and
    the labels show on every channel; one in the middle must stay.
    """
    return [i for i in range(layer.ndim) if not (i == 0 and axes[i] == "C")]


def labels_kwargs(source: Source) -> Mapping[str, Any]:
    """Return the transform, units and axis labels that put labels on their image."""
    layer = source.layer
    kept = kept_dims(layer, source.axes)
    block = np.ix_(kept, kept)
    starts = np.array([part.start for part in source.index[: layer.ndim]])
    # A channel axis that stays repeats the labels, so it starts where it did.
    starts[[axis == "C" for axis in source.axes[: layer.ndim]]] = 0
    to_world = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear)
    translate = np.asarray(layer.translate) + to_world.linear_matrix @ starts
    shear = Affine(shear=layer.shear, ndim=layer.ndim).linear_matrix
    corner = [*kept, layer.ndim]
    return {
        "scale": np.asarray(layer.scale)[kept],
        "translate": translate[kept],
        "rotate": np.asarray(layer.rotate)[block],
        "shear": shear[block],
        "affine": np.asarray(layer.affine.affine_matrix)[np.ix_(corner, corner)],
        "units": tuple(layer.units[i] for i in kept),
        "axis_labels": tuple(layer.axis_labels[i] for i in kept),
    }


def labels_view(source: Source, labels: np.ndarray) -> np.ndarray:
    """Return `labels` with the axes of the labels layer, sharing the memory.

    A channel axis in the middle is repeated with stride 0: the labels show on
    every channel, cost no memory, and a stroke on one channel is on all.

    Parameters
    ----------
    source : Source
        Tells axes and channels.
    labels : ndarray of int32, spatial axes of the source
        The labels; written through the returned view.
    """
    shape = list(labels.shape)
    strides = list(labels.strides)
    for i in kept_dims(source.layer, source.axes):
        if source.axes[i] == "C":
            shape.insert(i, full_data(source.layer).shape[i])
            strides.insert(i, 0)
    if len(shape) == labels.ndim:
        return labels
    return np.lib.stride_tricks.as_strided(labels, shape, strides, writeable=True)


def labels_name(source: Source, model: str) -> str:
    """Name the labels after image and model, and after the part if it is one."""
    name = f"{source.layer.name} {model}"
    if source.scope is Scope.IMAGE:
        return name
    places = zip(source.axes, source.index, strict=True)
    planes = [f"{a.lower()}{p.start}" for a, p in places if a in "TZ"]
    what = "plane" if source.scope is Scope.PLANE else "field"
    return f"{name} ({' '.join([what, *planes])})"
