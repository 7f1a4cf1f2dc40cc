"""The Weights panel: what training would look at hardest, over the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_seg.gui.forms import field_docs, tooltip
from napari_seg.gui.panels.choices import combo_box, fill_combo, scrolled
from napari_seg.gui.panels.colour_bar import ColourBar
from napari_seg.gui.panels.fields import SPACING_PX, FieldGrid, note_label
from napari_seg.gui.panels.keys import add_shortcut, native_key
from napari_seg.gui.panels.wheel_guard import WheelGuard
from napari_seg.gui.shortcuts import WEIGHTS
from napari_seg.state import ADVANCED_RANGES, WeightSettings

_HINT = """<b>Border weights</b><br>
In training, pixels in the narrow gaps between cells count more, so that the network
learns to part cells that touch:<br>
<span style="white-space: nowrap">w = w<sub>c</sub> + w<sub>0</sub>
exp(\u2212(d<sub>1</sub> + d<sub>2</sub>)\u00b2 / 2\u03c3\u00b2)</span>"""
_DOCS = {
    "labels": "The labels that are weighed. Any labels layer will do.",
    "unit": "What sigma is measured in.",
    "distances": "Whether the gaps between cells are measured within each plane, or "
    "through the planes of the volume, too.",
    "legend": "The weights that the colours stand for. The weight under the pointer is "
    "in napari's status bar.",
}
_IN_PLANES, _IN_VOLUME = "In each plane", "In three dimensions"


class WeightsPanel(QWidget):
    """Emits what the user wants and shows what it is told; it knows no layer."""

    labels_requested = Signal(str)
    shown_requested = Signal(bool)
    w0_requested = Signal(float)
    sigma_requested = Signal(float)
    unit_requested = Signal(str)
    volume_requested = Signal(bool)
    balance_requested = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._make_editors()
        self._lay_out()
        self._connect()
        WheelGuard(self)

    # What the user sees, from top to bottom.

    def _make_editors(self) -> None:
        self.hint = QLabel(_HINT)
        self.hint.setWordWrap(True)
        self.labels = combo_box()
        self.labels.setPlaceholderText("No labels open")
        self.shown = QPushButton()
        self.shown.setCheckable(True)
        self.shown.setMinimumHeight(30)
        self.w0 = _slider(decimals=1)
        self.w0.setRange(*ADVANCED_RANGES["w0"])
        self.sigma = _slider(decimals=1)
        self.sigma.setRange(*ADVANCED_RANGES["sigma_px"])
        self.unit = QComboBox()
        self.distances = combo_box()
        self.distances.addItem(_IN_PLANES, False)
        self.distances.addItem(_IN_VOLUME, True)
        self.balance = QCheckBox("Balance cells and background")
        self.legend = ColourBar()
        self.status = note_label()
        self.status.setMinimumHeight(self.status.fontMetrics().height() + 4)

    def _lay_out(self) -> None:
        self.grid = FieldGrid(field_docs(WeightSettings) | _DOCS)
        self._labels_field = self.grid.add("labels", "Labels", self.labels)
        self.grid.add("w0", "Height w<sub>0</sub>", self.w0)
        width = QWidget()
        row = QHBoxLayout(width)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.sigma, 1)
        row.addWidget(self.unit)
        self.grid.add("sigma_px", "Width \u03c3", width)
        self.unit.setToolTip(tooltip(_DOCS["unit"]))
        self._distances_field = self.grid.add("is_volume", "Distances", self.distances)
        self._legend_field = self.grid.add("legend", "Weight", self.legend)
        self.balance.setToolTip(tooltip(field_docs(WeightSettings)["balance_classes"]))
        column = QVBoxLayout(self)
        column.setSpacing(SPACING_PX)
        column.addWidget(scrolled([self.hint, self.grid, self.balance]), 1)
        column.addWidget(self.shown)
        column.addWidget(self.status)
        self.status.setVisible(True)
        self._distances_field.set_visible(False)
        self._legend_field.set_visible(False)
        self.set_units(["px"], "px")
        self.set_shown(False)

    def _connect(self) -> None:
        self.labels.currentTextChanged.connect(self.labels_requested)
        self.shown.clicked.connect(self.shown_requested)
        add_shortcut(self, WEIGHTS).activated.connect(self.shown.click)
        self.w0.valueChanged.connect(self.w0_requested)
        self.sigma.valueChanged.connect(self.sigma_requested)
        self.unit.currentTextChanged.connect(self.unit_requested)
        self.distances.currentIndexChanged.connect(
            lambda _: self.volume_requested.emit(self.distances.currentData())
        )
        self.balance.toggled.connect(self.balance_requested)

    # What the controller tells it. No setter emits a request.

    def set_labels_layers(self, names: Sequence[str], current: str | None) -> None:
        """List the labels layers."""
        fill_combo(self.labels, [(name, name) for name in names], current)
        self.labels.setEnabled(bool(names))

    def set_problem(self, text: str) -> None:
        """Say why there can be no overlay; empty if there can."""
        # Not in the colour of mistakes: having no labels yet is none.
        self._labels_field.set_info(text)
        self.shown.setEnabled(not text)

    def set_shown(self, is_shown: bool) -> None:
        """Show whether the overlay is there."""
        self.shown.setChecked(is_shown)
        word = "Hide" if is_shown else "Show"
        self.shown.setText(f"{word} border weights   {native_key(WEIGHTS)}")
        self.shown.setToolTip(tooltip(WEIGHTS.action))

    def set_w0(self, w0: float) -> None:
        """Show the height of the border term."""
        with QSignalBlocker(self.w0):
            self.w0.setValue(w0)

    def set_sigma(self, sigma: float, low: float, high: float) -> None:
        """Show the width of the border term, in the unit shown, and its range."""
        with QSignalBlocker(self.sigma):
            self.sigma.setDecimals(_decimals(low))
            self.sigma.setSingleStep(low)
            self.sigma.setRange(low, high)
            self.sigma.setValue(sigma)

    def set_units(self, units: Sequence[str], current: str) -> None:
        """List the units that sigma can be set in."""
        fill_combo(self.unit, [(name, name) for name in units], current)
        self.unit.setEnabled(len(units) > 1)

    def set_volume(self, is_volume: bool, has_planes: bool) -> None:
        """Show what distances go through; hidden where there is but one plane."""
        with QSignalBlocker(self.distances):
            self.distances.setCurrentIndex(int(is_volume))
        self._distances_field.set_visible(has_planes)

    def set_balance(self, is_balanced: bool) -> None:
        """Show whether classes are balanced."""
        with QSignalBlocker(self.balance):
            self.balance.setChecked(is_balanced)

    def set_legend(
        self, colours: NDArray[np.floating] | None, low: float, high: float
    ) -> None:
        """Show what the colours stand for; None hides the legend."""
        self._legend_field.set_visible(colours is not None)
        if colours is not None:
            self.legend.set_colours(colours, low, high)

    def set_status(self, text: str) -> None:
        """Show how far the work is."""
        # A wrapped label lays out the whole dock anew, even for the same text.
        if text != self.status.text():
            self.status.setText(text)


def _slider(decimals: int) -> QLabeledDoubleSlider:
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setDecimals(decimals)
    slider.setSingleStep(0.5)
    return slider


def _decimals(step: float) -> int:
    """Return how many decimals steps of that size need."""
    return 1 if step >= 0.1 else 2 if step >= 0.01 else 3
