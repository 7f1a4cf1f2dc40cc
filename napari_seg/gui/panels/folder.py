"""The Folder panel: images of a folder, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_seg.data.folder import FolderImage, ImageState
from napari_seg.gui import shortcuts
from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.choices import combo_box, fill_combo
from napari_seg.gui.panels.fields import SPACING_PX, FieldGrid, note_label
from napari_seg.gui.panels.folder_strip import FolderStrip
from napari_seg.gui.panels.image_list import ImageList
from napari_seg.gui.panels.keys import KeyButton
from napari_seg.gui.panels.rows import button_grid

_HINT = """<b>Work through a folder</b>
<ol style="margin-left: -22px">
<li>Choose a model on the <i>Segment</i> tab, and open the folder here.</li>
<li>Correct what the model proposes on the <i>Correct</i> tab. The next image is
predicted meanwhile.</li>
<li><b>PgDown</b> saves the labels and opens the next image, <b>Shift+PgDown</b> also
calls all of this one correct.</li>
</ol>
<p>TIFF, PNG, OME-TIFF and OME-Zarr; CZI, ND2 and LIF if bioio is installed.</p>"""
_OUT_TIP = (
    "The labels of all images, with a copy of each image that has some, as one data "
    "set. Add that folder on the Train tab: only what you called correct is learned."
)
_AHEAD_TIP = (
    "While you correct one image, the model of the Segment tab predicts the next one "
    "in the background."
)
_FILTERS: tuple[tuple[str, ImageState | None], ...] = (
    ("All images", None),
    *((f"Only {state.value}", state) for state in ImageState),
)


class FolderPanel(QWidget):
    """Emits what the user wants and shows what it is told; it knows no layer."""

    open_requested = Signal(str)
    resume_requested = Signal()
    out_requested = Signal(str)
    select_requested = Signal(str)
    step_requested = Signal(int)
    verify_requested = Signal()
    ahead_requested = Signal(bool)
    stop_requested = Signal()
    filter_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.strip = FolderStrip()
        self._make_editors()
        self._lay_out()
        self._connect()
        self.set_ahead_progress("", None)

    # What the user sees, from top to bottom.

    def _make_editors(self) -> None:
        self.hint = QLabel(_HINT)
        self.hint.setWordWrap(True)
        self.open = KeyButton("Open folder…", shortcuts.OPEN_FOLDER)
        self.resume = KeyButton("Go on", shortcuts.RESUME_FOLDER)
        self.resume_note = note_label()
        self.folder = QLabel()
        self.out = QLabel()
        self.change = QPushButton("Change…")
        self.change.setToolTip(tooltip(_OUT_TIP))
        # Its label stands beside the button, not above it.
        self.out.setMinimumHeight(self.change.sizeHint().height())
        self.ahead = QCheckBox("Predict the next image ahead")
        self.ahead.setToolTip(tooltip(_AHEAD_TIP))
        self.filter = combo_box()
        fill_combo(self.filter, list(_FILTERS), None)
        self.images = ImageList()
        self.progress = note_label()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.setMaximum(1000)
        self.predicting = note_label()
        self.stop = KeyButton("Stop", shortcuts.STOP_AHEAD)
        self.status = note_label()

    def _lay_out(self) -> None:
        grid = FieldGrid({"out": _OUT_TIP, "folder": "The images that are listed."})
        grid.add("folder", "Images", self.folder)
        out = button_grid([self.out, self.change], 2, (1, 0))
        grid.add("out", "Labels go to", self.out, within=out)
        self.work = QWidget()
        inner = QVBoxLayout(self.work)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(SPACING_PX)
        for widget in (grid, self.ahead, self.filter):
            inner.addWidget(widget)
        inner.addWidget(self.images, 1)
        inner.addWidget(self.progress)
        self.busy = QWidget()
        busy = QVBoxLayout(self.busy)
        busy.setContentsMargins(0, 0, 0, 0)
        busy.setSpacing(2)
        busy.addWidget(button_grid([self.predicting, self.stop], 2, (3, 2)))
        busy.addWidget(self.bar)
        inner.addWidget(self.busy)
        column = QVBoxLayout(self)
        column.setSpacing(SPACING_PX)
        for widget in (self.hint, self.open, self.resume, self.resume_note):
            column.addWidget(widget)
        column.addWidget(self.work, 1)
        column.addWidget(self.status)
        column.addStretch(0)

    def _connect(self) -> None:
        # Lambdas, for `clicked` would hand on whether the button is checked.
        self.open.clicked.connect(lambda _: self._ask_for_folder())
        self.resume.clicked.connect(lambda _: self.resume_requested.emit())
        self.change.clicked.connect(lambda _: self._ask_where_to())
        self.stop.clicked.connect(lambda _: self.stop_requested.emit())
        self.ahead.toggled.connect(self.ahead_requested)
        self.filter.currentIndexChanged.connect(
            lambda index: self.filter_requested.emit(_FILTERS[index][1])
        )
        self.images.wanted.connect(self.select_requested)
        self.strip.step_requested.connect(self.step_requested)
        self.strip.verify_requested.connect(self.verify_requested)

    # What the controller tells it. No setter emits a request.

    def set_folder(self, folder: str, out: str) -> None:
        """Show which folder is open; an empty one shows how to open one."""
        self.hint.setVisible(not folder)
        self.work.setVisible(bool(folder))
        for label, path in ((self.folder, folder), (self.out, out)):
            label.setText(Path(path).name)
            label.setToolTip(path)
        with QSignalBlocker(self.filter):
            self.filter.setCurrentIndex(0)
        self.images.forget_pictures()

    def set_resume(self, name: str) -> None:
        """Offer the folder of last time; an empty name takes the offer back."""
        self.resume.setVisible(bool(name))
        self.resume_note.setText(f"Last time: {name}")
        self.resume_note.setVisible(bool(name))

    def set_images(self, images: Sequence[FolderImage]) -> None:
        """List images."""
        self.images.set_images(images)

    def set_image(self, image: FolderImage) -> None:
        """Show how far an image is now."""
        self.images.set_image(image)

    def set_thumbnail(self, name: str, picture: np.ndarray) -> None:
        """Show a small picture of an image."""
        self.images.set_thumbnail(name, picture)

    def set_current(self, name: str, place: str) -> None:
        """Show which image is open, and where it is in the list."""
        self.images.set_current(name)
        self.strip.set_place(place)

    def set_progress(self, text: str) -> None:
        """Say how far the folder is."""
        self.progress.setText(text)
        self.progress.setVisible(bool(text))

    def set_ahead(self, is_on: bool) -> None:
        """Show whether images are predicted ahead."""
        with QSignalBlocker(self.ahead):
            self.ahead.setChecked(is_on)

    def set_ahead_progress(self, name: str, share: float | None) -> None:
        """Show how far a prediction is, 0..1; None: it is over."""
        self.busy.setVisible(share is not None)
        if share is not None:
            self.predicting.setText(f"Predicting {name}")
            self.predicting.setVisible(True)
            self.bar.setValue(round(1000 * share))

    def set_status(self, text: str) -> None:
        """Say something in one or two lines; empty says nothing."""
        if text != self.status.text():
            self.status.setText(text)
            self.status.setVisible(bool(text))

    def _ask_for_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of images")
        if folder:
            self.open_requested.emit(folder)

    def _ask_where_to(self) -> None:
        out = QFileDialog.getExistingDirectory(self, "Folder for the labels")
        if out:
            self.out_requested.emit(out)
