"""The Segment panel: from an image to labels."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider, QLabeledSlider

from napari_seg.gui.forms import ParamsForm, field_docs
from napari_seg.gui.panels.axes_strip import AxesStrip
from napari_seg.gui.panels.choices import combo_box, fill_combo, scrolled
from napari_seg.gui.panels.fields import SPACING_PX, FieldGrid
from napari_seg.gui.panels.fold import Fold
from napari_seg.gui.panels.keys import add_shortcut
from napari_seg.gui.panels.look_box import LookBox
from napari_seg.gui.panels.model_box import CheckpointDrop, ModelBox
from napari_seg.gui.panels.recipe_box import RecipeBox
from napari_seg.gui.panels.refine_box import RefineBox
from napari_seg.gui.panels.run_footer import RunFooter
from napari_seg.gui.panels.size_field import SizeField
from napari_seg.gui.panels.volume_box import VolumeBox
from napari_seg.gui.panels.wheel_guard import WheelGuard
from napari_seg.gui.shortcuts import ESTIMATE
from napari_seg.state import (
    ADVANCED_CHOICES,
    ADVANCED_RANGES,
    Advanced,
    JobState,
    Scope,
    SegmentSettings,
)

_HINT = """<b>From an image to labels</b>
<ol style="margin-left: -22px">
<li>Open an image: drop a file on the window, or
<i>File &gt; Open Sample &gt; napari-seg</i>.</li>
<li>Choose what to segment it with. The settings below are a good start.</li>
<li>Press <b>Run</b>. Labels appear piece by piece; you can cancel at any time.</li>
</ol>"""
_ADVANCED_LABELS = {
    "tile_px": "Tile size",
    "batch": "Batch",
    "seed_threshold": "Seeds",
    "tta": "Views",
    "link_z": "",
}


class SegmentPanel(QWidget):
    """Emits what the user wants and shows what it is told; it knows no layer."""

    image_requested = Signal(str)
    axes_requested = Signal(str)
    channel_requested = Signal(object)
    model_requested = Signal(str)
    device_requested = Signal(str)
    diameter_requested = Signal(object)
    estimate_requested = Signal()
    scope_requested = Signal(object)
    threshold_requested = Signal(float)
    min_size_requested = Signal(float)
    advanced_requested = Signal(object)
    run_requested = Signal()
    cancel_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._make_editors()
        self._lay_out()
        self._connect()
        WheelGuard(self.grid)
        WheelGuard(self.fold)
        WheelGuard(self.refine_fold)
        WheelGuard(self.volume_fold)

    # What the user sees, from top to bottom.

    def _make_editors(self) -> None:
        self.hint = QLabel(_HINT)
        self.hint.setWordWrap(True)
        self.image = combo_box()
        self.axes = AxesStrip()
        self.channel = combo_box()
        self.models = ModelBox()
        self.model = self.models.combo
        self.device = combo_box()
        self.size = SizeField()
        self.scope = combo_box()
        for scope in Scope:
            self.scope.addItem(scope.value, scope)
        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(0.05, 0.95)
        self.threshold.setSingleStep(0.01)
        self.threshold.setDecimals(2)
        self.min_size = QLabeledSlider(Qt.Orientation.Horizontal)
        self.min_size.setRange(0, 500)
        self.advanced = ParamsForm(
            Advanced(),
            ranges=ADVANCED_RANGES,
            captions={"link_z": "Link planes of a stack"},
            choices=ADVANCED_CHOICES,
            on_change=lambda value: self.advanced_requested.emit(value),
        )
        self.refine = RefineBox()
        self.look = LookBox()
        self.recipe = RecipeBox()
        self.volume = VolumeBox()
        self.footer = RunFooter()

    def _lay_out(self) -> None:
        docs = field_docs(SegmentSettings)
        docs |= {"image": "The image layer that is segmented."}
        self.grid = FieldGrid(docs)
        self._image_field = self.grid.add("image", "Image", self.image)
        self._axes_field = self.grid.add("axes", "Axes", self.axes)
        self._channel_field = self.grid.add("channel", "Channel", self.channel)
        self._model_field = self.grid.add(
            "model", "Model", self.model, within=self.models
        )
        self._device_field = self.grid.add("device", "Device", self.device)
        self._size_field = self.grid.add("diameter_px", "Object size", self.size)
        self.grid.add("scope", "Region", self.scope)
        self.grid.add("threshold", "Threshold", self.threshold)
        self.grid.add("min_size_px", "Min. pixels", self.min_size)
        rare = FieldGrid(self.advanced.docs)
        for name, label in _ADVANCED_LABELS.items():
            rare.add(name, label, self.advanced.native(name))
        self.fold = Fold("Advanced", rare)
        column = QVBoxLayout(self)
        column.setSpacing(SPACING_PX)
        self.refine_fold = Fold("Refine", self.refine)
        self.look_fold = Fold("What the network looks at", self.look)
        self.recipe_fold = Fold("Recipe", self.recipe)
        self.volume_fold = Fold("Large volume", self.volume)
        folds = [self.fold, self.refine_fold, self.look_fold, self.recipe_fold]
        folds.append(self.volume_fold)
        parts = [self.hint, self.grid, *folds]
        column.addWidget(scrolled(parts), 1)
        column.addWidget(self.footer)
        self._channel_field.set_visible(False)

    def _connect(self) -> None:
        self.image.currentTextChanged.connect(self.image_requested)
        self.axes.changed.connect(self.axes_requested)
        self.channel.currentIndexChanged.connect(
            lambda _: self.channel_requested.emit(self.channel.currentData())
        )
        self.models.chosen.connect(self.model_requested)
        CheckpointDrop(self).dropped.connect(self.models.add_requested)
        self.device.currentIndexChanged.connect(
            lambda _: self.device_requested.emit(self.device.currentData())
        )
        self.scope.currentIndexChanged.connect(
            lambda _: self.scope_requested.emit(self.scope.currentData())
        )
        self.size.changed.connect(self.diameter_requested)
        self.size.estimate_requested.connect(self.estimate_requested)
        estimate = self.size.estimate_button
        add_shortcut(self, ESTIMATE).activated.connect(estimate.click)
        self.threshold.valueChanged.connect(self.threshold_requested)
        self.min_size.valueChanged.connect(
            lambda value: self.min_size_requested.emit(float(value))
        )
        self.footer.run_requested.connect(self.run_requested)
        self.footer.cancel_requested.connect(self.cancel_requested)

    # What the controller tells it. No setter emits a request.

    def set_images(self, names: Sequence[str], current: str | None) -> None:
        """List the image layers; the hint shows when there is none."""
        fill_combo(self.image, [(name, name) for name in names], current)
        self.hint.setVisible(not names)
        self.image.setEnabled(bool(names))
        self.image.setPlaceholderText("No image open")
        self._axes_field.set_visible(bool(names))

    def set_axes(self, axes: str, shape: Sequence[int], is_rgb: bool) -> None:
        """Show what each dimension is."""
        self.axes.set_axes(axes, shape, is_rgb)

    def set_channels(
        self, channels: Sequence[tuple[str, int | None]], current: int | None
    ) -> None:
        """List the channels as pairs of text and number; hide the row if empty."""
        fill_combo(self.channel, channels, current)
        self._channel_field.set_visible(bool(channels))

    def set_models(
        self, names: Sequence[str], current: str, own: Sequence[str] = ()
    ) -> None:
        """List the models; `own` are those the user may rename and remove."""
        self.models.set_models(names, current, own)

    def set_model_summary(self, text: str) -> None:
        """Say what the model is good for."""
        self._model_field.set_info(text)

    def set_devices(self, devices: Sequence[tuple[str, str]], current: str) -> None:
        """List the devices as pairs of text and name."""
        fill_combo(self.device, devices, current)

    def set_device_reason(self, text: str) -> None:
        """Say which device is in use and why."""
        self._device_field.set_info(text)

    def set_diameter(self, diameter_px: float | None) -> None:
        """Show the object size; None is automatic."""
        self.size.set_diameter(diameter_px)

    def set_pixel_size(self, pixel_um: float | None) -> None:
        """Offer micrometres where a pixel has a size."""
        self.size.set_pixel_size(pixel_um)

    def set_size_note(self, text: str) -> None:
        """Say what the estimate is."""
        self._size_field.set_info(text)

    def set_scope(self, scope: Scope) -> None:
        """Show which part is segmented."""
        with QSignalBlocker(self.scope):
            self.scope.setCurrentIndex(list(Scope).index(scope))

    def set_thresholds(self, threshold: float, min_size_px: float) -> None:
        """Show the two sliders' values."""
        with QSignalBlocker(self.threshold), QSignalBlocker(self.min_size):
            self.threshold.setValue(threshold)
            self.min_size.setValue(round(min_size_px))

    def set_min_size_limit(self, limit_px: float) -> None:
        """Let the slider reach the size of a typical object."""
        with QSignalBlocker(self.min_size):
            self.min_size.setMaximum(max(10, round(limit_px), self.min_size.value()))

    def set_advanced(self, advanced: Advanced) -> None:
        """Show the folded settings."""
        self.advanced.set_params(advanced)

    def set_problems(self, problems: dict[str, str]) -> None:
        """Mark wrong fields and disable Run; an empty dict enables it."""
        self.grid.set_problems(problems)
        self.axes.set_invalid("axes" in problems)
        self.footer.set_blocked(next(iter(problems.values()), ""))
        self._show_estimate_button()

    def set_status(self, state: JobState, fraction: float, message: str) -> None:
        """Show how the job goes."""
        self.footer.set_status(state, fraction, message)
        self._show_estimate_button()

    def _show_estimate_button(self) -> None:
        # Allowed exactly when a run is: both need a sound input and a free thread.
        self.size.estimate_button.setEnabled(self.footer.can_run)
