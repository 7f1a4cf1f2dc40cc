"""Boxes to choose from, and the column they scroll in."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_seg.gui.panels.fields import SPACING_PX


def combo_box() -> QComboBox:
    """Make a combo box that long names do not widen."""
    box = QComboBox()
    box.setMinimumContentsLength(6)
    policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    box.setSizeAdjustPolicy(policy)
    return box


def fill_combo(
    box: QComboBox, items: Sequence[tuple[str, object]], current: object
) -> None:
    """Replace the items and the choice without emitting."""
    with QSignalBlocker(box):
        box.clear()
        for text, value in items:
            box.addItem(text, value)
            box.setItemData(box.count() - 1, text, Qt.ItemDataRole.ToolTipRole)
        values = [value for _, value in items]
        box.setCurrentIndex(values.index(current) if current in values else -1)


def scrolled(widgets: Sequence[QWidget]) -> QScrollArea:
    """Put widgets below each other, scrolling down where they do not fit."""
    content = QWidget()
    column = QVBoxLayout(content)
    column.setContentsMargins(0, 0, SPACING_PX, 0)
    column.setSpacing(2 * SPACING_PX)
    for widget in widgets:
        column.addWidget(widget)
    column.addStretch(1)
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(content)
    return area
