"""What a model learns from: a row for each labels layer and folder."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.choices import combo_box, fill_combo
from napari_seg.gui.panels.fields import SPACING_PX, note_label
from napari_seg.gui.training.data import Row
from napari_seg.gui.training.settings import Counts

_INDENT_PX = 24
_COUNTS_TIP = (
    "What of the labels is believed. Where something is not, the training takes it "
    "neither for an object nor for background. Objects are marked correct by locking "
    "them on the Correct tab."
)


class DataList(QWidget):
    """Rows with a tick, a choice of what counts, and how much it is."""

    used_requested = Signal(str, bool)
    counts_requested = Signal(str, object)
    remove_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(SPACING_PX)
        self.rows: dict[str, DataRow] = {}

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show rows; those that were there are only changed, not made anew."""
        keys = [row.key for row in rows]
        for key in [key for key in self.rows if key not in keys]:
            gone = self.rows.pop(key)
            self._column.removeWidget(gone)
            gone.hide()
            gone.deleteLater()
        for place, row in enumerate(rows):
            if row.key not in self.rows:
                self.rows[row.key] = self._new_row(row)
            editor = self.rows[row.key]
            if self._column.indexOf(editor) != place:
                self._column.insertWidget(place, editor)
            editor.set_row(row)
        self.setVisible(bool(rows))

    def _new_row(self, row: Row) -> DataRow:
        editor = DataRow(self)
        key = row.key
        editor.tick.clicked.connect(lambda on: self.used_requested.emit(key, on))
        editor.counts.currentIndexChanged.connect(
            lambda _: self.counts_requested.emit(key, editor.counts.currentData())
        )
        editor.remove.clicked.connect(lambda: self.remove_requested.emit(key))
        return editor


class DataRow(QWidget):
    """One layer or folder."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._row: Row | None = None
        self.tick = QCheckBox()
        self.tick.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.remove = QToolButton()
        self.remove.setText("\N{MULTIPLICATION X}")
        self.remove.setAutoRaise(True)
        self.remove.setToolTip(tooltip("Take the folder off the list."))
        self.counts: QComboBox = combo_box()
        self.counts.setToolTip(tooltip(_COUNTS_TIP))
        self.note = note_label()
        head = QHBoxLayout()
        head.setSpacing(4)
        head.addWidget(self.tick, 1)
        head.addWidget(self.remove)
        body = QVBoxLayout()
        body.setContentsMargins(_INDENT_PX, 0, 0, 0)
        body.setSpacing(2)
        body.addWidget(self.counts)
        body.addWidget(self.note)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(head)
        column.addLayout(body)

    def set_row(self, row: Row) -> None:
        """Show a row without emitting."""
        if row == self._row:
            return
        self._row = row
        with QSignalBlocker(self.tick):
            self.tick.setText(row.text.replace("&", "&&"))
            self.tick.setChecked(row.is_used and not row.problem)
        self.tick.setEnabled(not row.problem)
        self.tick.setToolTip(tooltip(row.tip))
        self.remove.setVisible(row.is_folder)
        items: list[tuple[str, Counts]] = [(c.value, c) for c in row.choices]
        shown = [self.counts.itemText(i) for i in range(self.counts.count())]
        if shown != [text for text, _ in items]:
            fill_combo(self.counts, items, row.counts)
        with QSignalBlocker(self.counts):
            self.counts.setCurrentIndex(
                row.choices.index(row.counts) if row.counts in row.choices else -1
            )
        is_offered = row.is_used and not row.problem
        self.counts.setVisible(is_offered and len(row.choices) > 1)
        note = f"⚠ {row.problem}" if row.problem else row.note
        if note != self.note.text():
            self.note.setText(note)
        self.note.setVisible(bool(note) and (is_offered or bool(row.problem)))
