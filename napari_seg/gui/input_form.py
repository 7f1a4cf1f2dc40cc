"""The upper part of the Segment panel: keeps what it shows true to the state."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image

from napari_seg.gui.device_choice import DeviceChoice
from napari_seg.gui.engine import Engine
from napari_seg.gui.inputs import ImageChoice, channel_choices, find_problems
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.layers import pixel_size_um
from napari_seg.gui.size_estimate import SizeEstimate, size_note
from napari_seg.gui.view import full_data
from napari_seg.models.catalogue import ModelEntry
from napari_seg.state import SegmentSettings

_VALUES = {
    "channel": "channel_requested",
    "diameter_px": "diameter_requested",
    "scope": "scope_requested",
    "threshold": "threshold_requested",
    "min_size_px": "min_size_requested",
    "advanced": "advanced_requested",
}
"""Settings that are written just as the panel asks, and the signal that asks."""


class InputForm:
    """Carries requests of the panel into the settings, and the state to the panel.

    Parameters
    ----------
    viewer : ViewerModel
        Its image layers can be chosen.
    panel : SegmentPanel
        Or anything with its signals and setters.
    settings : SegmentSettings
        What the user wants.
    engine : Engine
        Knows models and devices.
    jobs : Jobs
        For what takes time.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        panel: Any,
        settings: SegmentSettings,
        engine: Engine,
        jobs: Jobs,
    ) -> None:
        self.estimate = SizeEstimate()
        self._viewer = viewer
        self._panel = panel
        self._settings = settings
        self._engine = engine
        self._models: list[ModelEntry] = []
        self._choice = ImageChoice(viewer)
        self._device = DeviceChoice(jobs, engine, panel, settings)
        self._connect()
        self.refresh_models()
        self._show_image()

    @property
    def layer(self) -> Image | None:
        """The image the user chose."""
        return self._choice.layer

    def pixel_size_um(self) -> tuple[float, ...] | None:
        """Return the size of a pixel in micrometres per spatial axis, if known."""
        if self.layer is None or "axes" in self.problems():
            return None
        return pixel_size_um(self.layer, self._settings.axes)

    def problems(self) -> dict[str, str]:
        """Return what keeps the image from being segmented, by field."""
        found = find_problems(self._viewer, self.layer, self._settings, self._models)
        return found | self._device.problems()

    def refresh_models(self) -> None:
        """List the models again, e.g. after one was trained."""
        self._models = self._engine.list_models()
        names = [entry.name for entry in self._models]
        if self._settings.model not in names and names:
            self._settings.model = names[0]
        own = [entry.name for entry in self._models if entry.kind == "user"]
        self._panel.set_models(names, self._settings.model, own)
        self._on_model_changed()

    def model_names(self) -> list[str]:
        """Return the names of the models that are listed."""
        return [entry.name for entry in self._models]

    def entry_of(self, name: str) -> ModelEntry | None:
        """Return the model of that name."""
        return next((e for e in self._models if e.name == name), None)

    def choose_model(self, name: str) -> None:
        """List the models again and choose one, e.g. one that was just trained."""
        self._settings.model = name
        self.estimate.forget()
        self.refresh_models()
        self.show_size()
        self._show_problems()

    def take_estimate(self, layer: Image, diameter_px: float) -> None:
        """Show a size that was estimated."""
        self.estimate.take(layer, diameter_px)
        self.show_size()

    def show_size(self) -> None:
        """Show the size of the objects and what is known about it."""
        sizes = self.pixel_size_um()
        pixel_um = sizes[-1] if sizes else None
        diameter = self._settings.diameter_px
        estimate = self.estimate.of(self.layer)
        self._panel.set_pixel_size(pixel_um)
        self._panel.set_diameter(diameter)
        self._panel.set_size_note(size_note(diameter, estimate, pixel_um))
        if known := diameter or estimate:
            self._panel.set_min_size_limit(math.pi / 4 * known**2)

    def close(self) -> None:
        """Let go of the viewer."""
        self._viewer.dims.events.ndisplay.disconnect(self._show_problems)
        self._choice.changed.disconnect(self._show_image)
        self._choice.close()

    def _connect(self) -> None:
        panel, settings = self._panel, self._settings
        panel.image_requested.connect(self._choice.choose)
        panel.axes_requested.connect(self._on_axes_requested)
        panel.model_requested.connect(self._on_model_requested)
        panel.device_requested.connect(self._device.choose)
        for name, signal in _VALUES.items():
            getattr(panel, signal).connect(
                lambda value, name=name: setattr(settings, name, value)
            )
        for emitter in (settings.events.scope, settings.events.model):
            emitter.connect(self._show_problems)
        settings.events.diameter_px.connect(self.show_size)
        self._device.changed.connect(self._show_problems)
        self._choice.changed.connect(self._show_image)
        self._viewer.dims.events.ndisplay.connect(self._show_problems)

    def _on_axes_requested(self, axes: str) -> None:
        self._choice.set_axes(axes)
        self._show_image()

    def _on_model_requested(self, name: str) -> None:
        self._settings.model = name
        self.estimate.forget()
        self._on_model_changed()
        self.show_size()

    def _on_model_changed(self) -> None:
        """Start from the thresholds that scored best in the model's validation."""
        settings, panel = self._settings, self._panel
        entries = [e for e in self._models if e.name == settings.model]
        panel.set_model_summary(entries[0].summary if entries else "")
        if entries and (card := entries[0].card) is not None:
            settings.threshold = card.threshold
            seed = card.seed_threshold
            settings.advanced = replace(settings.advanced, seed_threshold=seed)
        panel.set_thresholds(settings.threshold, settings.min_size_px)
        panel.set_advanced(settings.advanced)

    def _show_image(self) -> None:
        """Show layers, axes and channels, and all that follows from them."""
        layer, settings, panel = self.layer, self._settings, self._panel
        settings.axes = self._choice.axes()
        channels = channel_choices(layer, settings.axes)
        if settings.channel not in [number for _, number in channels]:
            settings.channel = channels[0][1] if channels else None
        names = [image.name for image in self._choice.images()]
        panel.set_images(names, None if layer is None else layer.name)
        panel.set_channels(channels, settings.channel)
        if layer is not None:
            panel.set_axes(settings.axes, full_data(layer).shape, layer.rgb)
            self._device.check_soon()
        panel.set_scope(settings.scope)
        self.show_size()
        self._show_problems()

    def _show_problems(self) -> None:
        self._panel.set_problems(self.problems())
