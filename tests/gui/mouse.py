"""A mouse and a keyboard for a real viewer: Qt events, aimed at pixels of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

_MODIFIERS = {
    "Shift": Qt.KeyboardModifier.ShiftModifier,
    "Control": Qt.KeyboardModifier.ControlModifier,
    "Alt": Qt.KeyboardModifier.AltModifier,
}
_BUTTONS = {
    "left": Qt.MouseButton.LeftButton,
    "right": Qt.MouseButton.RightButton,
    "middle": Qt.MouseButton.MiddleButton,
}
_MOVE_MS = 12
"""vispy drops moves that come within 10 ms of the last one."""


class Mouse:
    """Moves over the canvas of a shown viewer, in pixels of one layer.

    Parameters
    ----------
    viewer : napari.Viewer
        Made with ``show=True``: an unseen canvas has no events.
    layer : Layer
        Positions are in its pixels, one number for each of its axes.
    """

    def __init__(self, viewer: Any, layer: Layer) -> None:
        self.viewer = viewer
        self.layer = layer
        self._canvas = viewer.window._qt_viewer.canvas
        self._button = "left"
        self._modifiers = Qt.KeyboardModifier.NoModifier

    def at(self, position: Sequence[float]) -> QPoint:
        """Return where on the canvas a pixel of the layer is."""
        world = np.asarray(self.layer.data_to_world(position), float)
        dims = self.viewer.dims
        missing = dims.ndim - self.layer.ndim
        shown = world[[axis - missing for axis in dims.displayed]]
        view = self._canvas.view
        transform = view.transform * view.scene.transform
        mapped = transform.map(list(shown[::-1]))
        if len(mapped) == 4:
            mapped = mapped / mapped[3]
        return QPoint(*(round(float(value)) for value in mapped[:2]))

    def press(
        self,
        position: Sequence[float],
        modifiers: Sequence[str] = (),
        button: str = "left",
    ) -> None:
        self._button = button
        self._modifiers = Qt.KeyboardModifier.NoModifier
        for name in modifiers:
            self._modifiers |= _MODIFIERS[name]
        native = self._canvas.native
        point = self.at(position)
        QTest.mousePress(native, _BUTTONS[button], self._modifiers, point)

    def move(self, position: Sequence[float], steps: int = 1) -> None:
        """Go there with the button down, from where `move` or `press` left off."""
        for _ in range(steps):
            QTest.qWait(_MOVE_MS)
            self._send_move(self.at(position))

    def release(self, position: Sequence[float]) -> None:
        QTest.qWait(_MOVE_MS)
        native = self._canvas.native
        point = self.at(position)
        QTest.mouseRelease(native, _BUTTONS[self._button], self._modifiers, point)

    def click(
        self,
        position: Sequence[float],
        modifiers: Sequence[str] = (),
        button: str = "left",
    ) -> None:
        self.press(position, modifiers, button)
        self.release(position)

    def double_click(self, position: Sequence[float]) -> None:
        """Click twice so quickly that Qt calls the second press a double click."""
        native, point = self._canvas.native, self.at(position)
        self.click(position)
        QTest.mouseDClick(native, _BUTTONS["left"], self._modifiers, point)

    def drag(
        self,
        positions: Sequence[Sequence[float]],
        modifiers: Sequence[str] = (),
        button: str = "left",
    ) -> None:
        """Press at the first position, pass the others, release at the last."""
        self.press(positions[0], modifiers, button)
        for position in positions[1:]:
            self.move(position)
        self.release(positions[-1])

    def key(self, name: str, *, is_down: bool | None = None) -> None:
        """Press and release a key on the canvas, or only one of the two."""
        key = getattr(Qt.Key, f"Key_{name}")
        native = self._canvas.native
        if is_down is None:
            QTest.keyClick(native, key)
        elif is_down:
            QTest.keyPress(native, key)
        else:
            QTest.keyRelease(native, key)

    def _send_move(self, point: QPoint) -> None:
        # QTest.mouseMove knows no buttons, and Qt sends none without a real press.
        from qtpy.QtCore import QEvent, QPointF
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        native = self._canvas.native
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(point),
            QPointF(native.mapToGlobal(point)),
            Qt.MouseButton.NoButton,
            _BUTTONS[self._button],
            self._modifiers,
        )
        QApplication.sendEvent(native, event)


def press_key(widget: Any, key: str) -> None:
    """Press and release a key in the window of a widget, e.g. ``"Shift+K"``."""
    *modifiers, name = key.split("+")
    held = Qt.KeyboardModifier.NoModifier
    for modifier in modifiers:
        held |= _MODIFIERS[{"Ctrl": "Control"}.get(modifier, modifier)]
    names = {".": "Period", ",": "Comma", "Esc": "Escape", "Enter": "Return"}
    names |= {"PgDown": "PageDown", "PgUp": "PageUp"}
    code = getattr(Qt.Key, f"Key_{names.get(name, name)}")
    QTest.keyClick(widget, code, held)
