"""The Batch panel: all images of a folder in one go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_seg.gui import shortcuts
from napari_seg.gui.batch.rows import BatchRow
from napari_seg.gui.batch.settings import BatchSettings
from napari_seg.gui.forms import field_docs, tooltip
from napari_seg.gui.panels.batch_table import BatchTable
from napari_seg.gui.panels.choices import combo_box, fill_combo
from napari_seg.gui.panels.fields import SPACING_PX, FieldGrid, note_label
from napari_seg.gui.panels.keys import KeyButton
from napari_seg.gui.panels.rows import button_grid
from napari_seg.gui.panels.wheel_guard import WheelGuard
from napari_seg.state import JobState

_HINT = """<b>Segment a whole folder</b>
<ol style="margin-left: -22px">
<li>Try the settings on one image, on the <i>Segment</i> tab.</li>
<li>Choose the folder here, and press <b>Run</b>. What fails is listed, the rest is
done.</li>
<li>Double-click an image to see it with its labels.</li>
</ol>"""
_MODEL_TIP = "The network that segments the images; the same as on the Segment tab."
_ANEW_TIP = "Forget what was done, and segment all images again, over their labels."
_BAR_STEPS = 1000


class BatchPanel(QWidget):
    """Emits what the user wants and shows what it is told; it knows no file."""

    folder_requested = Signal(str)
    pattern_requested = Signal(str)
    out_requested = Signal(str)
    measure_requested = Signal(bool)
    model_requested = Signal(str)
    run_requested = Signal()
    anew_requested = Signal()
    pause_requested = Signal()
    cancel_requested = Signal()
    open_requested = Signal(str)
    """The name of an image."""
    shown = Signal()
    """Somebody looks at it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._errors: dict[str, str] = {}
        self._make_editors()
        self._lay_out()
        self._connect()
        WheelGuard(self.grid)

    # What the user sees, from top to bottom.

    def _make_editors(self) -> None:
        self.hint = QLabel(_HINT)
        self.hint.setWordWrap(True)
        self.folder, self.out = QLabel(), QLabel()
        self.choose = QPushButton("Choose…")
        self.change = QPushButton("Change…")
        for label, button in ((self.folder, self.choose), (self.out, self.change)):
            # The label stands beside its button, not above it.
            label.setMinimumHeight(button.sizeHint().height())
        self.pattern = QLineEdit()
        self.model = combo_box()
        self.measure = QCheckBox("Measure every object")
        self.table = BatchTable()
        self.error = note_label()
        self.progress = note_label()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.setMaximum(_BAR_STEPS)
        self.run = KeyButton("Run", shortcuts.RUN_BATCH)
        self.anew = QPushButton("Begin anew")
        self.anew.setToolTip(tooltip(_ANEW_TIP))
        self.pause = KeyButton("Pause", shortcuts.PAUSE_BATCH)
        self.cancel = KeyButton("Cancel", shortcuts.CANCEL_BATCH)
        self.status = note_label()

    def _lay_out(self) -> None:
        docs = field_docs(BatchSettings) | {"model": _MODEL_TIP}
        self.grid = FieldGrid(docs)
        for name, text, label, button in (
            ("folder", "Images", self.folder, self.choose),
            ("out", "Labels go to", self.out, self.change),
        ):
            row = button_grid([label, button], 2, (1, 0))
            self.grid.add(name, text, label, within=row)
            button.setToolTip(tooltip(docs[name]))
        self.grid.add("pattern", "Files", self.pattern)
        self._model_field = self.grid.add("model", "Model", self.model)
        self.grid.add("measures", "", self.measure)
        buttons = QWidget()
        row = QHBoxLayout(buttons)
        row.setContentsMargins(0, 0, 0, 0)
        for button, weight in (
            (self.run, 3), (self.anew, 0), (self.pause, 1), (self.cancel, 1),
        ):  # fmt: skip
            row.addWidget(button, weight)
        self.work = QWidget()
        inner = QVBoxLayout(self.work)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(SPACING_PX)
        inner.addWidget(self.table, 1)
        for widget in (self.error, buttons, self.bar, self.progress):
            inner.addWidget(widget)
        column = QVBoxLayout(self)
        column.setSpacing(SPACING_PX)
        column.addWidget(self.hint)
        column.addWidget(self.grid)
        column.addWidget(self.work, 1)
        column.addWidget(self.status)
        column.addStretch(0)

    def _connect(self) -> None:
        # Lambdas, for `clicked` would hand on whether the button is checked.
        self.choose.clicked.connect(lambda _: self._ask_for_folder())
        self.change.clicked.connect(lambda _: self._ask_where_to())
        for button, signal in (
            (self.run, self.run_requested),
            (self.pause, self.pause_requested),
            (self.cancel, self.cancel_requested),
        ):
            button.clicked.connect(lambda _=False, signal=signal: signal.emit())
        self.anew.clicked.connect(lambda _: self._ask_anew())
        self.pattern.editingFinished.connect(self._on_pattern)
        self.model.currentIndexChanged.connect(
            lambda _: self.model_requested.emit(str(self.model.currentData()))
        )
        self.measure.toggled.connect(self.measure_requested)
        self.table.opened.connect(self.open_requested)
        self.table.chosen.connect(lambda _: self._show_error())

    def showEvent(self, event: QShowEvent) -> None:
        """Tell that somebody looks."""
        super().showEvent(event)
        self.shown.emit()

    # What the controller tells it. No setter emits a request.

    def set_place(self, folder: str, pattern: str, out: str) -> None:
        """Show which images there are, and where the labels go."""
        self.hint.setVisible(not folder)
        self.work.setVisible(bool(folder))
        for label, path in ((self.folder, folder), (self.out, out)):
            label.setText(Path(path).name if path else "none chosen")
            label.setToolTip(path)
        self._pattern = pattern
        self.pattern.setText(pattern)

    def set_measure(self, is_on: bool) -> None:
        """Show whether objects are measured."""
        with QSignalBlocker(self.measure):
            self.measure.setChecked(is_on)

    def set_models(self, names: Sequence[str], current: str) -> None:
        """List the models."""
        fill_combo(self.model, [(name, name) for name in names], current)

    def set_summary(self, text: str) -> None:
        """Say in short how images are segmented."""
        self._model_field.set_info(text)

    def set_rows(self, rows: Sequence[BatchRow]) -> None:
        """List the images."""
        self._errors = {row.name: row.error for row in rows if row.error}
        self.table.set_rows(rows)
        self._show_error()

    def set_row(self, row: BatchRow) -> None:
        """Show how far an image is now."""
        self._errors.pop(row.name, None)
        if row.error:
            self._errors[row.name] = row.error
        self.table.set_row(row)
        self._show_error()

    def set_thumbnail(self, name: str, picture: np.ndarray) -> None:
        """Show a small picture of an image."""
        self.table.set_thumbnail(name, picture)

    def set_state(
        self, state: JobState, is_paused: bool, is_begun: bool, left: int
    ) -> None:
        """Offer what can be done now.

        Parameters
        ----------
        state : JobState
            Of the run.
        is_paused : bool
        is_begun : bool
            A run was begun before, in the same folder of labels.
        left : int
            Images that are still to be done.
        """
        is_active = state.is_active
        self.run.setVisible(not is_active)
        self.run.set_word("Go on" if is_begun else "Run")
        self.run.setEnabled(left > 0)
        self.anew.setVisible(is_begun and not is_active)
        self.pause.setVisible(is_active)
        self.pause.set_word("Go on" if is_paused else "Pause")
        self.cancel.setVisible(is_active)
        for button in (self.pause, self.cancel):
            button.setEnabled(state is JobState.RUNNING)
        # What a run was begun with does not change any more.
        self.grid.setEnabled(not is_active)

    def set_progress(self, share: float, text: str) -> None:
        """Show how far the batch is, 0..1, and say it."""
        self.bar.setValue(round(share * _BAR_STEPS))
        if text != self.progress.text():
            self.progress.setText(text)
            self.progress.setVisible(bool(text))

    def set_status(self, text: str) -> None:
        """Say something in one or two lines; empty says nothing."""
        if text != self.status.text():
            self.status.setText(text)
            self.status.setVisible(bool(text))

    def _show_error(self) -> None:
        """Say why the image that is selected failed, else why the first one did."""
        first = next(iter(self._errors.values()), "")
        chosen = self.table.current()
        text = self._errors.get(chosen, "") if chosen else first
        if text != self.error.text():
            self.error.setText(text)
            self.error.setVisible(bool(text))

    def _on_pattern(self) -> None:
        text = self.pattern.text().strip()
        if text and text != self._pattern:
            self.pattern_requested.emit(text)

    def _ask_anew(self) -> None:
        answer = QMessageBox.question(
            self,
            "Begin anew",
            f"Segment all images again? The labels in {self.out.text()} are written "
            "over, also those that somebody has corrected there.",
        )
        if answer == QMessageBox.StandardButton.Yes:
            self.anew_requested.emit()

    def _ask_for_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of images")
        if folder:
            self.folder_requested.emit(folder)

    def _ask_where_to(self) -> None:
        out = QFileDialog.getExistingDirectory(self, "Folder for the labels")
        if out:
            self.out_requested.emit(out)
