"""Carrying an object through planes or frames."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_seg.gui import shortcuts
from napari_seg.gui.panels.keys import KeyButton
from napari_seg.gui.panels.rows import Group, button_grid

_WORDS = {"z": ("plane", "Through the planes"), "t": ("frame", "Through time")}


class PlanesBox(QWidget):
    """Finds the selected object again in other planes or frames."""

    requested = Signal(str)
    """``"next"``, ``"previous"`` or ``"through"``."""
    range_requested = Signal(int, int)
    """First and last plane, both included."""
    interpolate_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.previous = KeyButton("Previous", shortcuts.PREVIOUS)
        self.next = KeyButton("Next", shortcuts.NEXT)
        self.through = KeyButton("All", shortcuts.THROUGH)
        self.interpolate = KeyButton("Interpolate", shortcuts.INTERPOLATE)
        self.range = KeyButton("Range", shortcuts.RANGE)
        self.first, self.last = QSpinBox(), QSpinBox()
        # The right column has the longer words.
        ways = [self.previous, self.next, self.through, self.interpolate]
        grid = button_grid(ways, 2, stretch=(2, 3))
        self._group = Group("", [grid, self._range_row()])
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._group)
        self._connect()
        self.set_axis("z")

    def _range_row(self) -> QWidget:
        holder = QWidget()
        row = QHBoxLayout(holder)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for box in (self.first, self.last):
            box.setKeyboardTracking(False)
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        # Side by side without a word between: napari's spin boxes are wide.
        row.addWidget(self.first, 1)
        row.addWidget(self.last, 1)
        row.addWidget(self.range)
        fixed = QSizePolicy.Policy.Fixed
        self.range.setSizePolicy(fixed, fixed)
        return holder

    def _connect(self) -> None:
        self.previous.clicked.connect(lambda: self.requested.emit("previous"))
        self.next.clicked.connect(lambda: self.requested.emit("next"))
        self.through.clicked.connect(lambda: self.requested.emit("through"))
        self.interpolate.clicked.connect(self.interpolate_requested)
        self.range.clicked.connect(self._on_range)

    def set_axis(self, axis: str) -> None:
        """Speak of planes (``"z"``) or frames (``"t"``); hide for neither."""
        self.setVisible(axis in _WORDS)
        word, title = _WORDS.get(axis, _WORDS["z"])
        self._group.set_title(title)
        self.previous.set_word(f"◂ {word.title()}")
        self.next.set_word(f"{word.title()} ▸")
        for box, which in ((self.first, "First"), (self.last, "Last")):
            box.setToolTip(f"{which} {word} of the range")

    def set_range(self, first: int, last: int, limit: int) -> None:
        """Show a range; planes go from 0 to `limit`. Does not emit."""
        for box, value in ((self.first, first), (self.last, last)):
            with QSignalBlocker(box):
                box.setRange(0, limit)
                box.setValue(value)

    def _on_range(self) -> None:
        # What is still being typed counts, too.
        self.first.interpretText()
        self.last.interpretText()
        ends = sorted((self.first.value(), self.last.value()))
        self.range_requested.emit(*ends)
