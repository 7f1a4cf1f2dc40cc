"""A small picture in the panel, as wide as there is room, that can be clicked."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QImage, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.fields import note_label
from napari_seg.gui.training.picture import BOTH, PREDICTION, TRUTH, Drawn

_MOST_PX = 300


class PictureView(QWidget):
    """The network's view of one validation image, with a legend below."""

    clicked = Signal()
    """The user wants to see it larger."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.canvas = _Canvas()
        self.canvas.clicked.connect(self.clicked)
        self.caption = note_label()
        self.legend = note_label(_legend())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for widget in (self.canvas, self.legend, self.caption):
            column.addWidget(widget)
        self.canvas.setToolTip(tooltip("Click to open it as layers."))
        self.set_drawn(None)

    def set_drawn(self, drawn: Drawn | None) -> None:
        """Show a picture; None hides the view."""
        self.canvas.set_rgb(None if drawn is None else drawn.rgb)
        if drawn is not None:
            self.caption.setText(f"{drawn.source.name}, at step {drawn.step:,}")
            self.caption.setVisible(True)
        self.setVisible(drawn is not None)


class _Canvas(QWidget):
    clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image = QImage()
        self._pixels: np.ndarray | None = None
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def set_rgb(self, rgb: np.ndarray | None) -> None:
        """Show an array of shape (Y, X, 3), uint8."""
        # QImage does not copy: the array must live as long.
        self._pixels = rgb
        self._image = QImage()
        if rgb is not None:
            rows, columns, _ = rgb.shape
            layout = QImage.Format.Format_RGB888
            self._image = QImage(rgb.data, columns, rows, 3 * columns, layout)
        self._fit()
        self.update()

    def sizeHint(self) -> QSize:
        """Take the width there is."""
        return QSize(200, self.minimumHeight())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the picture's proportions."""
        self._fit()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Tell of a click."""
        self.clicked.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the picture in the middle."""
        if self._image.isNull():
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        size = self._image.size()
        size.scale(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        left = (self.width() - size.width()) / 2
        painter.drawImage(QRectF(left, 0, size.width(), size.height()), self._image)
        painter.end()

    def _fit(self) -> None:
        if self._image.isNull():
            return
        ratio = self._image.height() / self._image.width()
        height = min(_MOST_PX, round(max(self.width(), 1) * ratio))
        if height != self.height():
            self.setFixedHeight(height)


def _legend() -> str:
    words = ((TRUTH, "truth"), (PREDICTION, "prediction"), (BOTH, "both"))
    parts = [
        f'<span style="color:#{r:02x}{g:02x}{b:02x}">\N{BLACK SQUARE}</span> {word}'
        for (r, g, b), word in words
    ]
    return " &nbsp; ".join(parts)
