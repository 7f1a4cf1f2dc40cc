"""The one place that knows panel, layers and jobs of the Weights panel.

No Qt: the panel is anything with its signals and setters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from napari.components import ViewerModel

from napari_seg.errors import NapariSegError
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.weights import numbers
from napari_seg.gui.weights.choice import LabelsLayers
from napari_seg.gui.weights.grid import Grid, make_grid
from napari_seg.gui.weights.view import WeightView
from napari_seg.state import (
    ADVANCED_RANGES,
    Remembered,
    WeightSettings,
    from_stored,
)

_REMEMBERED = "weights"

_NO_LABELS = "Open labels first, run a network, or make a new labels layer."
_REST_S = 0.3
"""After the last cut: the next stroke may come, or the same be drawn further."""
_GRID_EVENTS = ("data", "scale", "units", "axis_labels")


class WeightsController:
    """Wires a Weights panel to a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer; nothing is shared with other viewers.
    panel : WeightsPanel
        Or anything with its signals and setters.
    jobs : Jobs
        Background work of this panel alone, closed with the controller: the overlay
        must not wait for a network.
    remembered : Remembered
        Settings of the last session.
    report : callable, optional
        Takes an exception that is a fault of the program, not of the input.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        panel: Any,
        jobs: Jobs,
        remembered: Remembered,
        report: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.settings: WeightSettings = from_stored(
            WeightSettings, remembered.part(_REMEMBERED)
        )
        self.view: WeightView | None = None
        self._viewer = viewer
        self._panel = panel
        self._jobs = jobs
        self._remembered = remembered
        self._report = report or notify
        self._grid: Grid | None = None
        self._is_closed = False
        self._is_changing = False
        self._choice = LabelsLayers(viewer)
        self._connect()
        self._on_choice()

    def _connect(self) -> None:
        panel = self._panel
        panel.labels_requested.connect(self.choose_labels)
        panel.shown_requested.connect(self.show)
        panel.w0_requested.connect(lambda value: self._change(w0=value))
        panel.balance_requested.connect(lambda on: self._change(balance_classes=on))
        panel.volume_requested.connect(lambda on: self._change(is_volume=on))
        panel.sigma_requested.connect(self._on_sigma)
        panel.unit_requested.connect(self._on_unit)
        self._choice.changed.connect(self._on_choice)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._viewer.layers.selection.events.active.connect(self._on_active)

    def close(self) -> None:
        """Stop all work and let go of the viewer; a second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._hide()
        self._watch_grid(None)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.layers.selection.events.active.disconnect(self._on_active)
        self._choice.changed.disconnect(self._on_choice)
        self._choice.close()
        self._remembered.keep_part(_REMEMBERED, asdict(self.settings))
        self._jobs.close()

    @property
    def is_shown(self) -> bool:
        """Whether the overlay is there."""
        return self.view is not None

    def rest(self, is_resting: bool) -> None:
        """Leave the processor to strokes that are being cut, or go on soon."""
        self._jobs.forget("weights rest")
        if is_resting:
            self._jobs.rest(True)
        else:
            self._jobs.later("weights rest", _REST_S, lambda: self._jobs.rest(False))

    def choose_labels(self, name: str) -> None:
        """Weigh other labels; an overlay that is shown goes there."""
        self._choice.choose(name)

    def show(self, is_shown: bool) -> None:
        """Add the overlay, or remove it."""
        if not is_shown:
            self._hide()
        elif self.view is None and self._grid is not None:
            self._show_on(self._grid)
        self._panel.set_shown(self.is_shown)

    def _show_on(self, grid: Grid) -> None:
        self._remembered.keep_part(_REMEMBERED, asdict(self.settings))
        self._is_changing = True
        try:
            self.view = WeightView(
                self._viewer,
                self._jobs,
                grid,
                self.settings.is_volume,
                numbers.weights_of(self.settings, grid),
                numbers.limits(self.settings),
                on_status=self._on_status,
                on_error=self._on_error,
            )
        except MemoryError as error:
            self._on_error(error)
            return
        finally:
            self._is_changing = False
        for event in self._legend_events(self.view):
            event.connect(self._show_legend)
        self._show_legend()

    def _legend_events(self, view: WeightView) -> tuple[Any, ...]:
        events = view.overlay.layer.events
        return events.contrast_limits, events.colormap, events.gamma

    def _hide(self) -> None:
        if self.view is None:
            return
        view, self.view = self.view, None
        for event in self._legend_events(view):
            event.disconnect(self._show_legend)
        self._is_changing = True
        view.close()
        self._is_changing = False
        self._panel.set_status("")
        self._show_legend()

    # The labels.

    def _on_choice(self) -> None:
        """Take what is chosen now, and show what can be set for it."""
        layer = self._choice.layer
        names = [labels.name for labels in self._choice.all()]
        self._panel.set_labels_layers(names, None if layer is None else layer.name)
        if self._grid is None or layer is not self._grid.layer:
            self._take_layer()

    def _take_layer(self, event: Any = None) -> None:
        """Look at the chosen layer anew; an overlay that is shown is made anew."""
        layer, was_shown = self._choice.layer, self.is_shown
        is_gone = self._grid is not None and self._grid.layer not in self._viewer.layers
        self._hide()
        self._watch_grid(None)
        problem = "" if layer is not None else _NO_LABELS
        if layer is not None:
            try:
                self._watch_grid(make_grid(layer))
            except NapariSegError as error:
                problem = str(error)
        self._panel.set_problem(problem)
        self._show_settings()
        self.show(was_shown and not is_gone and self._grid is not None)

    def _watch_grid(self, grid: Grid | None) -> None:
        if self._grid is not None:
            for name in _GRID_EVENTS:
                emitter = getattr(self._grid.layer.events, name)
                emitter.disconnect(self._on_grid_changed)
        self._grid = grid
        if grid is not None:
            for name in _GRID_EVENTS:
                emitter = getattr(grid.layer.events, name)
                emitter.connect(self._on_grid_changed)

    def _on_grid_changed(self, event: Any = None) -> None:
        """Follow other data, axes or pixel sizes of the labels."""
        old = self._grid
        if old is None:
            return
        if event is not None and event.type in ("data", "axis_labels"):
            self._take_layer()
            return
        self._show_settings()
        if self.view is not None:
            params = numbers.weights_of(self.settings, old)
            if params.spacing != self.view.live.params.spacing:
                self.view.restart(self.settings.is_volume, params)
            else:
                self.view.set_params(params)

    def _on_active(self, event: Any = None) -> None:
        """While nothing is shown, what the user selects is what she means."""
        active = self._viewer.layers.selection.active
        # napari selects others, too, when the overlay comes and goes.
        is_hers = self.view is None and not self._is_changing
        if is_hers and active in self._choice.all():
            self._choice.choose(active.name)

    def _on_removed(self, event: Any) -> None:
        if self.view is not None and event.value is self.view.overlay.layer:
            self.show(False)

    # The settings.

    def _change(self, **values: Any) -> None:
        self._set(replace(self.settings, **values))

    def _on_sigma(self, value: float) -> None:
        if self._grid is not None:
            self._set(numbers.with_sigma(self.settings, self._grid, value))

    def _on_unit(self, name: str) -> None:
        if self._grid is not None:
            self._set(numbers.with_unit(self.settings, self._grid, name))
            self._show_settings()

    def _set(self, settings: WeightSettings) -> None:
        before, self.settings = self.settings, settings
        if self.view is None:
            return
        params = numbers.weights_of(settings, self.view.grid)
        if settings.is_volume != before.is_volume:
            self.view.restart(settings.is_volume, params)
        else:
            self.view.set_params(params)
        # Only where they change: the user may have set others in the layer list.
        if numbers.limits(settings) != numbers.limits(before):
            self.view.overlay.set_limits(*numbers.limits(settings))

    def _show_settings(self) -> None:
        panel, settings, grid = self._panel, self.settings, self._grid
        panel.set_w0(settings.w0)
        panel.set_balance(settings.balance_classes)
        if grid is None:
            panel.set_sigma(settings.sigma_px, *ADVANCED_RANGES["sigma_px"])
            return
        panel.set_units(numbers.units(grid), numbers.unit(settings, grid))
        low, high = numbers.sigma_range(settings, grid)
        panel.set_sigma(numbers.sigma(settings, grid), low, high)
        panel.set_volume(settings.is_volume and grid.has_planes, grid.has_planes)

    def _show_legend(self, event: Any = None) -> None:
        if self.view is None:
            self._panel.set_legend(None, 0.0, 1.0)
            return
        layer = self.view.overlay.layer
        low, high = layer.contrast_limits
        self._panel.set_legend(layer.colormap.colors, float(low), float(high))

    # The work.

    def _on_status(self, done: int, total: int) -> None:
        is_busy = done < total
        text = f"Weighing: {done} of {total} tiles" if is_busy else ""
        self._panel.set_status(text)

    def _on_error(self, error: BaseException) -> None:
        self.show(False)
        message, is_fault = explained(error)
        self._panel.set_problem(message)
        if is_fault:
            self._report(error)
