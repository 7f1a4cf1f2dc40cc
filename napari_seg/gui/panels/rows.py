"""Buttons side by side, and headings over them."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_seg.gui.panels.fields import SPACING_PX

_GAP_PX = 4


def button_grid(
    buttons: Sequence[QWidget], columns: int, stretch: Sequence[int] = ()
) -> QWidget:
    """Put buttons in columns, of the same width unless `stretch` weighs them."""
    holder = QWidget()
    grid = QGridLayout(holder)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setSpacing(_GAP_PX)
    for index, button in enumerate(buttons):
        grid.addWidget(button, index // columns, index % columns)
    for column, weight in enumerate(stretch or [1] * columns):
        grid.setColumnStretch(column, weight)
    return holder


class Group(QWidget):
    """Widgets below each other under a heading.

    Parameters
    ----------
    title : str
        The heading.
    widgets : sequence of QWidget
        From top to bottom.
    """

    def __init__(
        self, title: str, widgets: Sequence[QWidget], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.heading = QLabel()
        self.heading.setTextFormat(Qt.TextFormat.RichText)
        self.set_title(title)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(self.heading)
        for widget in widgets:
            column.addWidget(widget)

    def set_title(self, title: str) -> None:
        """Show another heading."""
        self.heading.setText(f"<b>{title}</b>")
