"""Loss and score of a training as it goes, painted with what Qt has."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFont, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_seg.gui.training.curve import LossCurve

_HEIGHT_PX = 170
_MARGINS = (38, 20, 30, 18)
"""Left, top, right and bottom, in pixels: room for ticks and legend."""
_LOSS = QColor("#e8853d")
_SCORE = QColor("#3d9be8")
"""Both stand out on a dark and on a light ground, and for the colour-blind."""


class CurvePlot(QWidget):
    """Training loss on a logarithmic axis (left), validation AP from 0 to 1 (right)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._curve = LossCurve()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        # Nothing behind it changes when it is painted.
        self.setAccessibleName("Training loss and validation score")

    def sizeHint(self) -> QSize:
        """Take the width there is."""
        return QSize(240, _HEIGHT_PX)

    def set_curve(self, curve: LossCurve) -> None:
        """Show a curve; call it again when the curve has grown."""
        self._curve = curve
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint axes, curve and legend."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = QFont(self.font())
        font.setPixelSize(10)
        painter.setFont(font)
        left, top, right, bottom = _MARGINS
        area = QRectF(self.rect()).adjusted(left, top, -right, -bottom)
        losses = self._curve.losses
        axis = LossAxis(losses)
        last = max(self._curve.last_step, 1)
        self._paint_frame(painter, area, axis, last)
        self._paint_legend(painter)

        def at(step: float, share: float) -> QPointF:
            return QPointF(
                area.left() + area.width() * step / last,
                area.bottom() - area.height() * min(max(share, 0.0), 1.0),
            )

        painter.setClipRect(area.adjusted(-4, -4, 4, 4))
        steps = self._curve.steps
        faint = QColor(_LOSS)
        faint.setAlpha(90)
        for values, pen in (
            (losses, QPen(faint, 1)),
            (self._curve.smooth(), QPen(_LOSS, 1.8)),
        ):
            pairs = zip(steps, values, strict=True)
            line = [at(step, axis.share(loss)) for step, loss in pairs]
            _paint_line(painter, line, pen)
        dots = [at(step, ap) for step, ap in self._curve.scores]
        _paint_line(painter, dots, QPen(_SCORE, 1.8))
        painter.setBrush(_SCORE)
        for dot in dots:
            painter.drawEllipse(dot, 2.6, 2.6)
        painter.end()

    def _paint_frame(
        self, painter: QPainter, area: QRectF, axis: LossAxis, last: int
    ) -> None:
        text = self.palette().color(self.foregroundRole())
        grid = QColor(text)
        grid.setAlpha(38)
        middle = Qt.AlignmentFlag.AlignVCenter
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = area.bottom() - area.height() * share
            painter.setPen(grid)
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(_SCORE)
            label = QRectF(area.right() + 5, y - 7, 26, 14)
            painter.drawText(label, middle | Qt.AlignmentFlag.AlignLeft, f"{share:g}")
        if self._curve.losses:
            painter.setPen(_LOSS)
            for value in axis.ticks():
                y = area.bottom() - area.height() * axis.share(value)
                label = QRectF(0, y - 7, area.left() - 5, 14)
                right = Qt.AlignmentFlag.AlignRight
                painter.drawText(label, middle | right, f"{value:g}")
        painter.setPen(text)
        for step in step_ticks(last):
            x = area.left() + area.width() * step / last
            label = QRectF(x - 40, area.bottom() + 3, 80, 14)
            painter.drawText(label, Qt.AlignmentFlag.AlignHCenter, f"{step:,}")

    def _paint_legend(self, painter: QPainter) -> None:
        x = float(_MARGINS[0])
        for colour, text in ((_LOSS, "training loss"), (_SCORE, "validation AP 0.5")):
            painter.setPen(QPen(colour, 2))
            painter.drawLine(QPointF(x, 9), QPointF(x + 12, 9))
            painter.setPen(self.palette().color(self.foregroundRole()))
            width = painter.fontMetrics().horizontalAdvance(text)
            box = QRectF(x + 16, 2, width + 4, 14)
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, text)
            x += width + 32


class LossAxis:
    """A logarithmic axis that holds some losses.

    Parameters
    ----------
    losses : sequence of float
        All above 0; may be empty.
    """

    def __init__(self, losses: Sequence[float]) -> None:
        low, high = (min(losses), max(losses)) if losses else (0.1, 1.0)
        # A curve that hardly falls must not look like a cliff.
        middle, half = math.sqrt(low * high), math.log(high / low) / 2
        half = 1.08 * max(half, 0.35)
        self._low = math.log(middle) - half
        self._length = 2 * half

    def share(self, loss: float) -> float:
        """Return where a loss lies between the ends, 0..1."""
        return (math.log(loss) - self._low) / self._length

    def ticks(self) -> list[float]:
        """Return round numbers on the axis, two to five of them."""
        low, high = math.exp(self._low), math.exp(self._low + self._length)
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        powers = [10.0**n for n in range(first, last + 1)]
        found: list[float] = []
        for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
            values = [_tidy(factor * power) for power in powers for factor in factors]
            found = [value for value in values if low <= value <= high]
            if len(found) >= 2:
                break
        return found[:: math.ceil(len(found) / 5)] if found else found


def step_ticks(last: int) -> list[int]:
    """Return round steps from 0 to the last, at most five of them."""
    size = 10 ** max(0, math.floor(math.log10(last)) - 1)
    for factor in (1, 2, 3, 5, 10, 20, 50):
        if last / (size * factor) <= 4:
            return list(range(0, last + 1, size * factor))
    return [0, last]


def _tidy(value: float) -> float:
    return float(f"{value:.3g}")


def _paint_line(painter: QPainter, points: Sequence[QPointF], pen: QPen) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(pen)
    painter.drawPolyline(QPolygonF(points))
