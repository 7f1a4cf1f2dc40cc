"""The Correct panel: from labels to correct labels."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QLabel,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_seg.gui import shortcuts
from napari_seg.gui.correction.tools import Tool
from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.choices import combo_box, fill_combo, scrolled
from napari_seg.gui.panels.correct_footer import CorrectFooter
from napari_seg.gui.panels.fields import SPACING_PX, FieldGrid, wrapping_policy
from napari_seg.gui.panels.fold import Fold
from napari_seg.gui.panels.import_box import ImportBox
from napari_seg.gui.panels.keys import KeyButton, TypingGuard
from napari_seg.gui.panels.object_box import ObjectBox
from napari_seg.gui.panels.planes_box import PlanesBox
from napari_seg.gui.panels.recover_strip import RecoverStrip
from napari_seg.gui.panels.review_strip import ReviewStrip
from napari_seg.gui.panels.rows import Group
from napari_seg.gui.panels.tool_box import ToolBox
from napari_seg.gui.panels.track_box import TrackBox
from napari_seg.gui.panels.two_way import TwoWay
from napari_seg.gui.panels.wheel_guard import WheelGuard

_HINT = """<b>Correct labels by clicking</b>
<ol style="margin-left: -22px">
<li>Open an image and labels for it, make them on the
<i>Segment</i> tab, or press <i>New</i> for empty ones.</li>
<li>Take a tool and draw on the labels. The preview follows your strokes.</li>
<li><b>Enter</b> keeps what you see, <b>Esc</b> drops it, <b>Ctrl+Z</b> takes back
any step.</li>
</ol>"""
_DOCS = {
    "labels": "The labels that are corrected. Any labels layer will do.",
    "image": "The image that strokes are compared with, to find where objects end.",
    "brush": "Radius of the brush in pixels. napari's keys [ and ] change it, too.",
    "overwrite": "Otherwise the pixels of other objects stay theirs. Locked objects "
    "always keep theirs.",
}


class CorrectPanel(QWidget):
    """Emits what the user wants and shows what it is told; it knows no layer."""

    tool_requested = Signal(object)
    new_object_requested = Signal()
    commit_requested = Signal()
    cancel_requested = Signal()
    undo_requested = Signal()
    redo_requested = Signal()
    fill_requested = Signal()
    smooth_requested = Signal()
    largest_requested = Signal()
    delete_requested = Signal()
    lock_requested = Signal()
    next_free_id_requested = Signal()
    propagate_requested = Signal(str)
    range_requested = Signal(int, int)
    interpolate_requested = Signal()
    image_requested = Signal(str)
    labels_requested = Signal(str)
    brush_requested = Signal(float)
    sign_requested = Signal(bool)
    overwrite_requested = Signal(bool)
    volume_requested = Signal(bool)
    stop_requested = Signal()
    new_labels_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._make_editors()
        self._lay_out()
        self._connect()
        WheelGuard(self)
        TypingGuard(self)

    # What the user sees, from top to bottom.

    def _make_editors(self) -> None:
        self.hint = QLabel(_HINT)
        self.hint.setWordWrap(True)
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.problem.setSizePolicy(wrapping_policy())
        self.labels = combo_box()
        self.labels.setPlaceholderText("No labels open")
        self.new_labels = KeyButton("New labels", shortcuts.NEW_LABELS)
        self.imports = ImportBox()
        self.image = combo_box()
        self.image.setPlaceholderText("No image open")
        self.tools = ToolBox()
        self.sign = TwoWay("+ Belongs", "\N{MINUS SIGN} Does not", shortcuts.SIGN)
        self.brush = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.brush.setRange(0.5, 50)
        self.brush.setSingleStep(0.5)
        self.brush.setDecimals(1)
        self.mode = TwoWay("Volume", "This plane", shortcuts.VOLUME)
        self.overwrite = QCheckBox("May take pixels of other objects")
        self.object = ObjectBox()
        self.planes = PlanesBox()
        self.review = ReviewStrip()
        self.recovery = RecoverStrip()
        self.track = TrackBox()
        self.footer = CorrectFooter()

    def _lay_out(self) -> None:
        layers = FieldGrid(_DOCS)
        layers.add("labels", "Labels", self.labels)
        layers.add("image", "Image", self.image)
        layers.add("new_labels", "", self.new_labels)
        brush = FieldGrid(_DOCS)
        brush.add("brush", "Brush", self.brush)
        strokes = QWidget()
        rows = QVBoxLayout(strokes)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(SPACING_PX)
        for widget in (self.sign, self.mode, brush, self.overwrite):
            rows.addWidget(widget)
        self.overwrite.setToolTip(tooltip(_DOCS["overwrite"]))
        self.work = QWidget()
        inner = QVBoxLayout(self.work)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(2 * SPACING_PX)
        for widget in (self.review, self.tools, strokes, self.object, self.planes):
            inner.addWidget(widget)
        column = QVBoxLayout(self)
        column.setSpacing(SPACING_PX)
        self.imports.take_drops(self)
        layers = Group("", [layers, self.imports])
        layers.heading.hide()
        self.track_fold = Fold("Link over time", self.track)
        parts = [self.recovery, self.hint, layers, self.problem, self.work]
        parts.append(self.track_fold)
        column.addWidget(scrolled(parts), 1)
        column.addWidget(self.footer)
        self.set_mode(is_volume=False, has_planes=False, axis="")
        self.set_problem("")

    def _connect(self) -> None:
        self.labels.currentTextChanged.connect(self.labels_requested)
        self.image.currentTextChanged.connect(self.image_requested)
        self.new_labels.clicked.connect(lambda _: self.new_labels_requested.emit())
        self.tools.requested.connect(self.tool_requested)
        self.sign.changed.connect(self.sign_requested)
        self.brush.valueChanged.connect(self.brush_requested)
        self.mode.changed.connect(self.volume_requested)
        self.overwrite.toggled.connect(self.overwrite_requested)
        self.planes.requested.connect(self.propagate_requested)
        self.planes.range_requested.connect(self.range_requested)
        self.planes.interpolate_requested.connect(self.interpolate_requested)
        for button, signal in (
            (self.object.new, self.new_object_requested),
            (self.object.free_id, self.next_free_id_requested),
            (self.object.fill, self.fill_requested),
            (self.object.smooth, self.smooth_requested),
            (self.object.largest, self.largest_requested),
            (self.object.lock, self.lock_requested),
            (self.object.delete, self.delete_requested),
        ):
            # A lambda, for `clicked` would hand on whether the button is checked.
            button.clicked.connect(lambda _=False, signal=signal: signal.emit())
        for name in ("commit", "cancel", "stop", "undo", "redo"):
            source = getattr(self.footer, f"{name}_requested")
            source.connect(getattr(self, f"{name}_requested"))

    # What the controller tells it. No setter emits a request.

    def set_labels_layers(self, names: Sequence[str], current: str | None) -> None:
        """List the labels layers."""
        fill_combo(self.labels, [(name, name) for name in names], current)
        self.labels.setEnabled(bool(names))

    def set_images(self, names: Sequence[str], current: str | None) -> None:
        """List the images that fit the labels."""
        fill_combo(self.image, [(name, name) for name in names], current)
        self.image.setEnabled(bool(names))

    def set_tool(self, tool: Tool | None) -> None:
        """Show which tool is on, and what it does."""
        self.tools.set_tool(tool)

    def set_object(
        self,
        object_id: int | None,
        is_locked: bool,
        is_new: bool,
        colour: Sequence[float] | None = None,
    ) -> None:
        """Show which object is in hand.

        Parameters
        ----------
        object_id : int, optional
            None if the next stroke chooses one.
        is_locked : bool
            No tool changes it.
        is_new : bool
            It has no pixels yet.
        colour : sequence of float, optional
            Red, green and blue, 0..1.
        """
        self.object.set_object(object_id, is_locked, is_new, colour)

    def set_sign(self, positive: bool) -> None:
        """Show what strokes mean."""
        self.sign.set_value(positive)

    def set_brush(self, radius_px: float) -> None:
        """Show the size of the brush; the slider reaches further if it must."""
        with QSignalBlocker(self.brush):
            if radius_px > self.brush.maximum():
                self.brush.setMaximum(radius_px)
            self.brush.setValue(radius_px)

    def set_overwrite(self, overwrite: bool) -> None:
        """Show whether other objects may lose pixels."""
        with QSignalBlocker(self.overwrite):
            self.overwrite.setChecked(overwrite)

    def set_mode(self, is_volume: bool, has_planes: bool, axis: str) -> None:
        """Show where strokes act, and offer what the axes allow.

        Parameters
        ----------
        is_volume : bool
            The whole volume, not only the plane.
        has_planes : bool
            There is such a choice.
        axis : str
            Objects can be carried along it: ``"z"``, ``"t"``, or none.
        """
        self.mode.set_value(is_volume)
        self.mode.setVisible(has_planes)
        self.planes.set_axis(axis)

    def set_range(self, first: int, last: int, limit: int) -> None:
        """Show a range of planes or frames; they go from 0 to `limit`."""
        self.planes.set_range(first, last, limit)

    def set_pending(self, is_pending: bool) -> None:
        """Offer to keep or discard what the strokes propose."""
        self.footer.set_pending(is_pending)

    def set_history(self, can_undo: bool, can_redo: bool) -> None:
        """Offer Undo and Redo."""
        self.footer.set_history(can_undo, can_redo)

    def set_problem(self, text: str) -> None:
        """Say what keeps the labels from being corrected; empty if nothing does."""
        has_labels = self.labels.count() > 0
        self.hint.setVisible(not has_labels)
        self.problem.setText(f"⚠ {text}")
        self.problem.setVisible(bool(text) and has_labels)
        # Disabled with all its keys, which are napari's then.
        self.work.setEnabled(not text)

    def set_status(self, text: str) -> None:
        """Say something in one or two lines."""
        self.footer.set_status(text)

    def set_busy(self, fraction: float | None, text: str) -> None:
        """Show how far a long step is, 0..1, negative if unknown; None: it is over."""
        self.footer.set_busy(fraction, text)
