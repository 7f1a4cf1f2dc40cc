"""The labels that are corrected, with the image and the network they go by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_seg.errors import AxesError, ImageError, LabelsError, NapariSegError
from napari_seg.gui.correction.aligned import AlignedImage
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.view import displayed_axes, shown_point
from napari_seg.imaging.axes import guess_axes
from napari_seg.imaging.deltas import Box, LabelEdit
from napari_seg.imaging.stored import indexed

INDEX_KEY = "index"
"""Where `StoredLabels` are, in the metadata of their layer."""


@dataclass(frozen=True, eq=False)
class Target:
    """A labels layer as the correction core sees it: an array on a grid.

    Parameters
    ----------
    layer : Labels
        What the user sees.
    images : tuple of Image
        What the cut looks at.
    labels : array of int
        View of the layer's data, without an axis along which it only repeats.
    image : AlignedImage
        The images on the grid of `labels`.
    axes : str
        Letters T Z Y X of the grid; C where channels have labels of their own.
    repeated : int or None
        Axis of the layer's data that `labels` lacks.
    probabilities : KeptProbabilities or None
        Of the network that made the labels.
    spacing : tuple of float
        Size of a pixel in world units.
    """

    layer: Labels
    images: tuple[Image, ...]
    labels: Any
    image: AlignedImage
    axes: str
    repeated: int | None
    probabilities: KeptProbabilities | None
    spacing: tuple[float, ...]

    def to_grid(self, points: np.ndarray) -> np.ndarray:
        """Drop the repeated axis from points of the layer, shape (N, ndim)."""
        return points if self.repeated is None else np.delete(points, self.repeated, 1)

    def shown_edit(self, edit: LabelEdit, viewer: ViewerModel) -> LabelEdit:
        """Return an edit of the grid for the layer, on the channel that is shown."""
        if self.repeated is None or edit.is_empty:
            return edit
        channel = round(float(shown_point(viewer, self.layer)[self.repeated]))
        parts = list(edit.box)
        parts.insert(self.repeated, slice(channel, channel + 1))
        return replace(edit, box=tuple(parts))

    def to_layer(self, box: Box) -> Box:
        """Return a box of the grid in the layer; of a repeated axis all of it."""
        if self.repeated is None:
            return box
        parts = list(box)
        count = self.layer.data.shape[self.repeated]
        parts.insert(self.repeated, slice(0, count))
        return tuple(parts)

    def to_layer_axis(self, axis: int) -> int:
        """Return which axis of the layer an axis of the grid is."""
        return axis + int(self.repeated is not None and axis >= self.repeated)

    def to_layer_pixel(self, pixel: Sequence[int]) -> tuple[int, ...]:
        """Return a pixel of the grid in the layer."""
        parts = list(pixel)
        if self.repeated is not None:
            parts.insert(self.repeated, 0)
        return tuple(parts)

    def is_current(self) -> bool:
        """Whether the layer still has the same array and the same probabilities."""
        data, labels = self.layer.data, self.labels
        kept = _prediction(self.layer, tuple(labels.shape))
        known = self.probabilities
        if kept is not (None if known is None else known.segmentation):
            return False
        if isinstance(data, np.ndarray):
            return bool(np.may_share_memory(data, labels))
        return data is getattr(labels, "array", labels)

    @property
    def depth_axis(self) -> int | None:
        """The axis of planes, else of frames, else None."""
        for letter in "ZT":
            if letter in self.axes:
                return self.axes.index(letter)
        return None

    def here(self, viewer: ViewerModel) -> tuple[int, ...]:
        """Return the pixel of the grid the sliders stand on."""
        point = np.round(shown_point(viewer, self.layer)).astype(int)
        if self.repeated is not None:
            point = np.delete(point, self.repeated)
        last = np.asarray(self.labels.shape) - 1
        return tuple(int(i) for i in np.clip(point, 0, last))

    def within(self, viewer: ViewerModel, is_volume: bool) -> Box:
        """Return where a stroke may act: the plane shown, or the volume of a frame."""
        here = self.here(viewer)
        shown = [self._on_grid(a) for a in displayed_axes(viewer, self.layer)]
        return tuple(
            slice(0, int(size))
            if axis in shown or (is_volume and letter == "Z")
            else slice(i, i + 1)
            for axis, (letter, size, i) in enumerate(
                zip(self.axes, self.labels.shape, here, strict=True)
            )
        )

    def _on_grid(self, axis: int) -> int:
        if self.repeated is None or axis < self.repeated:
            return axis
        return axis - 1


class KeptProbabilities:
    """Probabilities of a run, computed for the box that is asked for.

    Parameters
    ----------
    segmentation : Segmentation
        Of the run.
    """

    def __init__(self, segmentation: Any) -> None:
        self.segmentation = segmentation
        labels = segmentation.labels
        self.shape = (len(segmentation.classes), *labels.shape)

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        number, *box = index
        return np.asarray(self.segmentation.probability_in(tuple(box), number))


def make_target(layer: Labels, images: Sequence[Image]) -> Target:
    """Pair a labels layer with images.

    Raises
    ------
    NapariSegError
        If the labels cannot be edited or the images do not fit.
    """
    check_editable(layer)
    if not images:
        raise ImageError("There is no image under the labels", remedy="Open it.")
    repeated = repeated_axis(layer)
    kept = [a for a in range(layer.ndim) if a != repeated]
    labels = _known(layer)
    if repeated is not None:
        labels = layer.data[(slice(None),) * repeated + (0,)]
    shape = tuple(int(n) for n in labels.shape)
    letters = labels_axes(layer)
    made_from = _prediction(layer, shape)
    axes = "".join(letters[a] for a in kept)
    return Target(
        layer=layer,
        images=tuple(images),
        labels=labels,
        image=AlignedImage(images, layer, shape, kept),
        axes=axes,
        repeated=repeated,
        probabilities=None if made_from is None else KeptProbabilities(made_from),
        spacing=tuple(
            1.0 if letters[a] in "TC" else abs(float(layer.scale[a])) for a in kept
        ),
    )


def check_editable(layer: Labels) -> None:
    """Raise LabelsError if no image could make labels editable."""
    if layer.multiscale:
        raise LabelsError(
            "Multiscale labels are corrected at full resolution",
            f"layer {layer.name!r}",
            "Choose it in the list of labels.",
        )
    data = layer.data
    if isinstance(data, np.ndarray) and not data.flags.writeable:
        raise LabelsError(
            "The labels cannot be written",
            f"layer {layer.name!r} is read-only",
            "Duplicate the layer, and correct the copy.",
        )


def _known(layer: Labels) -> Any:
    """Return a layer's labels; of large ones on disk what is known stays with it."""
    known = layer.metadata.get(METADATA_KEY, {}).get(INDEX_KEY)
    if known is None or known.array is not layer.data:
        known = indexed(layer.data)
        if known is not layer.data:
            layer.metadata.setdefault(METADATA_KEY, {})[INDEX_KEY] = known
    return known


def labels_axes(layer: Labels) -> str:
    """Return the axes of a labels layer: as its run says, else as napari names them."""
    known = layer.metadata.get(METADATA_KEY, {}).get("axes", "")
    own = known[1:] if known.startswith("C") else known
    for letters in (own, own[:-1] if own.endswith("C") else own):
        if len(letters) == layer.ndim:
            return letters
    names = [str(label) for label in layer.axis_labels]
    try:
        letters = guess_axes(layer.data.shape, names=names)
    except AxesError:
        letters = ""
    # Labels have no colours: a short last axis is columns.
    plain = "TZYX"[-layer.ndim :] if layer.ndim <= 4 else ""
    found = plain if "C" in letters or len(letters) != layer.ndim else letters
    if not found:
        raise AxesError(
            "The axes of the labels cannot be told",
            f"{layer.ndim} axes",
            "Name them T, Z, Y, X in the layer's axis labels.",
        )
    return found


def fitting_images(layer: Labels, images: Sequence[Image]) -> list[Image]:
    """Return the images a labels layer can be corrected on, the likeliest first.

    None where no image could make the labels editable.
    """
    fits = []
    for image in images:
        try:
            make_target(layer, [image])
        except NapariSegError:
            continue
        fits.append(image)
    named = layer.metadata.get(METADATA_KEY, {}).get("image")
    # Sorting is stable: after the image the labels were made from, the topmost.
    return sorted(fits, key=lambda image: image.name != named)


def repeated_axis(layer: Labels) -> int | None:
    """Return the axis along which the data repeat without taking memory."""
    if not isinstance(layer.data, np.ndarray):
        return None
    pairs = zip(layer.data.strides, layer.data.shape, strict=True)
    flat = [a for a, (stride, size) in enumerate(pairs) if stride == 0 and size > 1]
    return flat[0] if flat else None


def _prediction(layer: Labels, shape: tuple[int, ...]) -> Any:
    """Return the prediction under the labels, if its probabilities were kept."""
    kept = layer.metadata.get(METADATA_KEY, {}).get("segmentation")
    if kept is None or getattr(kept, "network_probabilities", None) is None:
        return None
    return kept if kept.labels.shape == shape else None
