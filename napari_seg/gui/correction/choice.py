"""Which labels are corrected, and on which images."""

from __future__ import annotations

import math

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from psygnal import Signal

from napari_seg.errors import ImageError, LabelsError, NapariSegError
from napari_seg.gui.correction.full import SUFFIX
from napari_seg.gui.correction.target import (
    Target,
    check_editable,
    fitting_images,
    make_target,
)
from napari_seg.gui.layer_watch import LayerWatch
from napari_seg.gui.layers import (
    METADATA_KEY,
    default_axes,
    labels_kwargs,
    labels_view,
    take_source,
)
from napari_seg.gui.own_layers import is_image, is_image_or_labels, is_labels
from napari_seg.state import Scope

_NO_LABELS = "Open labels first, run a network, or make new labels."
_NO_IMAGE = "No open image lies under these labels."

ALL_SHOWN = "All shown images"
"""What the list offers where several images fit."""


class LabelsChoice:
    """Follows the layers of a viewer; the selected labels layer is the chosen one.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    """

    changed = Signal()
    """Layers came, went, were renamed or given other data, or another is chosen."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layer: Labels | None = None
        self._image_name = ""
        self._watch = LayerWatch(viewer, is_image_or_labels)
        self._watch.changed.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_active)
        self._on_layers()

    def close(self) -> None:
        """Let go of the viewer."""
        self._viewer.layers.selection.events.active.disconnect(self._on_active)
        self._watch.close()

    def labels(self) -> list[Labels]:
        """Return the labels layers, the topmost first."""
        return [x for x in self._watch.layers() if is_labels(x)]

    def fitting(self) -> list[Image]:
        """Return the images the chosen labels can be corrected on."""
        if self.layer is None:
            return []
        images = [x for x in self._watch.layers() if is_image(x)]
        return fitting_images(self.layer, images)

    def image_names(self) -> list[str]:
        """Return what can be chosen as image."""
        names = [image.name for image in self.fitting()]
        return [*names, ALL_SHOWN] if len(names) > 1 else names

    @property
    def image_name(self) -> str:
        """What is chosen as image, empty if nothing fits."""
        names = self.image_names()
        if self._image_name in names:
            return self._image_name
        return names[0] if names else ""

    def images(self) -> list[Image]:
        """Return the chosen image or images."""
        fitting = self.fitting()
        if self.image_name == ALL_SHOWN:
            return [image for image in fitting if image.visible] or fitting[:1]
        return [image for image in fitting if image.name == self.image_name][:1]

    def is_still(self, target: Target) -> bool:
        """Whether a target is what is chosen, as it is now."""
        return (
            target.layer is self.layer
            and target.images == tuple(self.images())
            and target.is_current()
        )

    def problem(self) -> str:
        """Say what keeps the labels from being corrected; empty if nothing does."""
        if self.layer is None:
            return _NO_LABELS
        images = self.images()
        try:
            check_editable(self.layer)
        except NapariSegError as error:
            return str(error)
        try:
            make_target(self.layer, images)
        except NapariSegError as error:
            return str(error) if images else _NO_IMAGE
        return ""

    def new_labels(self) -> Labels:
        """Make empty labels for the image that is selected, else the topmost.

        Raises
        ------
        NapariSegError
            If there is no image, nobody can tell its axes, or memory would not hold
            its labels.
        """
        images = [x for x in self._watch.layers() if is_image(x)]
        if not images:
            raise ImageError("There is no image to make labels for", remedy="Open one.")
        active = self._viewer.layers.selection.active
        image = active if is_image(active) else images[0]
        axes = default_axes(image)
        source = take_source(self._viewer, image, axes, Scope.IMAGE)
        view = labels_view(source, _zeros(source.shape))
        layer = Labels(view, name=f"{image.name} labels", **labels_kwargs(source))
        layer.metadata[METADATA_KEY] = {"image": image.name, "axes": axes}
        self._viewer.add_layer(layer)
        return layer

    def names(self) -> list[str]:
        """Return what can be chosen: the layers, multiscale ones in two ways."""
        taken = {layer.name for layer in self.labels()}
        names = []
        for layer in self.labels():
            names.append(layer.name)
            if layer.multiscale and f"{layer.name}{SUFFIX}" not in taken:
                names.append(f"{layer.name}{SUFFIX}")
        return names

    def to_open(self, name: str) -> Labels | None:
        """Return the multiscale layer that a name asks to open at full resolution."""
        layers = {f"{x.name}{SUFFIX}": x for x in self.labels() if x.multiscale}
        is_open = any(layer.name == name for layer in self.labels())
        return None if is_open else layers.get(name)

    def choose_labels(self, name: str) -> None:
        """Choose a labels layer by its name."""
        for layer in self.labels():
            if layer.name == name and layer is not self.layer:
                self.layer = layer
                self.changed.emit()
                return

    def choose_image(self, name: str) -> None:
        """Choose an image, or all that are shown."""
        if name != self._image_name:
            self._image_name = name
            self.changed.emit()

    def _on_active(self) -> None:
        active = self._viewer.layers.selection.active
        if is_labels(active):
            self.choose_labels(active.name)

    def _on_layers(self) -> None:
        labels = self.labels()
        if self.layer not in labels:
            self.layer = labels[0] if labels else None
        self.changed.emit()


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Return empty labels; where nobody has painted they take no memory."""
    try:
        return np.zeros(shape, np.int32)
    except (MemoryError, ValueError) as error:  # the latter for sizes beyond any
        raise LabelsError(
            "Memory would not hold these labels",
            f"{4 * math.prod(shape) / 2**30:,.0f} GB",
            "Make a Zarr array of the shape of the image, and add that as labels.",
        ) from error
