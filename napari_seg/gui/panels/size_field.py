"""How large the objects are: estimated, or told in pixels or micrometres."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_seg.gui.forms import tooltip
from napari_seg.gui.shortcuts import ESTIMATE

_AUTO, _PX, _UM = "Auto", "px", "µm"
_DEFAULT_PX = 20.0


class SizeField(QWidget):
    """Edits a diameter in pixels; None stands for automatic."""

    changed = Signal(object)
    """The user chose another diameter in pixels, or None."""
    estimate_requested = Signal()
    """The user wants to know what automatic would be."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pixel_um: float | None = None
        self._diameter_px = _DEFAULT_PX
        self._mode = QComboBox()
        self._mode.addItems([_AUTO, _PX])
        self._number = QDoubleSpinBox()
        self._number.setRange(0.01, 100_000)
        self._number.setDecimals(1)
        self._number.setKeyboardTracking(False)
        self.estimate_button = QPushButton("Estimate")
        self.estimate_button.setToolTip(tooltip(f"{ESTIMATE.action} ({ESTIMATE.key})"))
        self._lay_out()
        self._mode.currentTextChanged.connect(self._on_mode_changed)
        self._number.valueChanged.connect(self._on_number_changed)
        self.estimate_button.clicked.connect(self.estimate_requested)
        self._show()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self._mode, 1)
        row.addWidget(self._number, 1)
        row.addWidget(self.estimate_button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)

    def set_diameter(self, diameter_px: float | None) -> None:
        """Show a diameter, or Automatic for None; does not emit."""
        if diameter_px is not None:
            self._diameter_px = diameter_px
        is_auto = self._mode.currentText() == _AUTO
        if is_auto != (diameter_px is None):
            with QSignalBlocker(self._mode):
                self._mode.setCurrentText(_AUTO if diameter_px is None else _PX)
        self._show()

    def set_pixel_size(self, pixel_um: float | None) -> None:
        """Offer micrometres if the size of a pixel is known."""
        self._pixel_um = pixel_um
        found = self._mode.findText(_UM)
        with QSignalBlocker(self._mode):
            if pixel_um is not None and found < 0:
                self._mode.addItem(_UM)
            elif pixel_um is None and found >= 0:
                if self._mode.currentText() == _UM:
                    self._mode.setCurrentText(_PX)
                self._mode.removeItem(found)
        self._show()

    def _factor(self) -> float:
        """Return units on display per pixel."""
        is_um = self._mode.currentText() == _UM and self._pixel_um
        return self._pixel_um if is_um and self._pixel_um else 1.0

    def _show(self) -> None:
        is_auto = self._mode.currentText() == _AUTO
        self._number.setVisible(not is_auto)
        self.estimate_button.setVisible(is_auto)
        with QSignalBlocker(self._number):
            self._number.setDecimals(2 if self._factor() < 0.2 else 1)
            self._number.setValue(self._diameter_px * self._factor())

    def _on_mode_changed(self) -> None:
        self._show()
        is_auto = self._mode.currentText() == _AUTO
        self.changed.emit(None if is_auto else self._diameter_px)

    def _on_number_changed(self, value: float) -> None:
        self._diameter_px = value / self._factor()
        self.changed.emit(self._diameter_px)
