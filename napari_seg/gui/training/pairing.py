"""From a labels layer to a source of training data: the image that lies under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from napari.layers import Image, Labels

from napari_seg.errors import DatasetError, NapariSegError
from napari_seg.gui.correction.aligned import Placement, placements
from napari_seg.gui.correction.target import labels_axes, repeated_axis
from napari_seg.gui.layers import METADATA_KEY, default_axes
from napari_seg.gui.view import full_data
from napari_seg.training.checked import Checked
from napari_seg.training.sources import ArraySource

_TOLERANCE = 0.5
"""Pixels by which two grids may drift apart and still be one."""

Index = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class LayerPair:
    """A labels layer and its image, as far as both reach; nothing is read yet.

    Parameters
    ----------
    name : str
        Of the labels layer.
    image_name : str
        Of the image layer.
    image, labels : array_like
        The layers' data, the labels without an axis that only repeats.
    image_index, labels_index : tuple of slice
        The part that both have.
    axes : str
        Of the image part, letters of TCZYX.
    spacing : tuple of float or None
        Distance between pixels along Z, Y, X; None if the layer does not say.
    """

    name: str
    image_name: str
    image: Any
    labels: Any
    image_index: Index
    labels_index: Index
    axes: str
    spacing: tuple[float, ...] | None = None

    @property
    def plane_axes(self) -> tuple[int, ...]:
        """Axes of the labels that number its planes, the outermost first."""
        letters = self.axes.replace("C", "")
        return tuple(letters.index(letter) for letter in "TZ" if letter in letters)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the part of the labels."""
        return tuple(part.stop - part.start for part in self.labels_index)

    def number_of(self, plane: Sequence[int]) -> int | None:
        """Return the number of a plane of the layer in the part; None if outside.

        Parameters
        ----------
        plane : sequence of int
            Where it is in the layer, along `plane_axes`.
        """
        number = 0
        for axis, place in zip(self.plane_axes, plane, strict=True):
            part = self.labels_index[axis]
            if not part.start <= place < part.stop:
                return None
            number = number * (part.stop - part.start) + place - part.start
        return number

    def source(self, checked: Checked | None = None) -> ArraySource:
        """Return the part as the core wants it; NumPy and dask arrays are views."""
        return ArraySource(
            _part(self.image, self.image_index),
            _part(self.labels, self.labels_index),
            self.name,
            self.axes,
            checked,
            # Labels of one image never part company, whatever layer they are in.
            group=f"layer {self.image_name}",
            origin=f"labels layer {self.name!r} and image layer {self.image_name!r}",
            spacing=self.spacing,
        )


def pair_layer(labels: Labels, images: Sequence[Image]) -> LayerPair:
    """Find the image that a labels layer belongs to.

    Parameters
    ----------
    labels : Labels
        The labels.
    images : sequence of Image
        Candidates, the likeliest first; one that the labels were made from goes
        before all others.

    Raises
    ------
    NapariSegError
        If none fits; it says what is wrong with the likeliest.
    """
    named = labels.metadata.get(METADATA_KEY, {}).get("image")
    reasons = []
    for image in sorted(images, key=lambda image: image.name != named):
        try:
            return _pair(labels, image)
        except NapariSegError as error:
            reasons.append(error)
    if reasons:
        raise reasons[0]
    raise DatasetError("There is no image under these labels", remedy="Open it.")


def _pair(labels: Labels, image: Image) -> LayerPair:
    repeated = repeated_axis(labels)
    kept = [axis for axis in range(labels.ndim) if axis != repeated]
    letters = labels_axes(labels)
    grid = "".join(letters[axis] for axis in kept)
    data = full_data(image)
    axes = _image_axes(labels, image)
    channel = axes.index("C") if "C" in axes else None
    places = placements(image, labels, kept, channel)
    missing = [grid[i] for i in range(len(grid)) if i not in _owners(places)]
    if missing or "C" in grid:
        raise DatasetError(
            f"The image lacks an axis of the labels ({', '.join(missing) or 'C'})",
            f"image {image.name!r}, axes {axes or 'unknown'}",
            "Train on labels of the image's own shape.",
        )
    own: Any = labels.data[0] if labels.multiscale else labels.data
    if repeated is not None:
        own = own[(slice(None),) * repeated + (0,)]
    image_index: list[slice] = [slice(0, int(size)) for size in data.shape]
    labels_index: list[slice] = [slice(0, int(size)) for size in own.shape]
    for axis, place in places.items():
        ours = labels_index[place.axis]
        image_index[axis], labels_index[place.axis] = _common(place, ours.stop)
    return LayerPair(
        labels.name,
        image.name,
        data,
        own,
        tuple(image_index),
        tuple(labels_index),
        "".join(
            grid[places[axis].axis] if axis in places else "C"
            for axis in range(len(data.shape))
        ),
        _spacing(labels, {letters[axis]: axis for axis in kept}),
    )


def _spacing(labels: Labels, axes: dict[str, int]) -> tuple[float, ...] | None:
    """Return the scale along Z, Y, X, unless it is napari's default."""
    scale = tuple(float(labels.scale[axes[a]]) for a in "ZYX" if a in axes)
    return None if set(scale) == {1.0} else scale


def _owners(places: dict[int, Placement]) -> set[int]:
    return {place.axis for place in places.values()}


def _image_axes(labels: Labels, image: Image) -> str:
    """Return the axes of an image: as the run that made the labels says, or guessed."""
    known = labels.metadata.get(METADATA_KEY, {})
    axes = known.get("axes", "")
    is_same = known.get("image") == image.name
    if is_same and len(axes) == len(full_data(image).shape):
        return str(axes)
    return default_axes(image)


def _common(place: Placement, length: int) -> tuple[slice, slice]:
    """Return the pixels of image and labels that lie on each other."""
    start = round(place.start)
    if abs(place.step - 1) * length > _TOLERANCE:
        raise DatasetError(
            "Labels and image have pixels of different size",
            f"{place.step:.3g} image pixels to a pixel of the labels",
            "Resample one of them.",
        )
    low, high = max(0, -start), min(length, place.size - start)
    return slice(low + start, high + start), slice(low, high)


def _part(data: Any, index: Index) -> Any:
    if all(
        part == slice(0, int(size))
        for part, size in zip(index, data.shape, strict=True)
    ):
        return data
    if not isinstance(data, np.ndarray | da.Array):
        data = da.from_array(data)  # zarr would be read here and now
    return data[index]
