"""One small button per dimension of the image: its letter, and its size below."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_seg.gui.panels.fields import mark_invalid

_NAMES = {"T": "time", "C": "channel", "Z": "plane", "Y": "row", "X": "column"}
_UNKNOWN = "?"
_BUTTON_PX = 30


class AxesStrip(QWidget):
    """Shows and edits what each dimension is.

    Buttons with a menu rather than combo boxes, because five of them must fit
    beside their label in a narrow dock.
    """

    changed = Signal(str)
    """The user chose another letter; all letters in order, ``?`` where unknown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: list[QPushButton] = []
        self._shape: tuple[int, ...] = ()
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(4)

    def axes(self) -> str:
        """Return the letters as they stand."""
        return "".join(button.text() for button in self.buttons)

    def set_axes(self, axes: str, shape: Sequence[int], is_rgb: bool) -> None:
        """Show letters and sizes; does not emit.

        Parameters
        ----------
        axes : str
            One letter per dimension; shorter or empty where unknown.
        shape : sequence of int
            Size of each dimension.
        is_rgb : bool
            The last dimension is colour, which is no matter of opinion.
        """
        if tuple(shape) != self._shape:
            self._rebuild(tuple(shape))
        for i, button in enumerate(self.buttons):
            button.setText(axes[i] if i < len(axes) else _UNKNOWN)
            button.setEnabled(not (is_rgb and i == len(shape) - 1))

    def set_invalid(self, is_invalid: bool) -> None:
        """Mark the letters: the fault is in how they go together."""
        for button in self.buttons:
            mark_invalid(button, is_invalid)

    def choose(self, index: int, letter: str) -> None:
        """Do what the menu does: take a letter for one dimension.

        The dimension that had it takes the other's, so that none is used twice.
        """
        before = self.buttons[index].text()
        for button in self.buttons:
            if button.text() == letter:
                button.setText(before)
        self.buttons[index].setText(letter)
        self.changed.emit(self.axes())

    def _rebuild(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self.buttons = []
        while (item := self._row.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.setParent(None)
                widget.deleteLater()
        for index, size in enumerate(shape):
            self._row.addWidget(self._dimension(index, size), 1)

    def _dimension(self, index: int, size: int) -> QWidget:
        button = QPushButton(_UNKNOWN)
        button.setMinimumWidth(_BUTTON_PX)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.clicked.connect(partial(self._show_menu, index))
        self.buttons.append(button)
        label = QLabel(str(size) if size < 10_000 else f"{size // 1000}k")
        label.setToolTip(str(size))
        label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        label.setProperty("invalid-msg", "true")
        label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(button)
        column.addWidget(label)
        return holder

    def _show_menu(self, index: int) -> None:
        button = self.buttons[index]
        menu = QMenu(button)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for letter, name in _NAMES.items():
            action = menu.addAction(f"{letter}   {name}")
            action.triggered.connect(partial(self.choose, index, letter))
        menu.popup(button.mapToGlobal(button.rect().bottomLeft()))
