"""Small pictures of how networks are built, painted with what Qt has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_seg.gui.forms import tooltip

SKETCHES: Mapping[str, str] = {
    "bisenet": "5 4 3 2 1 1a 2 5 | 0-6",
    "cspn": "5 4 3 2 3 4 5 5o | 0-6 1-5 2-4",
    "danet": "5 4 3 2 2d 2a 5",
    "deconvnet": "5 4 3 2 1 0 1 2 3 4 5 | 0-10~ 1-9~ 2-8~ 3-7~ 4-6~",
    "deeplab-v1": "5 4 3 2 2d 2d 5",
    "deeplab-v2": "5 4 3 2 2d 2p 5",
    "deeplab-v3": "5 4 3 2 1 1d 1p 5",
    "deeplab-v3plus": "5 4 3 2 1d 1p 3 5 | 2-6",
    "dilated-context": "5 4 3 2 2d 2d 2d 2d 5",
    "dpt": "5 1t 1t 1t 1t 1 2 3 4 5 | 4-5+ 3-6+ 2-7+ 1-8+",
    "drn": "5 4 3 2 2d 2d 2 2 5",
    "equal-size-fcn": "5 5 5 5 5 5 5",
    "fcn16s": "5 4 3 2 1 0 1 5 | 4-6+",
    "fcn32s": "5 4 3 2 1 0 5",
    "fcn8s": "5 4 3 2 1 0 1 2 5 | 4-6+ 3-7+",
    "hdc": "5 4 3 2 2d 2d 2d 5",
    "maskrcnn": "5 4 3 2 1 2 3 4 4b | 3-5+ 2-6+ 1-7+",
    "patch-classifier": "3w 2 1 0",
    "pspnet": "5 4 3 2 2d 2p 5",
    "segmenter": "5 1t 1t 1t 1a 5",
    "segnet": "5 4 3 2 1 0 1 2 3 4 5 | 0-10~ 1-9~ 2-8~ 3-7~ 4-6~",
    "unet": "5 4 3 2 1 2 3 4 5 | 0-8 1-7 2-6 3-5",
}
"""Maps from input to output, and what goes from one to another.

A digit is a resolution: 5 is that of the image, each below it half of the one above.
The letter says what makes the map, a key of `KINDS`. After the bar, pairs of maps:
joined (no sign), added (+), or remembering where the largest values were (~).
"""


class _Kind(NamedTuple):
    colour: str
    words: str


KINDS: Mapping[str, _Kind] = {
    "": _Kind("#5b8fd1", "convolutions"),
    "d": _Kind("#e0913d", "dilated convolutions"),
    "p": _Kind("#57a96b", "several surroundings side by side"),
    "a": _Kind("#b07cc6", "attention"),
    "t": _Kind("#3fa9a0", "layers of a transformer"),
    "b": _Kind("#d0666f", "boxes and their masks"),
    "o": _Kind("#c9b03c", "propagation to neighbours"),
    "w": _Kind("#5b8fd1", "a window around each pixel"),
}
"""What stands out on a dark and on a light ground."""
_LINKS: Mapping[str, str] = {
    "": "arcs: joined to",
    "+": "arcs: added to",
    "~": "dotted arcs: where the largest values were",
}
_HEIGHT_PX = 58
_MOST_PX = 240
_TOKEN = re.compile(r"([0-5])([a-z]?)")
_LINK = re.compile(r"(\d+)-(\d+)([+~]?)")


class Sketch(NamedTuple):
    """A picture in numbers."""

    maps: list[tuple[int, str]]
    """Resolution and kind."""
    links: list[tuple[int, int, str]]
    """From, to, and how."""


def read_sketch(name: str) -> Sketch:
    """Return the sketch of an architecture; without one, of a plain encoder."""
    maps, _, links = SKETCHES.get(name, "5 4 3 2 5").partition("|")
    return Sketch(
        [(int(level), kind) for level, kind in _TOKEN.findall(maps)],
        [(int(a), int(b), how) for a, b, how in _LINK.findall(links)],
    )


def words_of(name: str) -> str:
    """Return what the picture of an architecture shows, for a tooltip."""
    sketch = read_sketch(name)
    kinds = dict.fromkeys(kind for _, kind in sketch.maps)
    parts = [KINDS[kind].words for kind in kinds]
    links = dict.fromkeys(how for _, _, how in sketch.links)
    text = f"From image (left) to answer, the taller the finer: {', '.join(parts)}"
    return "; ".join([text, *(_LINKS[how] for how in links)]) + "."


def paint_sketch(painter: QPainter, area: QRectF, name: str, ink: QColor) -> None:
    """Paint the picture of an architecture into a rectangle."""
    sketch = read_sketch(name)
    count = len(sketch.maps)
    pitch = area.width() / count
    width = min(0.52 * pitch, 14.0)
    room = area.height() * (0.62 if sketch.links else 0.9)
    bars = []
    for number, (level, _) in enumerate(sketch.maps):
        height = room * (0.16 + 0.168 * level)
        left = area.left() + pitch * (number + 0.5) - width / 2
        bars.append(QRectF(left, area.bottom() - height, width, height))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    _paint_links(painter, area, bars, sketch, ink)
    for bar, (_, kind) in zip(bars, sketch.maps, strict=True):
        _paint_bar(painter, bar, kind)


def _paint_links(
    painter: QPainter,
    area: QRectF,
    bars: list[QRectF],
    sketch: Sketch,
    ink: QColor,
) -> None:
    faint = QColor(ink)
    faint.setAlpha(120)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    longest = max((b - a for a, b, _ in sketch.links), default=1)
    for start, end, how in sketch.links:
        pen = QPen(faint, 1.2)
        if how == "~":
            pen.setStyle(Qt.PenStyle.DotLine)
        painter.setPen(pen)
        first, last = bars[start], bars[end]
        # Long ones above short ones, all below the upper edge.
        top = area.top() + 2 + (1 - (end - start) / longest) * area.height() * 0.26
        path = QPainterPath(QPointF(first.center().x(), first.top() - 1))
        path.cubicTo(
            QPointF(first.center().x(), top - 4),
            QPointF(last.center().x(), top - 4),
            QPointF(last.center().x(), last.top() - 2),
        )
        painter.drawPath(path)
        tip = QPointF(last.center().x(), last.top() - 1)
        painter.drawLine(tip, tip + QPointF(-2.5, -4))
        painter.drawLine(tip, tip + QPointF(2.5, -4))


def _paint_bar(painter: QPainter, bar: QRectF, kind: str) -> None:
    colour = QColor(KINDS[kind].colour)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    if kind in ("d", "t"):  # gaps between what is looked at, or tokens
        count = max(2, int(bar.height() // 7))
        step = bar.height() / count
        for number in range(count):
            top = bar.top() + number * step
            painter.drawRect(QRectF(bar.left(), top, bar.width(), 0.62 * step))
    elif kind == "p":  # ever larger surroundings
        for number in range(4):
            side = bar.width() * (1.3 - 0.28 * number)
            top = bar.bottom() - 8.2 * (number + 1)
            left = bar.center().x() - side / 2
            painter.drawRect(QRectF(left, top, side, 5.5))
    elif kind in ("b", "w"):  # boxes, or a window
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colour, 1.6))
        painter.drawRect(bar)
        if kind == "b":
            painter.drawRect(QRectF(bar.left() - 3, bar.bottom() - 16, bar.width(), 12))
    else:
        painter.drawRect(bar)


class SketchView(QWidget):
    """The picture of one architecture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Structure of the network")

    @property
    def name(self) -> str:
        """Architecture that is shown."""
        return self._name

    def sizeHint(self) -> QSize:
        """Take the width there is."""
        return QSize(120, _HEIGHT_PX)

    def set_name(self, name: str) -> None:
        """Show another architecture."""
        self._name = name
        self.setToolTip(tooltip(words_of(name)))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the maps and what goes between them."""
        painter = QPainter(self)
        width = min(self.width(), _MOST_PX)
        ink = self.palette().color(self.foregroundRole())
        paint_sketch(painter, QRectF(0, 2, width, self.height() - 4), self._name, ink)
        painter.end()
