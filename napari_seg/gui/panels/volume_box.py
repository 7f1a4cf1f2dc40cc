"""Large volume: labels of an image on disk, made block by block."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_seg.gui import shortcuts
from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.fields import (
    SPACING_PX,
    FieldGrid,
    note_label,
    wrapping_policy,
)
from napari_seg.gui.panels.keys import KeyButton
from napari_seg.gui.panels.rows import button_grid

_TEXT = (
    "Segments an image on disk that does not fit the memory, with the settings above. "
    "A stopped run goes on where it was."
)
_DOCS = {
    "out": "OME-Zarr folder for the labels. Empty: beside the image.",
    "workers": "Processes on this computer; 0 does all in this one.",
    "scheduler": "Address of a dask cluster, e.g. tcp://node1:8786, instead of "
    "processes here. It must see image, labels and model under the same paths.",
    "anew": "Forget a stopped run, and replace labels that are there.",
}
_BAR_STEPS = 1000
_MOST_WORKERS = 256


class VolumeBox(QWidget):
    """Emits what the user wants and shows what it is told; it knows no layer."""

    run_requested = Signal()
    stop_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        text = QLabel(_TEXT)
        text.setWordWrap(True)
        text.setSizePolicy(wrapping_policy())
        self.out = QLineEdit()
        self.out.setPlaceholderText("beside the image")
        self.choose = QPushButton("Choose…")
        self.choose.setToolTip(tooltip(_DOCS["out"]))
        self.workers = QSpinBox()
        self.workers.setRange(0, _MOST_WORKERS)
        self.scheduler = QLineEdit()
        self.scheduler.setPlaceholderText("none")
        self.anew = QCheckBox("Begin anew")
        grid = FieldGrid(_DOCS)
        row = button_grid([self.out, self.choose], 2, (1, 0))
        grid.add("out", "Labels go to", self.out, within=row)
        grid.add("workers", "Workers", self.workers)
        grid.add("scheduler", "Scheduler", self.scheduler)
        grid.add("anew", "", self.anew)
        self.run = KeyButton("Segment volume", shortcuts.RUN_VOLUME)
        self.stop = KeyButton("Stop", shortcuts.STOP_VOLUME)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.setMaximum(_BAR_STEPS)
        self.note = note_label()
        buttons = QHBoxLayout()
        buttons.addWidget(self.run, 3)
        buttons.addWidget(self.stop, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(text)
        column.addWidget(grid)
        column.addLayout(buttons)
        column.addWidget(self.bar)
        column.addWidget(self.note)
        self.run.clicked.connect(lambda _: self.run_requested.emit())
        self.stop.clicked.connect(lambda _: self.stop_requested.emit())
        self.choose.clicked.connect(self._on_choose)
        self.set_progress(None)

    def _on_choose(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Labels of the volume", self.out.text(), "OME-Zarr (*.zarr)"
        )
        if path:
            self.out.setText(path)

    # What the controller tells it. No setter emits a request.

    def set_workers(self, count: int) -> None:
        """Show how many processes there will be."""
        with QSignalBlocker(self.workers):
            self.workers.setValue(count)

    def set_progress(self, fraction: float | None) -> None:
        """Show how far the run is, 0..1; None: nothing goes on."""
        self.run.setEnabled(fraction is None)
        self.stop.setVisible(fraction is not None)
        self.bar.setVisible(fraction is not None)
        if fraction is not None:
            # as in the footer: it must not paint the whole window at once
            self.bar.setUpdatesEnabled(False)
            self.bar.setValue(round(fraction * _BAR_STEPS))
            self.bar.setUpdatesEnabled(True)

    def set_note(self, text: str) -> None:
        """Say how it goes, or what keeps it from going; empty hides the line."""
        if text != self.note.text():
            self.note.setText(text)
        self.note.setVisible(bool(text))
