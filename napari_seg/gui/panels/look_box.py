"""The section that shows what the network looks at for a pixel."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.fields import SPACING_PX, note_label

_TIP = (
    "Click on a pixel of the image, and two layers show what the chosen model makes of "
    "it. Receptive field: where a change of the image would change the answer most. "
    "Attention, of networks that have it: where in the image the pixel looks. Nothing "
    "is changed; the layers go when this is unticked."
)


class LookBox(QWidget):
    """Emits what the user wants and shows what it is told; it knows no layer."""

    on_requested = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.switch = QCheckBox("Show what a click depends on")
        self.switch.setToolTip(tooltip(_TIP))
        self.note = note_label()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(self.switch)
        column.addWidget(self.note)
        self.switch.toggled.connect(self.on_requested)

    # What the controller tells it. No setter emits a request.

    def set_on(self, is_on: bool) -> None:
        """Show whether clicks are waited for."""
        with QSignalBlocker(self.switch):
            self.switch.setChecked(is_on)

    def set_note(self, text: str) -> None:
        """Say what was found, or what to do; empty hides the line."""
        self.note.setText(text)
        self.note.setVisible(bool(text))
