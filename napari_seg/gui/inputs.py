"""Which image is segmented, what its axes are, and what is wrong with the input."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from napari.components import ViewerModel
from napari.layers import Image
from psygnal import Signal

from napari_seg.errors import AxesError
from napari_seg.gui.layer_watch import LayerWatch
from napari_seg.gui.layers import default_axes
from napari_seg.gui.own_layers import is_image
from napari_seg.gui.view import full_data
from napari_seg.imaging.axes import axis_size, check_axes
from napari_seg.models.catalogue import ModelEntry
from napari_seg.state import Scope, SegmentSettings

NO_IMAGE = "no image"
"""Key of the one problem that is nobody's mistake."""
_COLOURS = ("Red", "Green", "Blue", "Alpha")


class ImageChoice:
    """Follows the image layers of a viewer and knows which one is chosen.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    """

    changed = Signal()
    """Layers came, went or were renamed, or another one is chosen."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._axes: WeakKeyDictionary[Image, str] = WeakKeyDictionary()
        self.layer: Image | None = None
        self._watch = LayerWatch(viewer, is_image)
        self._watch.changed.connect(self._on_layers)
        self._on_layers()

    def close(self) -> None:
        """Let go of the viewer."""
        self._watch.close()

    def images(self) -> list[Image]:
        """Return the image layers, the topmost first, as the layer list shows them."""
        return self._watch.layers()

    def choose(self, name: str) -> None:
        """Choose an image layer by its name; unknown names change nothing."""
        for layer in self.images():
            if layer.name == name and layer is not self.layer:
                self.layer = layer
                self.changed.emit()

    def axes(self) -> str:
        """Return the axes of the chosen image, guessed unless the user said so."""
        if self.layer is None:
            return ""
        if self.layer not in self._axes:
            self._axes[self.layer] = default_axes(self.layer)
        return self._axes[self.layer]

    def set_axes(self, axes: str) -> None:
        """Remember what the user says the axes are."""
        if self.layer is not None:
            self._axes[self.layer] = axes

    def _on_layers(self) -> None:
        images = self.images()
        if self.layer not in images:
            self.layer = images[0] if images else None
        for layer in images:
            axes = self._axes.get(layer, "")
            # Other data may have other axes; what the user said was about the old.
            if len(axes) != len(full_data(layer).shape):
                self._axes.pop(layer, None)
        self.changed.emit()


def channel_choices(layer: Image | None, axes: str) -> list[tuple[str, int | None]]:
    """Return the channels a user can choose from, as pairs of text and number.

    None stands for grey made from the colours. Empty without a channel axis.
    """
    if layer is None or "C" not in axes:
        return []
    shape = full_data(layer).shape
    if len(axes) != len(shape):
        return []
    count = axis_size(axes, shape, "C")
    if layer.rgb:
        colours = [(name, i) for i, name in enumerate(_COLOURS[:count])]
        return [("Grey from colour", None), *colours]
    return [(f"Channel {i}", i) for i in range(count)]


def find_problems(
    viewer: ViewerModel,
    layer: Image | None,
    settings: SegmentSettings,
    models: Sequence[ModelEntry],
) -> dict[str, str]:
    """Return what keeps the image from being segmented, by field, in plain words."""
    problems: dict[str, str] = {}
    if layer is None:
        # No field is wrong; the panel shows how to begin instead.
        problems[NO_IMAGE] = "Open an image first."
    elif 0 in (shape := full_data(layer).shape):
        problems["image"] = f"The image is empty (shape {tuple(shape)})."
    elif reason := _axes_problem(layer, settings.axes):
        problems["axes"] = reason
    if reason := _model_problem(settings, models):
        problems["model"] = reason
    if layer is not None and (reason := _scope_problem(viewer, layer, settings)):
        problems["scope"] = reason
    return problems


def _axes_problem(layer: Image, axes: str) -> str:
    shape = full_data(layer).shape
    if "?" in axes or not axes:
        return "Say what each dimension is."
    try:
        check_axes(axes, shape)
    except AxesError as error:
        return str(error)
    return ""


def _model_problem(settings: SegmentSettings, models: Sequence[ModelEntry]) -> str:
    if not models:
        return "No model is installed."
    entry = next((e for e in models if e.name == settings.model), None)
    if entry is None:
        return f"There is no model named {settings.model!r}."
    if entry.card is None:
        return entry.summary
    if entry.card.ndim == 3 and "Z" not in settings.axes:
        return "This model segments volumes, and the image has no Z axis."
    if entry.card.ndim == 3 and settings.scope is not Scope.IMAGE:
        return "This model segments volumes: choose the whole image as region."
    return ""


def _scope_problem(viewer: ViewerModel, layer: Image, settings: SegmentSettings) -> str:
    if viewer.dims.ndisplay == 2 or settings.scope is Scope.IMAGE:
        return ""
    if settings.scope is Scope.PLANE and layer.ndim == 2:
        return ""
    return f"{settings.scope.value} needs the 2D view (Ctrl+Y in napari)."
