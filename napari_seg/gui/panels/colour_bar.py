"""A legend: colours, and the values they stand for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

_BAR_PX = 12
_TICKS = 4


class ColourBar(QWidget):
    """A bar of a colour map with the values at even places below it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: QImage | None = None
        self.values: list[str] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_colours(
        self, colours: NDArray[np.floating], low: float, high: float
    ) -> None:
        """Show other colours or values.

        Parameters
        ----------
        colours : ndarray of float, shape (N, 4)
            Red, green, blue and opacity in 0..1, of evenly spaced values.
        low, high : float
            Values of the first and the last colour.
        """
        bytes_ = np.ascontiguousarray(np.round(np.asarray(colours) * 255), np.uint8)
        width = len(bytes_)
        image = QImage(bytes_.data, width, 1, 4 * width, QImage.Format.Format_RGBA8888)
        self._image = image.copy()  # the array goes
        digits = 1 if high - low < 10 * _TICKS else 0
        steps = np.linspace(low, high, _TICKS)
        self.values = [f"{value:.{digits}f}" for value in steps]
        self.update()

    def sizeHint(self) -> QSize:
        """Return a size that leaves room for the values."""
        return QSize(120, _BAR_PX + self.fontMetrics().height() + 4)

    def minimumSizeHint(self) -> QSize:
        """Return the same: the bar is never cut."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bar, and the values under it."""
        if self._image is None:
            return
        painter = QPainter(self)
        bar = QRect(0, 0, self.width(), _BAR_PX)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(bar, self._image)
        painter.setPen(self.palette().mid().color())
        painter.drawRect(bar.adjusted(0, 0, -1, -1))
        painter.setPen(self.palette().windowText().color())
        metrics = self.fontMetrics()
        last = len(self.values) - 1
        for place, text in enumerate(self.values):
            width = metrics.horizontalAdvance(text)
            left = round(place / last * self.width() - place / last * width)
            row = QRect(left, _BAR_PX + 3, width + 1, metrics.height())
            painter.drawText(row, Qt.AlignmentFlag.AlignLeft, text)
        painter.end()
