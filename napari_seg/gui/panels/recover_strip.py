"""What a crash left behind, and whether corrections are saved by themselves."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_seg.gui import shortcuts
from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.fields import SPACING_PX, wrapping_policy
from napari_seg.gui.panels.keys import KeyButton

_DOC = (
    "Within two seconds each correction is on disk, so that a crash loses nothing. It "
    "does not replace saving: it is kept for a month. Folder: {}"
)


class RecoverStrip(QWidget):
    """Offers to recover; emits what the user wants."""

    recover_requested = Signal()
    discard_requested = Signal()
    on_requested = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setSizePolicy(wrapping_policy())
        self.recover = KeyButton("Recover", shortcuts.RECOVER)
        self.discard = KeyButton("Discard", shortcuts.FORGET)
        self.on = QCheckBox("Save corrections automatically")
        self.offer = QWidget()
        inner = QVBoxLayout(self.offer)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(SPACING_PX)
        inner.addWidget(self.text)
        inner.addWidget(self.recover)
        inner.addWidget(self.discard)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(self.offer)
        column.addWidget(self.on)
        # Lambdas, for `clicked` would hand on whether the button is checked.
        self.recover.clicked.connect(lambda _: self.recover_requested.emit())
        self.discard.clicked.connect(lambda _: self.discard_requested.emit())
        self.on.toggled.connect(self.on_requested)

    def set_offer(self, text: str) -> None:
        """Say what can be recovered; empty hides it."""
        self.text.setText(text)
        self.offer.setVisible(bool(text))

    def set_on(self, is_on: bool, folder: str) -> None:
        """Show whether it is on, and where it writes."""
        with QSignalBlocker(self.on):
            self.on.setChecked(is_on)
        self.on.setToolTip(tooltip(_DOC.format(folder)))
