"""The image of the folder that is open, and the way to the next: on every tab."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_seg.gui import shortcuts
from napari_seg.gui.panels.keys import KeyButton
from napari_seg.gui.panels.rows import button_grid


class FolderStrip(QWidget):
    """Back, Next and Verified; it is hidden while no folder is open."""

    step_requested = Signal(int)
    """1 is on, -1 is back."""
    verify_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.place = QLabel()
        self.place.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.back = KeyButton("◂ Back", shortcuts.PREVIOUS_IMAGE)
        self.next = KeyButton("Next ▸", shortcuts.NEXT_IMAGE)
        self.verify = KeyButton("✓ All correct, next", shortcuts.VERIFY_IMAGE)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        column = QVBoxLayout(self)
        column.setContentsMargins(9, 0, 9, 6)
        column.setSpacing(4)
        column.addWidget(line)
        column.addWidget(self.place)
        column.addWidget(button_grid([self.back, self.next], 2))
        column.addWidget(self.verify)
        self.back.clicked.connect(lambda _: self.step_requested.emit(-1))
        self.next.clicked.connect(lambda _: self.step_requested.emit(1))
        self.verify.clicked.connect(lambda _: self.verify_requested.emit())
        self.set_place("")

    def set_place(self, text: str) -> None:
        """Say which image is open; an empty text hides all of it."""
        self.place.setText(text)
        self.place.setToolTip(text)
        self.setVisible(bool(text))
