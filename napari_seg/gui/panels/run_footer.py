"""The foot of a panel: Run or Cancel, a bar that moves, and one line of text."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.fields import SPACING_PX, wrapping_policy
from napari_seg.gui.panels.keys import add_shortcut, native_key
from napari_seg.gui.shortcuts import CANCEL, RUN
from napari_seg.state import JobState

_BAR_STEPS = 1000


class RunFooter(QWidget):
    """Starts and stops a job, and tells how it goes."""

    run_requested = Signal()
    cancel_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = JobState.IDLE
        self._reason = ""
        self.button = QPushButton()
        self.button.setMinimumHeight(30)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        # Two lines always: text that comes and goes must not move the button.
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing() + 4)
        self.status.setSizePolicy(wrapping_policy())
        self._lay_out()
        self.button.clicked.connect(self._on_clicked)
        add_shortcut(self, RUN).activated.connect(self._on_run_key)
        add_shortcut(self, CANCEL).activated.connect(self._on_cancel_key)
        self._show()

    def _lay_out(self) -> None:
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(self.button)
        column.addWidget(self.bar)
        column.addWidget(self.status)

    @property
    def can_run(self) -> bool:
        """Whether Run is offered and enabled."""
        return not self._state.is_active and not self._reason

    def set_blocked(self, reason: str) -> None:
        """Disable Run and say why; enable it with an empty reason."""
        self._reason = reason
        self._show()

    def set_status(self, state: JobState, fraction: float, message: str) -> None:
        """Show where the job is.

        Parameters
        ----------
        state : JobState
            Run turns into Cancel while the job is active.
        fraction : float
            Finished share, 0..1; negative while nobody can know.
        message : str
            One or two lines.
        """
        # QProgressBar paints at once, and with it the canvas and all the window, if
        # it may; like this it waits for the next painting.
        self.bar.setUpdatesEnabled(False)
        self.bar.setMaximum(0 if fraction < 0 else _BAR_STEPS)
        self.bar.setValue(max(0, round(fraction * _BAR_STEPS)))
        self.bar.setUpdatesEnabled(True)
        # A wrapped label lays out the whole dock anew, even for the same text.
        if message != self.status.text():
            self.status.setText(message)
        if state is not self._state:
            self._state = state
            self._show()

    def _show(self) -> None:
        is_active = self._state.is_active
        shortcut = CANCEL if is_active else RUN
        word = "Cancel" if is_active else "Run"
        if self._state is JobState.CANCELLING:
            word = "Stopping after this tile"
        self.button.setText(f"{word}   {native_key(shortcut)}")
        self.button.setEnabled(self.can_run or self._state is JobState.RUNNING)
        tip = self._reason if self._reason and not is_active else shortcut.action
        self.button.setToolTip(tooltip(tip))
        self.bar.setVisible(is_active)

    def _on_clicked(self) -> None:
        if self._state.is_active:
            self.cancel_requested.emit()
        else:
            self.run_requested.emit()

    def _on_run_key(self) -> None:
        if self.can_run:
            self.run_requested.emit()

    def _on_cancel_key(self) -> None:
        if self._state is JobState.RUNNING:
            self.cancel_requested.emit()
