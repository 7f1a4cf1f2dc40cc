"""The images of a batch as a table: a small picture, the state, the count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QIcon
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_seg.gui.batch.rows import BatchRow, RowState
from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.image_list import thumbnail_icon

_ICON_PX = 30
_ROW_PX = 34
_HEADS = ("Image", "State", "Objects")
_TIPS = (
    "Double-click an image to open it with its labels",
    "failed: select the image to read why",
    "Objects that were found",
)
_COLOURS = {
    RowState.WAITING: "#9aa0a6",
    RowState.RUNNING: "#7aa7ff",
    RowState.DONE: "#6fcf7c",
    RowState.FAILED: "#ff8a7a",
}


class BatchTable(QTableView):
    """Emits which image the user looks at, and which she wants to see."""

    chosen = Signal(str)
    """A click, or a way of the arrow keys."""
    opened = Signal(str)
    """A double click, or Enter."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = _Model()
        self.setModel(self.rows)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setIconSize(QSize(_ICON_PX, _ICON_PX))
        self.setMinimumHeight(3 * _ROW_PX)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_PX)
        header = self.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, width in ((1, 62), (2, 62)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        self.doubleClicked.connect(lambda index: self.opened.emit(self._name(index)))
        self.selectionModel().currentRowChanged.connect(self._on_row)

    def set_rows(self, rows: Sequence[BatchRow]) -> None:
        """List images."""
        self.rows.set_rows(rows)

    def set_row(self, row: BatchRow) -> None:
        """Show how far an image is now."""
        self.rows.set_row(row)

    def set_thumbnail(self, name: str, picture: np.ndarray) -> None:
        """Show a picture of uint8, shape (rows, columns, 3)."""
        self.rows.set_icon(name, thumbnail_icon(picture))

    def current(self) -> str:
        """Return the image that is selected; empty if none is."""
        return self._name(self.currentIndex())

    def _name(self, index: QModelIndex) -> str:
        return self.rows.rows[index.row()].name if index.isValid() else ""

    def _on_row(self, index: QModelIndex) -> None:
        self.chosen.emit(self._name(index))


class _Model(QAbstractTableModel):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[BatchRow] = []
        self._places: dict[str, int] = {}
        self._icons: dict[str, QIcon] = {}
        self._blank = thumbnail_icon(np.full((_ICON_PX, _ICON_PX, 3), 60, np.uint8))

    def set_rows(self, rows: Sequence[BatchRow]) -> None:
        """Take other rows; pictures of images that stay are kept."""
        self.beginResetModel()
        self.rows = list(rows)
        self._places = {row.name: place for place, row in enumerate(self.rows)}
        self._icons = {n: i for n, i in self._icons.items() if n in self._places}
        self.endResetModel()

    def set_row(self, row: BatchRow) -> None:
        """Take another row in the place of one, or as the last."""
        place = self._places.get(row.name)
        if place is None:
            self.set_rows([*self.rows, row])
            return
        self.rows[place] = row
        self.dataChanged.emit(self.index(place, 0), self.index(place, 2))

    def set_icon(self, name: str, icon: QIcon) -> None:
        """Show a picture of an image."""
        place = self._places.get(name)
        if place is not None:
            self._icons[name] = icon
            self.dataChanged.emit(self.index(place, 0), self.index(place, 0))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(_HEADS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row, column = self.rows[index.row()], index.column()
        roles = Qt.ItemDataRole
        if role == roles.DisplayRole:
            count = "" if row.objects is None else str(row.objects)
            return (row.name, row.state.value, count)[column]
        if role == roles.DecorationRole and column == 0:
            return self._icons.get(row.name, self._blank)
        if role == roles.ForegroundRole and column == 1:
            return QBrush(QColor(_COLOURS[row.state]))
        if role == roles.TextAlignmentRole and column == 2:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == roles.ToolTipRole:
            return tooltip(row.error or str(row.path))
        return None

    def headerData(
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return _HEADS[section]
            if role == Qt.ItemDataRole.ToolTipRole:
                return _TIPS[section]
        return None
