"""The foot of the Train panel: Start, Pause and Stop, a bar, and how it goes."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QStackedWidget, QVBoxLayout, QWidget

from napari_seg.gui import shortcuts
from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.fields import SPACING_PX, wrapping_policy
from napari_seg.gui.panels.keys import KeyButton, native_key
from napari_seg.gui.panels.rows import button_grid
from napari_seg.gui.training.settings import TrainState

_BAR_STEPS = 1000


class TrainFooter(QWidget):
    """Starts a training, lets it rest, and ends it."""

    start_requested = Signal()
    pause_requested = Signal()
    stop_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = TrainState.IDLE
        self._reason = ""
        self.start = KeyButton("Start training", shortcuts.TRAIN)
        self.pause = KeyButton("Pause", shortcuts.PAUSE)
        self.stop = KeyButton("Stop and keep", shortcuts.STOP)
        self.bar = QProgressBar()
        self.status = QLabel()
        self._lay_out()
        self.start.clicked.connect(lambda: self.start_requested.emit())
        self.pause.clicked.connect(lambda: self.pause_requested.emit())
        self.stop.clicked.connect(lambda: self.stop_requested.emit())
        self._show()

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
        # Three lines always: text that comes and goes must not move the buttons.
        self.status.setMinimumHeight(3 * self.status.fontMetrics().lineSpacing() + 4)
        self.status.setSizePolicy(wrapping_policy())
        for button in (self.start, self.pause, self.stop):
            button.setMinimumHeight(30)
        # Pause takes the place of Start.
        self._choice = QStackedWidget()
        self._choice.addWidget(button_grid([self.start], 1))
        self._choice.addWidget(button_grid([self.pause], 1))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        for widget in (self._choice, self.stop, self.bar, self.status):
            column.addWidget(widget)

    def set_blocked(self, reason: str) -> None:
        """Disable Start and say why; enable it with an empty reason."""
        self._reason = reason
        self._show()

    def set_status(self, state: TrainState, fraction: float, message: str) -> None:
        """Show where the training is.

        Parameters
        ----------
        state : TrainState
            Pause and Stop take the place of Start while it is active.
        fraction : float
            Finished share, 0..1; negative while nobody can know.
        message : str
            Up to three lines.
        """
        # Painting waits for its turn; see `RunFooter.set_status`.
        self.bar.setUpdatesEnabled(False)
        is_unknown = fraction < 0 or state is TrainState.STOPPING
        self.bar.setMaximum(0 if is_unknown else _BAR_STEPS)
        self.bar.setValue(max(0, round(fraction * _BAR_STEPS)))
        self.bar.setUpdatesEnabled(True)
        # A wrapped label lays out the whole dock anew, even for the same text.
        if message != self.status.text():
            self.status.setText(message)
        if state is not self._state:
            self._state = state
            self._show()

    def _show(self) -> None:
        state = self._state
        self._choice.setCurrentIndex(1 if state.is_active else 0)
        self.bar.setVisible(state.is_active)
        self.start.setEnabled(not self._reason and not state.is_active)
        train = shortcuts.TRAIN
        tip = self._reason or f"{train.action} ({native_key(train)})"
        self.start.setToolTip(tooltip(tip))
        is_paused = state is TrainState.PAUSED
        self.pause.set_word("Resume" if is_paused else "Pause")
        self.pause.setEnabled(state in (TrainState.RUNNING, TrainState.PAUSED))
        is_stopping = state is TrainState.STOPPING
        self.stop.set_word("Stop now" if is_stopping else "Stop and keep")
        self.stop.setEnabled(state.is_active and state is not TrainState.ENDING)
