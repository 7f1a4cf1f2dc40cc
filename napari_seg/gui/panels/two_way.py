"""A choice between two, side by side."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QWidget

from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.keys import add_shortcut, native_key
from napari_seg.gui.shortcuts import Shortcut


class TwoWay(QWidget):
    """Two buttons of which one is down; the key, shown on the other, goes there.

    Parameters
    ----------
    yes, no : str
        Words for True, which stands first, and for False.
    shortcut : Shortcut
        Toggles.
    """

    changed = Signal(bool)
    """The user chose the other one."""

    def __init__(
        self, yes: str, no: str, shortcut: Shortcut, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._words = {True: yes, False: no}
        self._key = native_key(shortcut)
        self._value = True
        self.buttons = {value: QPushButton() for value in self._words}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for value, button in self.buttons.items():
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.setToolTip(tooltip(f"{shortcut.action} ({self._key})"))
            button.clicked.connect(partial(self._choose, value))
            row.addWidget(button, 1)
        add_shortcut(self, shortcut).activated.connect(self._toggle)
        self.set_value(True)

    @property
    def value(self) -> bool:
        """What is chosen."""
        return self._value

    def set_value(self, value: bool) -> None:
        """Show a choice; does not emit."""
        self._value = value
        for own, button in self.buttons.items():
            is_on = own is value
            button.setChecked(is_on)
            word = self._words[own]
            button.setText(word if is_on else f"{word}   {self._key}")

    def _toggle(self) -> None:
        self._choose(not self._value)

    def _choose(self, value: bool) -> None:
        is_new = value is not self._value
        self.set_value(value)
        if is_new:
            self.changed.emit(value)
