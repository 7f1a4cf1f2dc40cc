"""The foot of the Correct panel: what waits, what runs, and one line of text."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QStackedWidget, QVBoxLayout, QWidget

from napari_seg.gui import shortcuts
from napari_seg.gui.panels.fields import SPACING_PX, wrapping_policy
from napari_seg.gui.panels.keys import KeyButton
from napari_seg.gui.panels.rows import button_grid

_BAR_STEPS = 1000


class CorrectFooter(QWidget):
    """Keep and Discard, or Stop while something runs; Undo and Redo; the status."""

    commit_requested = Signal()
    cancel_requested = Signal()
    stop_requested = Signal()
    undo_requested = Signal()
    redo_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.commit = KeyButton("Keep", shortcuts.COMMIT)
        self.discard = KeyButton("Discard", shortcuts.DISCARD)
        self.stop = KeyButton("Stop", shortcuts.DISCARD)
        # napari has these keys on the canvas; elsewhere they are the text fields'.
        self.undo = KeyButton("Undo", shortcuts.UNDO, is_bound=False)
        self.redo = KeyButton("Redo", shortcuts.REDO, is_bound=False)
        self.bar = QProgressBar()
        self.status = QLabel()
        self._is_pending = False
        self._lay_out()
        self._connect()
        self.set_pending(False)
        self.set_busy(None, "")
        self.set_history(can_undo=False, can_redo=False)

    def _lay_out(self) -> None:
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        # Two lines always: text that comes and goes must not move the buttons.
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing() + 4)
        self.status.setSizePolicy(wrapping_policy())
        # Stop takes the place of the two: there is nothing to keep while it runs.
        self._choice = QStackedWidget()
        self._choice.addWidget(button_grid([self.commit, self.discard], 2))
        self._choice.addWidget(button_grid([self.stop], 1))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(self._choice)
        column.addWidget(button_grid([self.undo, self.redo], 2))
        column.addWidget(self.bar)
        column.addWidget(self.status)
        for button in (self.commit, self.discard, self.stop):
            button.setMinimumHeight(30)
        # napari paints a checked button in its accent colour: that is how Keep
        # stands out while something waits for it.
        self.commit.setCheckable(True)

    def _connect(self) -> None:
        self.commit.clicked.connect(self._on_commit)
        self.discard.clicked.connect(self.cancel_requested)
        self.stop.clicked.connect(self.stop_requested)
        self.undo.clicked.connect(self.undo_requested)
        self.redo.clicked.connect(self.redo_requested)

    def set_pending(self, is_pending: bool) -> None:
        """Offer Keep and Discard."""
        self._is_pending = is_pending
        self.commit.setEnabled(is_pending)
        self.commit.setChecked(is_pending)
        self.discard.setEnabled(is_pending)

    def set_history(self, can_undo: bool, can_redo: bool) -> None:
        """Offer Undo and Redo."""
        self.undo.setEnabled(can_undo)
        self.redo.setEnabled(can_redo)

    def set_busy(self, fraction: float | None, text: str) -> None:
        """Show how far something is, 0..1, negative if unknown; None: it is over."""
        self._choice.setCurrentIndex(0 if fraction is None else 1)
        self.bar.setVisible(fraction is not None)
        if fraction is not None:
            # Painting waits for its turn; see `RunFooter.set_status`.
            self.bar.setUpdatesEnabled(False)
            self.bar.setMaximum(0 if fraction < 0 else _BAR_STEPS)
            self.bar.setValue(max(0, round(fraction * _BAR_STEPS)))
            self.bar.setUpdatesEnabled(True)
        if text:
            self.set_status(text)

    def set_status(self, text: str) -> None:
        """Say something in one or two lines."""
        # A wrapped label lays out the whole dock anew, even for the same text.
        if text != self.status.text():
            self.status.setText(text)

    def _on_commit(self) -> None:
        self.commit.setChecked(self._is_pending)
        self.commit_requested.emit()
