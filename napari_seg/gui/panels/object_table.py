"""The review table: what is most likely wrong comes first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHeaderView,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.choices import combo_box, fill_combo
from napari_seg.gui.panels.fields import SPACING_PX, note_label
from napari_seg.gui.review.colours import COLOURS
from napari_seg.gui.review.rows import RowFilter, RowState, TableRow

_HEIGHT_PX = 180
_ROW_PX = 20
_COLUMNS: tuple[tuple[str, Callable[[TableRow], Any], str], ...] = (
    ("Id", lambda r: r.ranked.object_id, "{}"),
    ("Plane", lambda r: (r.ranked.plane.t, r.ranked.plane.z), ""),
    ("Area", lambda r: r.ranked.area, "{}"),
    ("Score", lambda r: -1.0 if r.score is None else r.score, "{:.2f}"),
    ("Doubt", lambda r: r.ranked.score, "{:.2f}"),
    ("State", lambda r: r.state.value, "{}"),
)
_TIPS = (
    "Number of the object",
    "Its most doubtful plane; frame/plane in a film",
    "Its pixels in that plane",
    "How sure the network was of it, where it says so",
    "How likely it is wrong, by the measure above",
    "verified: locked; changed: edited or gone since it was ranked",
)


class ObjectTable(QWidget):
    """Emits which object the user wants to see."""

    row_requested = Signal(object)
    filter_requested = Signal(object)
    colours_requested = Signal(bool)
    shown = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.filter = combo_box()
        fill_combo(self.filter, [(f.value, f) for f in RowFilter], RowFilter.ALL)
        self.colours = QCheckBox("Colour the labels by state")
        self.colours.setToolTip(
            tooltip(
                "Blue: as the network proposed; orange: changed or new since it was "
                "ranked; green: verified."
            )
        )
        self.colours.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.colours.toggled.connect(self.colours_requested)
        self.model = _Model()
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setFixedHeight(_HEIGHT_PX)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(4, Qt.SortOrder.DescendingOrder)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        # The keys of the tools go on working after a click here.
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(_ROW_PX)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(34)
        self.progress = note_label()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        for widget in (self.filter, self.table, self.colours, self.progress):
            column.addWidget(widget)
        self.table.clicked.connect(self._on_click)
        self.filter.currentIndexChanged.connect(
            lambda _: self.filter_requested.emit(self.filter.currentData())
        )

    def showEvent(self, event: QShowEvent) -> None:
        """Tell that what is shown should be looked at again."""
        super().showEvent(event)
        self.shown.emit()

    def set_rows(self, rows: Sequence[TableRow]) -> None:
        """List objects; the order of the columns stays as the user has it."""
        with QSignalBlocker(self.table.selectionModel()):
            self.model.set_rows(rows)
        self.table.setColumnHidden(0, any(row.is_plane for row in rows))
        self.table.setColumnHidden(1, all(_is_first(row) for row in rows))
        self.table.setColumnHidden(3, all(r.score is None for r in rows))

    def set_progress(self, text: str) -> None:
        """Say how far the review is."""
        self.progress.setText(text)
        self.progress.setVisible(bool(text))

    def _on_click(self, index: QModelIndex) -> None:
        self.row_requested.emit(self.model.rows[index.row()])


def _is_first(row: TableRow) -> bool:
    """Whether it is in the first plane: then nobody need be told."""
    return not (row.ranked.plane.t or row.ranked.plane.z)


class _Model(QAbstractTableModel):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[TableRow] = []
        self._by, self._is_down = 4, True

    def set_rows(self, rows: Sequence[TableRow]) -> None:
        """Take other rows, sorted as before."""
        self.beginResetModel()
        self.rows = list(rows)
        self._arrange()
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(_COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            _, value, text = _COLUMNS[column]
            if column == 1:
                return row.plane_text
            return "" if column == 3 and row.score is None else text.format(value(row))
        is_news = row.state is not RowState.PROPOSED
        if role == Qt.ItemDataRole.ForegroundRole and is_news:
            return QBrush(QColor(COLOURS[row.state]))
        return None

    def headerData(
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return _COLUMNS[section][0]
            if role == Qt.ItemDataRole.ToolTipRole:
                return _TIPS[section]
        return None

    def sort(
        self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder
    ) -> None:
        """Sort by a column; objects alike in it stay in the order of doubt."""
        self.layoutAboutToBeChanged.emit()
        self._by, self._is_down = column, order == Qt.SortOrder.DescendingOrder
        self._arrange()
        self.layoutChanged.emit()

    def _arrange(self) -> None:
        if self._by < 0:
            return
        self.rows.sort(key=lambda row: row.place)
        self.rows.sort(key=_COLUMNS[self._by][1], reverse=self._is_down)
