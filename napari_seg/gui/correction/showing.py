"""What the Correct panel shows of the desk."""

from __future__ import annotations

from typing import Any

from napari_seg.gui.correction.desk import Desk
from napari_seg.gui.correction.history import can_redo, can_undo


def show_desk(panel: Any, desk: Desk | None) -> None:
    """Show which object is in hand."""
    if desk is None or not desk.object_id:
        panel.set_object(None, False, True)
        return
    colour = desk.target.layer.get_color(desk.object_id)
    panel.set_object(desk.object_id, desk.is_locked, desk.is_new, colour)


def show_pending(panel: Any, desk: Desk | None, has_pending: bool) -> None:
    """Offer to keep, to discard, to undo and to redo what there is."""
    panel.set_pending(has_pending)
    if desk is None:
        panel.set_history(False, False)
        return
    layer = desk.target.layer
    panel.set_history(has_pending or can_undo(layer), can_redo(layer))


def show_mode(panel: Any, desk: Desk | None, is_volume: bool) -> None:
    """Offer what the axes of the labels allow."""
    axis = None if desk is None else desk.target.depth_axis
    if desk is None or axis is None:
        panel.set_mode(is_volume, False, "")
        return
    target = desk.target
    panel.set_mode(is_volume, "Z" in target.axes, target.axes[axis].lower())
    last = target.labels.shape[axis] - 1
    panel.set_range(0, last, last)
