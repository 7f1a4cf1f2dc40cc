"""A part of a panel that is folded away until somebody wants it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_seg.gui.panels.fields import SPACING_PX


class Fold(QWidget):
    """A header with an arrow, and what it unfolds.

    superqt's QCollapsible is not used here: napari paints its pressed header in
    the colour of the selected layer, the loudest in the window.

    Parameters
    ----------
    title : str
        Text of the header.
    content : QWidget
        What is folded away at first.
    """

    def __init__(
        self, title: str, content: QWidget, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._content = content
        self.header = QToolButton()
        self.header.setText(title)
        self.header.setAutoRaise(True)
        self.header.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.header.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed
        )
        self.header.clicked.connect(lambda: self.set_open(self._content.isHidden()))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(self.header)
        column.addWidget(content)
        self.set_open(False)

    def set_open(self, is_open: bool) -> None:
        """Unfold, or fold away."""
        self._content.setVisible(is_open)
        arrow = Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow
        self.header.setArrowType(arrow)
