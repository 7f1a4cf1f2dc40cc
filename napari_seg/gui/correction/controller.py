"""The one place that knows panel, layers, tools and jobs of the Correct panel.

No Qt: the panel is anything with its signals and setters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal

from napari_seg.errors import NapariSegError
from napari_seg.gui.correction.choice import LabelsChoice
from napari_seg.gui.correction.commands import Commands
from napari_seg.gui.correction.desk import Desk
from napari_seg.gui.correction.elsewhere import Elsewhere
from napari_seg.gui.correction.full import FullResolution
from napari_seg.gui.correction.gesture import Gesture, StrokeInput
from napari_seg.gui.correction.hands import Hand, make_hands, pick
from napari_seg.gui.correction.ink import Ink, prepare_soon
from napari_seg.gui.correction.showing import show_desk, show_mode, show_pending
from napari_seg.gui.correction.stroking import ObjectHand
from napari_seg.gui.correction.target import make_target
from napari_seg.gui.correction.tools import Tool
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.jobs import Jobs
from napari_seg.offload import Offload
from napari_seg.state import CorrectSettings, Remembered, from_stored

_REMEMBERED = "correct"


class CorrectController:
    """Wires a Correct panel to a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer; nothing is shared with other viewers.
    panel : CorrectPanel
        Or anything with its signals and setters.
    jobs : Jobs
        Background work of this panel alone: strokes must not wait for a network.
    offload : Offload
        The process that large cuts run in.
    remembered : Remembered
        Settings of the last session.
    report : callable, optional
        Takes an exception that is a fault of the program, not of the input.
    """

    desk_changed = Signal()
    """Other labels are corrected now, the same on another image, or none."""
    cutting = Signal(bool)
    """Whether strokes wait for their cut; emitted when that changes."""

    def __init__(
        self,
        viewer: ViewerModel,
        panel: Any,
        jobs: Jobs,
        offload: Offload,
        remembered: Remembered,
        report: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.desk: Desk | None = None
        self.tool: Tool | None = None
        self.settings = from_stored(CorrectSettings, remembered.part(_REMEMBERED))
        self.viewer = viewer
        self.elsewhere = Elsewhere(offload)
        self._panel = panel
        self._jobs = jobs
        self._offload = offload
        self._remembered = remembered
        self._report = report or notify
        self._ink: Ink | None = None
        self._input: StrokeInput | None = None
        self._hands: dict[Tool, Hand] = {}
        self.choice = LabelsChoice(viewer)
        """Which labels are corrected."""
        self._full = FullResolution(viewer, jobs, self.fail)
        self._commands = Commands(self)
        self._is_closed = False
        self._connect()
        self._panel.set_brush(self.settings.brush_px)
        self._panel.set_overwrite(self.settings.overwrite)
        self.look_again()

    @property
    def hand(self) -> Hand | None:
        """The tool in use."""
        return None if self.tool is None else self._hands.get(self.tool)

    @property
    def has_pending(self) -> bool:
        """Whether something waits for Enter."""
        return self.hand is not None and self.hand.has_pending

    def close(self) -> None:
        """Put everything down and let go of the viewer."""
        if self._is_closed:
            return
        self._is_closed = True
        self._leave()
        self._full.close()
        self.choice.changed.disconnect(self.look_again)
        self.choice.close()
        self.viewer.dims.events.order.disconnect(self._show_mode)
        self.viewer.dims.events.ndisplay.disconnect(self._show_mode)
        self._remembered.keep_part(_REMEMBERED, asdict(self.settings))
        # First, because the thread may be waiting for it.
        self._offload.close()
        self._jobs.close()

    def set_tool(self, tool: Tool | None) -> None:
        """Take a tool, or put it down; what waits is kept first."""
        if tool is not None and self.desk is None:
            tool = None
        if self._ink is not None and tool is not self.tool:
            self.commit()
            self.cancel()
            self._ink.clear()
        self.tool = tool
        if self._input is not None:
            self._input.set_tool(tool)
        if tool is not None and tool.is_brush and self._ink is not None:
            self._offload.start()
            prepare_soon(self._ink, self._jobs)
        self._panel.set_tool(tool)
        self._show_pending()

    def new_labels(self) -> None:
        """Begin ground truth from nothing: empty labels for the image."""
        try:
            self.choice.new_labels()
        except NapariSegError as error:
            self.fail(error)

    def commit(self) -> None:
        """Keep what waits for Enter."""
        if self.hand is not None and self.hand.has_pending:
            self.hand.commit()

    def cancel(self) -> None:
        """Drop what waits for Enter, and the rest of a stroke under way."""
        if self._input is not None:
            self._input.drop()
        if self.hand is not None and self.hand.has_pending:
            self.hand.cancel()

    def undo(self, layer: Labels | None = None) -> None:
        """Take back the last stroke that waits, else the last step."""
        if self.hand is not None and self.hand.has_pending:
            self.hand.undo()
        elif self.desk is not None:
            self.desk.session.undo()
            self._show_desk()

    def redo(self, layer: Labels | None = None) -> None:
        """Repeat the step taken back last."""
        if self.desk is not None and not self.has_pending:
            self.desk.session.redo()
            self._show_desk()

    def fail(self, error: BaseException) -> None:
        """Show what went wrong."""
        text, is_fault = explained(error)
        self._panel.set_status(text)
        if is_fault:
            self._report(error)

    def _connect(self) -> None:
        panel = self._panel
        for name in ("commit", "cancel", "undo", "redo"):
            getattr(panel, f"{name}_requested").connect(getattr(self, name))
        for name in ("tool", "sign", "brush", "overwrite", "volume", "labels"):
            getattr(panel, f"{name}_requested").connect(getattr(self, f"_on_{name}"))
        panel.image_requested.connect(self.choice.choose_image)
        panel.new_labels_requested.connect(self.new_labels)
        self._commands.connect(panel)
        self.choice.changed.connect(self.look_again)
        self.viewer.dims.events.order.connect(self._show_mode)
        self.viewer.dims.events.ndisplay.connect(self._show_mode)

    # The layer.

    def look_again(self) -> None:
        """Set up for the chosen layers, if they or what lies beside them changed."""
        choice, panel = self.choice, self._panel
        names = choice.names()
        current = None if choice.layer is None else choice.layer.name
        panel.set_labels_layers(names, current)
        panel.set_images(choice.image_names(), choice.image_name or None)
        if self.desk is not None and choice.is_still(self.desk.target):
            return
        tool = self.tool
        self._leave()
        problem = choice.problem()
        panel.set_problem(problem)
        if not problem:
            self._enter()
            self.set_tool(tool)
        self._show_desk()
        self._show_mode()
        self.desk_changed.emit()

    def _enter(self) -> None:
        assert self.choice.layer is not None
        layer = self.choice.layer
        try:
            target = make_target(layer, self.choice.images())
            self.desk = desk = Desk(self.viewer, target, self._jobs, self.fail)
        except NapariSegError as error:
            self._panel.set_problem(str(error))
            return
        desk.is_volume = self.settings.is_volume
        desk.session.overwrite = self.settings.overwrite
        desk.changed.connect(self._show_desk)
        desk.told.connect(self._panel.set_status)
        desk.busy.connect(self._panel.set_busy)
        self._ink = Ink(self.viewer, layer)
        change, busy = self._show_pending, self.cutting.emit
        self._hands = make_hands(
            desk, self._ink, self._jobs, self.elsewhere, change, busy
        )
        self._input = StrokeInput(
            self.viewer,
            layer,
            on_update=self._on_gesture,
            on_release=self._on_gesture,
            on_message=self._panel.set_status,
            on_lost=partial(self.set_tool, None),
            on_brush=self._take_brush,
        )
        self._input.set_radius(self.settings.brush_px)
        # The keys are napari's; on this layer strokes that wait come first.
        layer.bind_key("Control-Z", self.undo, overwrite=True)
        layer.bind_key("Control-Shift-Z", self.redo, overwrite=True)
        layer.events.selected_label.connect(self._on_selected_label)
        layer.events.paint.connect(self._show_pending)

    def _leave(self) -> None:
        """Put the tool down and let go of the layer."""
        self.cancel()
        if self._input is not None:
            self._input.close()
        if self._ink is not None:
            self._ink.close()
        if self.desk is not None:
            self.desk.close()
            layer = self.desk.target.layer
            layer.bind_key("Control-Z", None)
            layer.bind_key("Control-Shift-Z", None)
            layer.events.selected_label.disconnect(self._on_selected_label)
            layer.events.paint.disconnect(self._show_pending)
        self.desk = self._ink = self._input = None
        self._hands = {}
        self.tool = None

    # What the user wants.

    def _on_tool(self, tool: Tool) -> None:
        self.set_tool(None if tool is self.tool else tool)

    def _on_gesture(self, gesture: Gesture) -> None:
        if self.desk is None or self.hand is None:
            return
        if "Control" in gesture.modifiers:
            if gesture.is_final and not self.has_pending:
                pick(self.desk, gesture)
            return
        try:
            self.hand.draw(gesture)
        except NapariSegError as error:
            self.hand.cancel()
            self.fail(error)

    def _on_labels(self, name: str) -> None:
        layer = self.choice.to_open(name)
        if layer is not None:
            name = self._full.open_or_tell(layer)
            self.look_again()  # the list shows what is chosen
        if name in self.viewer.layers:
            self.viewer.layers.selection.active = self.viewer.layers[name]
        self.choice.choose_labels(name)

    def _on_sign(self, positive: bool) -> None:
        hand = self._hands.get(Tool.OBJECT)
        if isinstance(hand, ObjectHand):
            hand.positive = positive
        self._panel.set_sign(positive)

    def _on_brush(self, radius_px: float) -> None:
        self.settings = replace(self.settings, brush_px=radius_px)
        if self._input is not None:
            self._input.set_radius(radius_px)

    def _take_brush(self, radius_px: float) -> None:
        """Follow napari's own brush size: it is the same brush."""
        self.settings = replace(self.settings, brush_px=radius_px)
        self._panel.set_brush(radius_px)

    def _on_overwrite(self, overwrite: bool) -> None:
        self.settings = replace(self.settings, overwrite=overwrite)
        if self.desk is not None:
            self.desk.session.overwrite = overwrite

    def _on_volume(self, is_volume: bool) -> None:
        self.settings = replace(self.settings, is_volume=is_volume)
        self.commit()
        if self.desk is not None:
            self.desk.is_volume = is_volume
        self._show_mode()

    def _on_selected_label(self) -> None:
        if self.desk is not None and not self.has_pending:
            self.desk.follow_selected()

    # What the panel shows.

    def _show_desk(self) -> None:
        show_desk(self._panel, self.desk)
        self._show_pending()

    def _show_pending(self) -> None:
        show_pending(self._panel, self.desk, self.has_pending)

    def _show_mode(self) -> None:
        show_mode(self._panel, self.desk, self.settings.is_volume)
