"""The object in hand: which one it is, and what can be done to it at once."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from napari_seg.gui import shortcuts
from napari_seg.gui.panels.fields import SPACING_PX
from napari_seg.gui.panels.keys import KeyButton
from napari_seg.gui.panels.rows import Group, button_grid

_SWATCH_PX = 14


class Swatch(QWidget):
    """A square in the colour of an object."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.colour = QColor()
        self.setFixedSize(_SWATCH_PX, _SWATCH_PX)

    def set_colour(self, colour: Sequence[float] | None) -> None:
        """Show red, green and blue, 0..1; None shows an empty frame."""
        self.colour = QColor()
        if colour is not None:
            self.colour = QColor.fromRgbF(*(float(c) for c in colour[:3]))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Fill the square, and frame it for colours like the background's."""
        painter = QPainter(self)
        frame = self.palette().color(self.foregroundRole())
        frame.setAlphaF(0.6)
        painter.setPen(frame)
        if self.colour.isValid():
            painter.setBrush(self.colour)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        side = _SWATCH_PX - 1
        painter.drawRoundedRect(QRectF(0.5, 0.5, side, side), 2, 2)
        painter.end()


class ObjectBox(QWidget):
    """Says which object is selected; has the edits that need no drawing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.swatch = Swatch()
        self.name = QLabel()
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.new = KeyButton("New", shortcuts.NEW)
        self.free_id = KeyButton("Free id", shortcuts.FREE_ID)
        self.fill = KeyButton("Fill holes", shortcuts.FILL)
        self.smooth = KeyButton("Smooth", shortcuts.SMOOTH)
        self.largest = KeyButton("Largest part", shortcuts.LARGEST)
        self.lock = KeyButton("Lock", shortcuts.LOCK_SELECTED)
        self.delete = KeyButton("Delete", shortcuts.DELETE_SELECTED)
        self._lay_out()
        self.set_object(None, is_locked=False, is_new=False)

    def _lay_out(self) -> None:
        current = QWidget()
        row = QHBoxLayout(current)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACING_PX)
        row.addWidget(self.swatch)
        row.addWidget(self.name, 2)
        row.addWidget(self.new, 1)
        edits = [self.fill, self.smooth, self.largest, self.lock]
        edits += [self.delete, self.free_id]
        group = Group("Selected object", [current, button_grid(edits, 2)])
        column = QHBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(group)

    def set_object(
        self,
        object_id: int | None,
        is_locked: bool,
        is_new: bool,
        colour: Sequence[float] | None = None,
    ) -> None:
        """Show which object is in hand, and offer what can be done to it."""
        if object_id is None:
            text = "None yet"
        else:
            text = f"Object {object_id}"
            text += ", new" if is_new else ", locked" if is_locked else ""
        self.name.setText(text)
        self.name.setToolTip(text)
        self.swatch.set_colour(None if object_id is None else colour)
        is_there = object_id is not None and not is_new
        for button in (self.fill, self.smooth, self.largest, self.delete):
            button.setEnabled(is_there and not is_locked)
        self.lock.setEnabled(is_there)
        self.lock.set_word("Unlock" if is_locked else "Lock")
