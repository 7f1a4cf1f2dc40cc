"""The Refine section: what the dense CRF does to the labels in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider, QLabeledSlider

from napari_seg.gui.forms import field_docs, tooltip
from napari_seg.gui.panels.choices import combo_box, fill_combo
from napari_seg.gui.panels.fields import SPACING_PX, FieldGrid, note_label
from napari_seg.gui.panels.keys import KeyButton, native_key
from napari_seg.gui.panels.rows import button_grid
from napari_seg.gui.shortcuts import BEFORE, REFINE
from napari_seg.refine.crf import CrfParams
from napari_seg.state import RefineScope

_SLIDERS = {
    "appearance_weight": ("Strength", 0.0, 10.0, 1),
    "appearance_sigma": ("Reach", 1.0, 30.0, 1),
    "intensity_sigma": ("Contrast", 0.02, 0.5, 2),
    "smoothness_weight": ("Smoothing", 0.0, 10.0, 1),
}
OWN = "Own settings"


class RefineBox(QWidget):
    """Emits what the user wants and shows what it is told; it knows no layer."""

    preview_requested = Signal(bool)
    params_requested = Signal(object)
    preset_requested = Signal(str)
    apply_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._params = CrfParams()
        self.preview = QCheckBox("Preview refined outlines")
        self.preview.setToolTip(
            tooltip(
                "Shows in view what the settings do; nothing is changed. "
                f"Hold {native_key(BEFORE)} over the image to see the labels before."
            )
        )
        self.preset = combo_box()
        self.sliders = {name: self._slider(name) for name in _SLIDERS}
        self.iterations = QLabeledSlider(Qt.Orientation.Horizontal)
        self.iterations.setRange(1, 20)
        self.scope = combo_box()
        for scope in RefineScope:
            self.scope.addItem(scope.value, scope)
        self.apply = KeyButton("Apply", REFINE)
        self.note = note_label()
        self.engine = note_label()
        self._lay_out()
        self._connect()

    def _slider(self, name: str) -> QLabeledDoubleSlider:
        _, low, high, decimals = _SLIDERS[name]
        slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        slider.setRange(low, high)
        slider.setDecimals(decimals)
        slider.setSingleStep(10.0**-decimals)
        slider.valueChanged.connect(lambda _: self._on_edited())
        return slider

    def _lay_out(self) -> None:
        docs = field_docs(CrfParams)
        docs["preset"] = "Settings that scored best on images of a kind."
        grid = FieldGrid(docs)
        grid.add("preset", "Settings for", self.preset)
        for name, slider in self.sliders.items():
            grid.add(name, _SLIDERS[name][0], slider)
        grid.add("iterations", "Steps", self.iterations)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(self.preview)
        column.addWidget(grid)
        column.addWidget(button_grid([self.scope, self.apply], 2))
        column.addWidget(self.note)
        column.addWidget(self.engine)

    def _connect(self) -> None:
        self.preview.toggled.connect(self.preview_requested)
        self.iterations.valueChanged.connect(lambda _: self._on_edited())
        self.preset.currentIndexChanged.connect(
            lambda _: self.preset_requested.emit(self.preset.currentData() or "")
        )
        self.apply.clicked.connect(
            lambda _=False: self.apply_requested.emit(self.scope.currentData())
        )

    def _on_edited(self) -> None:
        values = {name: slider.value() for name, slider in self.sliders.items()}
        self._params = replace(
            self._params, iterations=self.iterations.value(), **values
        )
        self.params_requested.emit(self._params)

    # What the controller tells it. No setter emits a request.

    def set_params(self, params: CrfParams) -> None:
        """Show the settings."""
        self._params = params
        for name, slider in self.sliders.items():
            with QSignalBlocker(slider):
                slider.setValue(getattr(params, name))
        with QSignalBlocker(self.iterations):
            self.iterations.setValue(params.iterations)

    def set_presets(self, names: Sequence[str], current: str) -> None:
        """List the presets; an empty name is the user's own settings."""
        items = [(name.capitalize(), name) for name in names]
        fill_combo(self.preset, [*items, (OWN, "")], current)

    def set_preview(self, is_on: bool) -> None:
        """Show whether the preview is on."""
        with QSignalBlocker(self.preview):
            self.preview.setChecked(is_on)

    def set_note(self, text: str) -> None:
        """Say how it goes; empty hides the line."""
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def set_engine(self, text: str) -> None:
        """Say what calculates; empty hides the line."""
        self.engine.setText(text)
        self.engine.setVisible(bool(text))

    def set_enabled(self, problem: str) -> None:
        """Allow refining, or say why it is not possible."""
        for widget in (self.preview, self.apply):
            widget.setEnabled(not problem)
        if problem:
            self.set_note(problem)
