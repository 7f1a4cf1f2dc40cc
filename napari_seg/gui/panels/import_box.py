"""Import masks: a button, files dropped on it, and what must be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QFileDialog, QMessageBox, QVBoxLayout, QWidget

from napari_seg.data.formats.overlaps import LATER, SMALLER
from napari_seg.gui import shortcuts
from napari_seg.gui.panels.fields import SPACING_PX, note_label
from napari_seg.gui.panels.keys import KeyButton

_FILES = "Masks (*.json *.npy *.zip *.txt *.tif *.tiff *.png);;All files (*)"
_SUFFIXES = (".json", ".npy", ".zip", ".txt", ".tif", ".tiff", ".png")


class ImportBox(QWidget):
    """Emits which file the user wants."""

    import_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = KeyButton("Import masks…", shortcuts.IMPORT)
        self.note = note_label()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(self.button)
        column.addWidget(self.note)
        self.button.clicked.connect(lambda _: self._ask_for_file())

    def take_drops(self, target: QWidget) -> None:
        """Import files that are dropped on a widget."""
        _Drop(target, self)

    def set_note(self, text: str) -> None:
        """Say what was imported, or what keeps it from being imported."""
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def ask_overlaps(self, text: str) -> str:
        """Ask which of two objects is on top; empty for none of it."""
        answers = {"Later on top": LATER, "Smaller on top": SMALLER}
        return answers.get(self._ask("Objects overlap", text, list(answers)), "")

    def ask_conflict(self, text: str) -> bool | None:
        """Ask whether to add masks to labels; False: a new layer, None: neither."""
        answers = {"New layer": False, "Add to them": True}
        return answers.get(self._ask("There are labels already", text, list(answers)))

    def _ask(self, title: str, text: str, answers: list[str]) -> str:
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle(title)
        box.setText(text)
        for answer in answers:
            box.addButton(answer, QMessageBox.ButtonRole.AcceptRole)
        cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        box.setEscapeButton(cancel)
        box.exec_()
        chosen = box.clickedButton()
        return "" if chosen is None else str(chosen.text()).replace("&", "")

    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Masks of the image", "", _FILES)
        if path:
            self.import_requested.emit(path)


class _Drop(QObject):
    """Takes one file of masks that is dropped on a widget, and leaves the rest."""

    def __init__(self, target: QWidget, box: ImportBox) -> None:
        super().__init__(target)
        self._box = box
        target.setAcceptDrops(True)
        target.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kinds = (QEvent.Type.DragEnter, QEvent.Type.DragMove, QEvent.Type.Drop)
        if event.type() not in kinds or not (paths := dropped(event)):
            return super().eventFilter(watched, event)
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            self._box.import_requested.emit(paths[0])
        return True


def dropped(event: Any) -> list[str]:
    """Return the files of masks that are dragged."""
    data = event.mimeData()
    urls = data.urls() if data is not None and data.hasUrls() else []
    paths = [url.toLocalFile() for url in urls if url.isLocalFile()]
    return [path for path in paths if Path(path).suffix.lower() in _SUFFIXES]
