"""The mouse of a viewer, taken for a tool and given back."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels
from napari.settings import get_settings
from napari.utils.interactions import mouse_press_callbacks

_PAN_ACTION = "napari:hold_for_pan_zoom"
_ZOOM_CALLBACK = "double_click_to_zoom"


class MouseHold:
    """Sends presses to a tool, and keeps napari from acting on them as well.

    Only while a tool is on: then the cursor is the tool's, a double click is two
    clicks instead of a zoom, and holding Space leaves the mouse to the camera.

    Parameters
    ----------
    viewer : ViewerModel
        Whose mouse.
    layer : Labels
        Its cursor is set.
    on_drag : generator function
        As in `viewer.mouse_drag_callbacks`.
    is_free : callable
        Whether the active layer leaves the mouse to the tool.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        layer: Labels,
        on_drag: Callable[[ViewerModel, Any], Generator[None, None, None]],
        is_free: Callable[[], bool],
    ) -> None:
        self._viewer = viewer
        self._layer = layer
        self._on_drag = on_drag
        self._is_free = is_free
        self._cursor = ""
        self._is_panning = False
        self._zoom: Callable[..., None] | None = None
        self._pan_key = ""
        self._pan_before: Any = None

    def take(self, cursor: str) -> None:
        """Send presses to the tool from now on, under this cursor."""
        if not self._cursor:
            self._install()
        self._cursor = cursor
        self._show_cursor()

    def release(self, *, keep_cursor: bool = False) -> None:
        """Give the mouse back to napari."""
        if not self._cursor:
            return
        self._cursor = ""
        viewer = self._viewer
        viewer.mouse_drag_callbacks.remove(self._press)
        viewer.mouse_double_click_callbacks.remove(self._second_press)
        if self._zoom is not None:
            viewer.mouse_double_click_callbacks.append(self._zoom)
        viewer.layers.selection.events.active.disconnect(self._show_cursor)
        if self._pan_key:
            viewer.bind_key(self._pan_key, self._pan_before, overwrite=True)
        if not keep_cursor:
            self._layer.cursor = "standard"

    def _install(self) -> None:
        viewer = self._viewer
        viewer.mouse_drag_callbacks.append(self._press)
        callbacks = viewer.mouse_double_click_callbacks
        names = [getattr(callback, "__name__", "") for callback in callbacks]
        self._zoom = (
            callbacks.pop(names.index(_ZOOM_CALLBACK))
            if _ZOOM_CALLBACK in names
            else None
        )
        callbacks.append(self._second_press)
        # After napari's own, which shows the cursor of the layer.
        viewer.layers.selection.events.active.connect(
            self._show_cursor, position="last"
        )
        keys = get_settings().shortcuts.shortcuts.get(_PAN_ACTION, [])
        self._pan_key = str(keys[0]) if keys else ""
        if self._pan_key:
            self._pan_before = viewer.bind_key(
                self._pan_key, self._pan_while_held(), overwrite=True
            )

    def _pan_while_held(self) -> Callable[[ViewerModel], Generator[None, None, None]]:
        """Return what the key for panning does instead of napari's own."""

        def hold(viewer: ViewerModel) -> Generator[None, None, None]:
            self._is_panning = True
            self._layer.cursor = "standard"
            active = viewer.layers.selection.active
            mode = None if self._is_free() else active.mode
            if mode is not None:
                active.mode = "pan_zoom"
            yield
            if mode is not None:
                active.mode = mode
            self._is_panning = False
            self._show_cursor()

        return hold

    def _press(self, viewer: ViewerModel, event: Any) -> Generator[None, None, None]:
        if not self._is_panning:
            yield from self._on_drag(viewer, event)

    def _second_press(self, viewer: ViewerModel, event: Any) -> None:
        """Let the second press of a double click be a press, as it is for a brush.

        Qt sends it as a double click instead, so every other one of quick clicks
        would be lost.
        """
        if self._cursor and event.button == 1:
            event.handled = True
            mouse_press_callbacks(viewer, event)

    def _show_cursor(self, event: Any = None) -> None:
        if not self._cursor or self._is_panning:
            return
        self._layer.cursor = self._cursor
        if self._is_free():
            self._viewer.cursor.style = self._cursor
            self._viewer.cursor.size = self._layer.cursor_size
