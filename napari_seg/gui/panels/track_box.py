"""Link over time: one id for each object in all frames of a film."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_seg.gui import shortcuts
from napari_seg.gui.forms import ParamsForm
from napari_seg.gui.panels.choices import combo_box, fill_combo
from napari_seg.gui.panels.fields import (
    SPACING_PX,
    FieldGrid,
    note_label,
    wrapping_policy,
)
from napari_seg.gui.panels.keys import KeyButton
from napari_seg.inference.tracking import TrackParams

_TEXT = (
    "Gives an object the same id in all frames, in a new layer, and draws its way as "
    "tracks. The masks stay as they are."
)
_AXIS_TIP = "Which dimension of the labels is time."
_RANGES = {"gap": (0.0, 20.0), "reach": (0.1, 20.0)}
_BAR_STEPS = 1000


class TrackBox(QWidget):
    """Emits what the user wants, and shows how far it is."""

    link_requested = Signal()
    stop_requested = Signal()
    params_requested = Signal(object)
    """`TrackParams`."""
    axis_requested = Signal(int)
    """Axis of the layer that is time."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        text = QLabel(_TEXT)
        text.setWordWrap(True)
        text.setSizePolicy(wrapping_policy())
        self.axis = combo_box()
        self.form = ParamsForm(
            TrackParams(),
            ranges=_RANGES,
            captions={"divisions": "Objects may divide"},
            on_change=lambda params: self.params_requested.emit(params),
        )
        grid = FieldGrid({**self.form.docs, "axis": _AXIS_TIP})
        grid.add("axis", "Frames", self.axis)
        for name, label in (("reach", "Reach"), ("gap", "Gap"), ("divisions", "")):
            grid.add(name, label, self.form.native(name))
        self.link = KeyButton("Link over time", shortcuts.LINK)
        self.stop = KeyButton("Stop", shortcuts.STOP_LINK)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.setMaximum(_BAR_STEPS)
        self.note = note_label()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        # A row, for in a grid the place of Stop would stay empty.
        row = QHBoxLayout()
        row.addWidget(self.link, 3)
        row.addWidget(self.stop, 2)
        column.addWidget(text)
        column.addWidget(grid)
        column.addLayout(row)
        column.addWidget(self.bar)
        column.addWidget(self.note)
        self.link.clicked.connect(lambda _: self.link_requested.emit())
        self.stop.clicked.connect(lambda _: self.stop_requested.emit())
        self.axis.currentIndexChanged.connect(
            lambda _: self.axis_requested.emit(int(self.axis.currentData()))
        )
        self.set_progress(None)

    # What the controller tells it. No setter emits a request.

    def set_axes(self, axes: Sequence[tuple[str, int]], current: int | None) -> None:
        """Offer the dimensions that may be time, as pairs of text and axis."""
        fill_combo(self.axis, axes, current)

    def set_params(self, params: TrackParams) -> None:
        """Show how objects are followed."""
        self.form.set_params(params)

    def set_progress(self, fraction: float | None) -> None:
        """Show how far the linking is, 0..1; None: nothing goes on."""
        self.link.setEnabled(fraction is None)
        self.stop.setVisible(fraction is not None)
        self.bar.setVisible(fraction is not None)
        if fraction is not None:
            self.bar.setValue(round(fraction * _BAR_STEPS))

    def set_note(self, text: str) -> None:
        """Say what was linked, or what keeps it from being linked."""
        self.note.setText(text)
        self.note.setVisible(bool(text))
