"""Next to correct: from one doubtful object to the next."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_seg.gui import shortcuts
from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.choices import combo_box, fill_combo
from napari_seg.gui.panels.fields import wrapping_policy
from napari_seg.gui.panels.fold import Fold
from napari_seg.gui.panels.keys import KeyButton
from napari_seg.gui.panels.object_table import ObjectTable
from napari_seg.gui.panels.rows import Group

_DOC = (
    "How doubt is measured. Entropy is there at once: how undecided the network was "
    "about the object's pixels. Mirrored runs take twice as long as the first run: "
    "objects that come out otherwise when the image is mirrored are doubtful. Other "
    "labels of the same image, say of another model, can be compared with, too. Odd "
    "size or shape needs no network: objects unlike the others come first. Border "
    "weights neither: objects whose neighbours touch them or nearly do come first."
)


class ReviewStrip(QWidget):
    """Emits where the user wants to go and shows what is there."""

    step_requested = Signal(int)
    """1 is on, -1 is back."""
    accept_requested = Signal()
    plane_requested = Signal()
    image_requested = Signal()
    rank_requested = Signal()
    measure_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.measure = combo_box()
        self.measure.setPlaceholderText("Nothing to rank by")
        self.measure.setToolTip(tooltip(_DOC))
        self.rank = KeyButton("Rank", shortcuts.RANK)
        self.back = KeyButton("◂ Back", shortcuts.DOUBT_BACK)
        self.next = KeyButton("Next ▸", shortcuts.DOUBT)
        self.accept = KeyButton("✓ Accept", shortcuts.ACCEPT)
        self.plane = KeyButton("Plane ▸", shortcuts.DOUBT_PLANE)
        self.image = KeyButton("Image ▸", shortcuts.DOUBT_IMAGE)
        self.table = ObjectTable()
        self.fold = Fold("Table of objects", self.table)
        self.note = QLabel()
        self._can_rank = False
        self._lay_out()
        self._connect()
        self.set_offers(can_rank=False, has_planes=False, has_images=False)
        self.set_busy(False)

    def _lay_out(self) -> None:
        self.note.setWordWrap(True)
        self.note.setSizePolicy(wrapping_policy())
        self._rows = [
            _row(self.measure, self.rank),
            _row(self.back, self.next),
            _row(self.accept, self.plane),
        ]
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        parts = [*self._rows, self.image, self.note, self.fold]
        column.addWidget(Group("Next to correct", parts))

    def _connect(self) -> None:
        self.measure.activated.connect(self._on_measure)
        self.back.clicked.connect(lambda: self.step_requested.emit(-1))
        self.next.clicked.connect(lambda: self.step_requested.emit(1))
        for button, signal in (
            (self.accept, self.accept_requested),
            (self.plane, self.plane_requested),
            (self.image, self.image_requested),
            (self.rank, self.rank_requested),
        ):
            button.clicked.connect(lambda _=False, signal=signal: signal.emit())

    # What the controller tells it. No setter emits a request.

    def set_measures(self, items: Sequence[tuple[str, str]], current: str) -> None:
        """List how doubt can be measured."""
        fill_combo(self.measure, items, current)
        self.measure.setEnabled(len(items) > 1)

    def set_offers(self, can_rank: bool, has_planes: bool, has_images: bool) -> None:
        """Offer what there is.

        Parameters
        ----------
        can_rank : bool
            There is a way to measure doubt.
        has_planes : bool
            The labels have several planes.
        has_images : bool
            Several open images were segmented.
        """
        for row in (*self._rows, self.fold):
            row.setVisible(can_rank)
        self.plane.setVisible(has_planes)
        self.image.setVisible(has_images)
        self._can_rank = can_rank
        self._show()

    def set_note(self, text: str) -> None:
        """Say where the user is, or what went wrong."""
        if text != self.note.text():
            self.note.setText(text)
        self._show()

    def set_busy(self, is_busy: bool) -> None:
        """Offer to stop a ranking."""
        self.rank.set_word("Stop" if is_busy else "Rank")

    def _show(self) -> None:
        """Take no room where there is nothing to offer or to say."""
        self.note.setVisible(bool(self.note.text()))
        self.setVisible(self._can_rank or bool(self.note.text()))

    def _on_measure(self, index: int) -> None:
        self.measure_requested.emit(self.measure.itemData(index))


def _row(*widgets: QWidget) -> QWidget:
    """Put widgets side by side; those that are hidden leave their room to others."""
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    for widget in widgets:
        row.addWidget(widget, 1)
    return holder
