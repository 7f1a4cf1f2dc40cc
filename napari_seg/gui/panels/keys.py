"""Buttons that show their key, and are pressed by it."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QDockWidget,
    QLineEdit,
    QPushButton,
    QShortcut,
    QSizePolicy,
    QWidget,
)

from napari_seg.gui.forms import tooltip
from napari_seg.gui.shortcuts import Shortcut

_ALIASES = {"Enter": "Return"}
"""Qt calls the large Enter key Return, and only the one of the number pad Enter."""


def native_key(shortcut: Shortcut) -> str:
    """Write a key as this platform does, e.g. with the Mac's symbols."""
    sequence = QKeySequence(shortcut.key)
    return sequence.toString(QKeySequence.SequenceFormat.NativeText)


def add_shortcut(widget: QWidget, shortcut: Shortcut) -> QShortcut:
    """Bind a key in the whole window that `widget` is docked in.

    Qt leaves it to others while the widget is not to be seen, e.g. on another tab.
    """
    return _DockKey(QKeySequence(shortcut.key), widget)


class _DockKey(QShortcut):
    """A key of the main window, also while the dock floats beside it.

    Parameters
    ----------
    sequence : QKeySequence
        The key.
    widget : QWidget
        Somewhere in the dock.
    """

    def __init__(self, sequence: QKeySequence, widget: QWidget) -> None:
        super().__init__(sequence, widget)
        self._widget = widget
        self.setContext(Qt.ShortcutContext.WindowShortcut)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Look where the dock is; Qt shows its content anew when it comes or goes."""
        if event.type() == QEvent.Type.Show:
            is_floating = isinstance(self._widget.window(), QDockWidget)
            contexts = Qt.ShortcutContext
            self.setContext(
                contexts.ApplicationShortcut if is_floating else contexts.WindowShortcut
            )
        return super().eventFilter(watched, event)


class KeyButton(QPushButton):
    """A button with its key beside its word.

    While it is disabled or hidden, Qt leaves its key to napari.

    Parameters
    ----------
    text : str
        One or two words.
    shortcut : Shortcut
        Its key, and its tooltip.
    is_bound : bool
        Whether the key presses the button; otherwise it is only shown.
    """

    def __init__(
        self,
        text: str,
        shortcut: Shortcut,
        *,
        is_bound: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.shortcut_info = shortcut
        self._keys: list[QShortcut] = []
        self.set_word(text)
        self.setToolTip(tooltip(f"{shortcut.action} ({native_key(shortcut)})"))
        # The keys go on working on the canvas after a click here.
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        if is_bound:
            spellings = [shortcut.key, _ALIASES.get(shortcut.key, "")]
            self._keys = [
                add_shortcut(self, shortcut._replace(key=key))
                for key in spellings
                if key
            ]
        for key in self._keys:
            # A key that is held down is one press, or ten objects are gone.
            key.setAutoRepeat(False)
            key.activated.connect(self.click)

    def set_word(self, text: str) -> None:
        """Show another word beside the key."""
        self.setText(f"{text}   {native_key(self.shortcut_info)}")


class TypingGuard(QObject):
    """Keeps every plain key for a field that is being typed in.

    Letters are kept by Qt; Enter and Esc are not.

    Parameters
    ----------
    panel : QWidget
        All its text fields and spin boxes are guarded.
    """

    def __init__(self, panel: QWidget) -> None:
        super().__init__(panel)
        for kind in (QLineEdit, QAbstractSpinBox):
            for editor in panel.findChildren(kind):
                editor.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take a key before the shortcuts do."""
        if event.type() == QEvent.Type.ShortcutOverride:
            held = event.modifiers() & ~Qt.KeyboardModifier.ShiftModifier
            if held in (
                Qt.KeyboardModifier.NoModifier,
                Qt.KeyboardModifier.KeypadModifier,
            ):
                event.accept()
                return True
        return super().eventFilter(watched, event)
