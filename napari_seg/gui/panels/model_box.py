"""The choice of a model, and what can be done with the user's own."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QMenu,
    QMessageBox,
    QTextBrowser,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_seg.gui.panels.choices import combo_box, fill_combo
from napari_seg.gui.panels.fields import SPACING_PX

SUFFIX = ".safetensors"
_ABOUT_PX = (460, 420)

Rows = Sequence[tuple[str, str]]


class ModelBox(QWidget):
    """A list of models with a menu beside it."""

    chosen = Signal(str)
    add_requested = Signal(str)
    """A path."""
    rename_requested = Signal(str, str)
    """A name, and the new one."""
    remove_requested = Signal(str)
    about_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.combo = combo_box()
        self.button = QToolButton()
        self.button.setText("⋯")
        self.button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.button.setToolTip("Add, rename or remove models; read about this one")
        # The dots say it; the arrow would be drawn over them.
        self.button.setStyleSheet("QToolButton::menu-indicator { image: none }")
        self.button.setAccessibleName("More about models")
        self._own: frozenset[str] = frozenset()
        self._fill_menu()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACING_PX)
        row.addWidget(self.combo, 1)
        row.addWidget(self.button)
        self.setFocusProxy(self.combo)
        self.combo.currentIndexChanged.connect(self._on_chosen)

    def _fill_menu(self) -> None:
        menu = QMenu(self)
        self.about = menu.addAction("About this model", self._on_about)
        menu.addSeparator()
        self.add = menu.addAction("Add a model file…", self._on_add)
        self.rename = menu.addAction("Rename…", self._on_rename)
        self.remove = menu.addAction("Remove…", self._on_remove)
        self.button.setMenu(menu)

    def set_models(
        self, names: Sequence[str], current: str, own: Sequence[str] = ()
    ) -> None:
        """List the models; `own` are those that may be renamed and removed."""
        fill_combo(self.combo, [(name, name) for name in names], current)
        self._own = frozenset(own)
        self._enable()

    def show_about(self, name: str, rows: Rows) -> None:
        """Open a window that tells what is known about a model."""
        dialog = about_dialog(name, rows, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def current(self) -> str:
        """Return the name of the chosen model."""
        return str(self.combo.currentData() or "")

    def _enable(self) -> None:
        is_own = self.current() in self._own
        for action in (self.rename, self.remove):
            action.setEnabled(is_own)
        self.about.setEnabled(bool(self.current()))

    def _on_chosen(self) -> None:
        self._enable()
        self.chosen.emit(self.current())

    def _on_about(self) -> None:
        self.about_requested.emit(self.current())

    def _on_add(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(
            self, "Add models", "", f"Models (*{SUFFIX})"
        )
        for path in paths:
            self.add_requested.emit(path)

    def _on_rename(self) -> None:
        old = self.current()
        new, is_sure = QInputDialog.getText(
            self, "Rename the model", f"New name of {old}:", text=old
        )
        if is_sure and new.strip() and new.strip() != old:
            self.rename_requested.emit(old, new.strip())

    def _on_remove(self) -> None:
        name = self.current()
        answer = QMessageBox.question(
            self,
            "Remove the model",
            f"Delete the model {name} from this computer? This cannot be undone.",
        )
        if answer == QMessageBox.StandardButton.Yes:
            self.remove_requested.emit(name)


def about_dialog(name: str, rows: Rows, parent: QWidget | None = None) -> QDialog:
    """Make the window that tells what is known about a model."""
    dialog = QDialog(parent)
    dialog.setWindowTitle(name)
    dialog.resize(*_ABOUT_PX)
    text = QTextBrowser()
    text.setHtml(_as_table(name, rows))
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    column = QVBoxLayout(dialog)
    column.addWidget(text)
    column.addWidget(buttons)
    return dialog


def _as_table(name: str, rows: Rows) -> str:
    lines = "".join(
        f"<tr><td style='padding: 3px 10px 3px 0'><b>{html.escape(caption)}</b></td>"
        f"<td style='padding: 3px 0'>{html.escape(text)}</td></tr>"
        for caption, text in rows
    )
    return f"<h3>{html.escape(name)}</h3><table>{lines}</table>"


class CheckpointDrop(QObject):
    """Takes checkpoints that are dropped on a widget, and leaves the rest alone."""

    dropped = Signal(str)
    """A path."""

    def __init__(self, target: QWidget) -> None:
        super().__init__(target)
        target.setAcceptDrops(True)
        target.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Handle drags with a checkpoint among the files."""
        kinds = (QEvent.Type.DragEnter, QEvent.Type.DragMove, QEvent.Type.Drop)
        if event.type() not in kinds or not (paths := _checkpoints(event)):
            return super().eventFilter(watched, event)
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            for path in paths:
                self.dropped.emit(path)
        return True


def _checkpoints(event: Any) -> list[str]:
    data = event.mimeData()
    urls = data.urls() if data is not None and data.hasUrls() else []
    paths = [url.toLocalFile() for url in urls if url.isLocalFile()]
    return [path for path in paths if Path(path).suffix == SUFFIX]
