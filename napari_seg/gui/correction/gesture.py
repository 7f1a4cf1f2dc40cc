"""What the mouse does, as pixels of a labels layer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray

from napari_seg.gui.correction.hold import MouseHold
from napari_seg.gui.correction.pace import Pace
from napari_seg.gui.correction.ray import first_object_on_ray
from napari_seg.gui.correction.tools import Tool
from napari_seg.gui.correction.trace import Trace
from napari_seg.gui.view import displayed_axes
from napari_seg.imaging.deltas import Box

_CLICK_PX = 4
"""On the canvas; a mouse that moves less between press and release has clicked."""


@dataclass(frozen=True)
class Gesture:
    """One press of a mouse button, until now or until it was released.

    Parameters
    ----------
    points : ndarray of int, shape (N, ndim)
        Pixels of the labels it covers, brush applied, each once, clipped to the
        layer. Of a rectangle, its border: the whole is in `box`.
    path : ndarray of float, shape (M, ndim)
        Positions of the mouse in pixels of the labels, unclipped, first one first.
        Of a rectangle, its two corners.
    shape : tuple of int
        Of the labels.
    button : int
        1 is the left one.
    modifiers : frozenset of str
        Keys held at the press: ``"Shift"``, ``"Control"`` (Command on a Mac).
    is_final : bool
        Whether the button was released.
    is_click : bool
        Whether the mouse hardly moved.
    """

    points: NDArray[np.intp]
    path: NDArray[np.float64]
    shape: tuple[int, ...]
    button: int = 1
    modifiers: frozenset[str] = frozenset()
    is_final: bool = False
    is_click: bool = False

    @property
    def start(self) -> tuple[int, ...]:
        """The pixel under the press, clipped to the labels."""
        last = np.array(self.shape) - 1
        pixel = np.clip(np.rint(self.path[0]), 0, last)
        return tuple(int(i) for i in pixel)

    @cached_property
    def box(self) -> Box:
        """Bounding box of the points, half-open."""
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        return tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))


class StrokeInput:
    """Turns the left mouse button into gestures while a tool is on.

    The other buttons, the wheel, Space (pan) and Alt (zoom box) stay napari's. The
    brush is the layer's own `brush_size`, so napari's keys for it work, and its round
    cursor shows it.

    Parameters
    ----------
    viewer : ViewerModel
        Where the mouse is.
    layer : Labels
        Whose pixels are meant.
    on_update : callable
        Takes the `Gesture` so far; at most every 16 ms.
    on_release : callable
        Takes the final `Gesture`.
    on_message : callable, optional
        Takes a sentence on why nothing happened.
    on_lost : callable, optional
        The user took one of napari's own tools, and this one is off now.
    on_brush : callable, optional
        Takes the radius in pixels after the brush was changed, by whom ever.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        layer: Labels,
        on_update: Callable[[Gesture], None],
        on_release: Callable[[Gesture], None],
        on_message: Callable[[str], None] = lambda _: None,
        on_lost: Callable[[], None] = lambda: None,
        on_brush: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._viewer = viewer
        self._layer = layer
        self._on_update = on_update
        self._on_release = on_release
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_brush = on_brush
        self._tool: Tool | None = None
        self._hold = MouseHold(viewer, layer, self._on_drag, self._is_free)
        self._pace = Pace(self._send)
        self._live: tuple[Trace, frozenset[str]] | None = None
        layer.events.mode.connect(self._on_mode)
        layer.events.brush_size.connect(self._on_brush_size)

    @property
    def tool(self) -> Tool | None:
        """The tool that is on."""
        return self._tool

    @property
    def radius_px(self) -> float:
        """Radius of the brush."""
        return float(self._layer.brush_size) / 2

    def set_radius(self, radius_px: float) -> None:
        """Make the brush as large; the layer keeps it as a whole diameter."""
        self._layer.brush_size = max(1, round(2 * radius_px))

    def set_tool(self, tool: Tool | None) -> None:
        """Take a tool, or put it down; a gesture under way is given up."""
        if tool is self._tool:
            return
        self.drop()
        # First, so that leaving napari's own tool does not look like taking one.
        self._tool = tool
        if tool is None:
            self._hold.release()
            return
        self._layer.mode = "pan_zoom"
        self._viewer.layers.selection.active = self._layer
        self._hold.take("circle" if tool.is_brush else "cross")

    def drop(self) -> None:
        """Give up the gesture under way: the rest of it is not heard of."""
        self._pace.drop()
        self._live = None

    def close(self) -> None:
        """Let go of viewer and layer; a second time does nothing."""
        self.set_tool(None)
        self._layer.events.mode.disconnect(self._on_mode)
        self._layer.events.brush_size.disconnect(self._on_brush_size)

    def _on_mode(self, event: Any = None) -> None:
        if self._tool is not None and self._layer.mode != "pan_zoom":
            self.drop()
            self._tool = None
            self._hold.release(keep_cursor=True)
            self._on_lost()

    def _on_brush_size(self, event: Any = None) -> None:
        self._on_brush(self.radius_px)

    def _is_free(self) -> bool:
        """Whether the active layer leaves the mouse to the tool."""
        active = self._viewer.layers.selection.active
        return active is None or active.mode == "pan_zoom"

    # The mouse.

    def _on_drag(self, viewer: ViewerModel, event: Any) -> Generator[None, None, None]:
        tool = self._tool
        if tool is None or event.button != 1 or "Alt" in event.modifiers:
            return
        if not self._is_free() or self._layer not in viewer.layers:
            return
        modifiers = frozenset(modifier.name for modifier in event.modifiers)
        # With Control every tool picks.
        used = Tool.PICK if "Control" in modifiers else tool
        if not self._layer.visible:
            self._on_message("The labels are hidden: show the layer to correct it.")
        elif viewer.dims.ndisplay == 3:
            yield from self._click_in_3d(used, modifiers, event)
        elif len(displayed_axes(viewer, self._layer)) < 2:
            self._on_message("The labels have no plane in this view.")
        else:
            yield from self._drag_in_2d(used, modifiers, event)

    def _drag_in_2d(
        self, used: Tool, modifiers: frozenset[str], event: Any
    ) -> Generator[None, None, None]:
        trace = self._trace(used)
        pressed = np.asarray(event.pos)
        self._live = trace, modifiers
        trace.add(self._layer.world_to_data(event.position))
        # Otherwise the camera would pan, too.
        event.handled = True
        self._pace.request()
        yield
        while event.type == "mouse_move":
            # Also after it was dropped: the camera must not take over.
            event.handled = True
            if used.is_drag and self._is_live(trace):
                trace.add(self._layer.world_to_data(event.position))
                self._pace.request()
            yield
        event.handled = True
        if not self._is_live(trace):
            return
        self.drop()
        is_click = _is_near(event.pos, pressed)
        if used is Tool.DELETE and is_click:
            start = trace.path[0]
            trace = self._trace(used)
            trace.add(start)
        elif used.is_drag:
            trace.add(self._layer.world_to_data(event.position))
        self._finish(trace, modifiers, is_click)

    def _click_in_3d(
        self, used: Tool, modifiers: frozenset[str], event: Any
    ) -> Generator[None, None, None]:
        pressed = np.asarray(event.pos)
        yield
        # Dragging turns the camera, as without a tool.
        while event.type == "mouse_move":
            yield
        if not _is_near(event.pos, pressed):
            return
        if not used.works_in_3d:
            self._on_message("Strokes need the 2D view: turn it on in the viewer.")
            return
        hit = first_object_on_ray(self._layer, event)
        if hit is None:
            self._on_message("There is no object under the mouse.")
            return
        shape = tuple(self._layer.data.shape)
        path = hit[None].astype(float)
        self._on_release(
            Gesture(hit[None], path, shape, 1, modifiers, is_final=True, is_click=True)
        )

    def _trace(self, used: Tool) -> Trace:
        layer = self._layer
        displayed = displayed_axes(self._viewer, layer)
        sizes = np.abs(np.asarray(layer.scale, float)[list(displayed)])
        return Trace(
            tuple(layer.data.shape),
            displayed,
            sizes / sizes.min(),
            self.radius_px if used.is_brush else 0.0,
            is_rectangle=used is Tool.DELETE,
        )

    def _is_live(self, trace: Trace) -> bool:
        return self._live is not None and self._live[0] is trace

    def _send(self) -> None:
        if self._live is not None:
            trace, modifiers = self._live
            points = trace.points()
            if len(points):
                self._on_update(Gesture(points, trace.path, trace.shape, 1, modifiers))

    def _finish(self, trace: Trace, modifiers: frozenset[str], is_click: bool) -> None:
        points = trace.points()
        if not len(points):
            self._on_message("That was outside the labels.")
            return
        self._on_release(
            Gesture(
                points,
                trace.path,
                trace.shape,
                modifiers=modifiers,
                is_final=True,
                is_click=is_click,
            )
        )


def _is_near(position: Sequence[float], pressed: np.ndarray) -> bool:
    """Whether the mouse is where it was pressed, for a hand that trembles."""
    return bool(np.abs(np.asarray(position) - pressed).max() <= _CLICK_PX)
