"""The Train panel: from corrected labels to a model that has learned from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_seg.gui import shortcuts
from napari_seg.gui.forms import ParamsForm, field_docs, tooltip
from napari_seg.gui.panels.choices import combo_box, fill_combo, scrolled
from napari_seg.gui.panels.curve_plot import CurvePlot
from napari_seg.gui.panels.data_list import DataList
from napari_seg.gui.panels.fields import SPACING_PX, Field, FieldGrid, note_label
from napari_seg.gui.panels.fold import Fold
from napari_seg.gui.panels.keys import KeyButton, TypingGuard, add_shortcut, native_key
from napari_seg.gui.panels.network_box import NetworkBox
from napari_seg.gui.panels.picture_view import PictureView
from napari_seg.gui.panels.rows import Group, button_grid
from napari_seg.gui.panels.train_footer import TrainFooter
from napari_seg.gui.panels.wheel_guard import WheelGuard
from napari_seg.gui.training.curve import LossCurve
from napari_seg.gui.training.data import Row
from napari_seg.gui.training.picture import Drawn
from napari_seg.gui.training.settings import (
    ADVANCED_RANGES,
    PRESETS,
    TrainAdvanced,
    TrainSettings,
    TrainState,
)

_HINT = """<b>From corrections to a better model</b>
<ol style="margin-left: -22px">
<li>Correct the labels of an image or a few on the <i>Correct</i> tab, or add a folder
with <i>images</i> and <i>labels</i>.</li>
<li>Press <b>Start training</b>. You can go on working meanwhile.</li>
<li>The new model is chosen on the <i>Segment</i> tab: run it on the next image.</li>
</ol>"""
_ADVANCED_LABELS = {
    "minutes": "Minutes",
    "steps": "Steps",
    "learning_rate": "Learning rate",
    "rehearse": "",
    "w0": "Border w0",
    "sigma_px": "Border sigma",
    "elastic_px": "Elastic (px)",
    "batch": "Batch",
    "patch_px": "Patch (px)",
    "volumes": "",
    "validate_every": "Score every",
}
_FOLDER_TIP = (
    "A folder with images/ and labels/ (or masks/) of the same file names, with train/ "
    "and val/ of such folders, or an exported data set."
)


_EXPORT_TIP = (
    "Write what is ticked, with its images, for other programs or as a data set that "
    "can be added to. With Only objects marked correct, the others are left out."
)


class TrainPanel(QWidget):
    """Emits what the user wants and shows what it is told; it knows no layer."""

    shown = Signal()
    """The panel came on screen."""
    hidden = Signal()
    """It is no longer on screen."""
    used_requested = Signal(str, bool)
    counts_requested = Signal(str, object)
    folder_requested = Signal(str)
    export_requested = Signal(str, str)
    """A format, and where to."""
    export_cancel_requested = Signal()
    remove_requested = Signal(str)
    mark_plane_requested = Signal()
    start_from_requested = Signal(str)
    network_requested = Signal(str)
    name_requested = Signal(str)
    preset_requested = Signal(str)
    advanced_requested = Signal(object)
    start_requested = Signal()
    pause_requested = Signal()
    stop_requested = Signal()
    resume_requested = Signal()
    discard_requested = Signal()
    picture_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._make_editors()
        self._lay_out()
        self._connect()
        WheelGuard(self.grid)
        WheelGuard(self.fold)
        TypingGuard(self)

    # What the user sees, from top to bottom.

    def _make_editors(self) -> None:
        self.hint = QLabel(_HINT)
        self.hint.setWordWrap(True)
        self.data = DataList()
        self.plane = QCheckBox()
        self.add_folder = QPushButton("Add folder…")
        self.add_folder.setToolTip(tooltip(_FOLDER_TIP))
        self.export = QPushButton("Export…")
        self.export.setToolTip(tooltip(_EXPORT_TIP))
        self.export_menu = QMenu(self)
        self.export.setMenu(self.export_menu)
        self.exported = note_label()
        self.stop_export = KeyButton("Cancel export", shortcuts.STOP_EXPORT)
        self.stop_export.hide()
        self.total = note_label()
        self.start_from = combo_box()
        self.networks = NetworkBox()
        self.name = QLineEdit()
        self.preset = combo_box()
        fill_combo(self.preset, [(text, key) for key, text in PRESETS.items()], "quick")
        self.advanced = ParamsForm(
            TrainAdvanced(),
            ranges=ADVANCED_RANGES,
            captions={
                "rehearse": "Keep what it knows",
                "volumes": "Whole stacks (3D)",
            },
            on_change=lambda value: self.advanced_requested.emit(value),
        )
        self.unfinished = note_label()
        self.resume = QPushButton("Resume")
        self.resume.setToolTip(tooltip("Go on from the last state that was saved."))
        self.discard = QPushButton("Discard")
        self.discard.setToolTip(
            tooltip("Give up going on with it. The model it has written stays.")
        )
        self.plot = CurvePlot()
        self.picture = PictureView()
        self.card = note_label()
        self.footer = TrainFooter()

    def _lay_out(self) -> None:
        self.grid = FieldGrid(field_docs(TrainSettings))
        self._start_field = self.grid.add("start", "Start from", self.start_from)
        self._network_field = self.grid.add(
            "architecture", "Network", self.networks.combo, within=self.networks
        )
        self.grid.add("name", "New model", self.name)
        self._preset_field = self.grid.add("preset", "Preset", self.preset)
        self.rare = FieldGrid(self.advanced.docs)
        self._rare_fields: dict[str, Field] = {}
        for name, label in _ADVANCED_LABELS.items():
            editor = self.advanced.native(name)
            if name == "learning_rate":
                editor.setDecimals(5)
                editor.setSingleStep(1e-4)
            self._rare_fields[name] = self.rare.add(name, label, editor)
        self.fold = Fold("Advanced", self.rare)
        files = button_grid([self.add_folder, self.export], 2)
        rows = [self.data, self.plane, files, self.exported, self.stop_export]
        rows.append(self.total)
        data = Group("Learn from", rows)
        choice = button_grid([self.resume, self.discard], 2)
        self.offer = Group("Unfinished training", [self.unfinished, choice])
        self.progress = Group("Progress", [self.plot, self.picture])
        self.result = Group("Model card", [self.card])
        parts = [self.hint, self.offer, self.progress, self.result, data]
        column = QVBoxLayout(self)
        column.setSpacing(SPACING_PX)
        self.area = scrolled([*parts, self.grid, self.fold])
        column.addWidget(self.area, 1)
        column.addWidget(self.footer)
        mark = shortcuts.MARK_PLANE
        self.plane.setToolTip(tooltip(f"{mark.action} ({native_key(mark)})"))
        self.set_rows([])
        self.set_plane("", False)
        self.set_unfinished("")
        self.set_curve(LossCurve())
        self.set_card("", [])

    def _connect(self) -> None:
        self.data.used_requested.connect(self.used_requested)
        self.data.counts_requested.connect(self.counts_requested)
        self.data.remove_requested.connect(self.remove_requested)
        self.plane.clicked.connect(lambda _: self.mark_plane_requested.emit())
        add_shortcut(self.plane, shortcuts.MARK_PLANE).activated.connect(
            self.plane.click
        )
        self.add_folder.clicked.connect(self._ask_for_folder)
        self.stop_export.clicked.connect(lambda _: self.export_cancel_requested.emit())
        self.start_from.currentIndexChanged.connect(
            lambda _: self.start_from_requested.emit(self.start_from.currentData())
        )
        self.networks.chosen.connect(self.network_requested)
        # Not while it is typed: the name of a file is judged when it is whole.
        self.name.editingFinished.connect(self._on_name)
        self.preset.currentIndexChanged.connect(
            lambda _: self.preset_requested.emit(self.preset.currentData())
        )
        self.resume.clicked.connect(lambda: self.resume_requested.emit())
        self.discard.clicked.connect(lambda: self.discard_requested.emit())
        self.picture.clicked.connect(self.picture_requested)
        for name in ("start", "pause", "stop"):
            source = getattr(self.footer, f"{name}_requested")
            source.connect(getattr(self, f"{name}_requested"))

    def showEvent(self, event: QShowEvent) -> None:
        """Tell that what is shown should be looked at again."""
        super().showEvent(event)
        self.shown.emit()

    def hideEvent(self, event: QHideEvent) -> None:
        """Tell that nobody looks."""
        super().hideEvent(event)
        self.hidden.emit()

    # What the controller tells it. No setter emits a request.

    def set_rows(self, rows: Sequence[Row]) -> None:
        """List the training data; the hint shows when there is none."""
        self.data.set_rows(rows)
        self.hint.setVisible(not rows)

    def set_total(self, text: str) -> None:
        """Say how much is ticked."""
        self.total.setText(text)
        self.total.setVisible(bool(text))

    def set_formats(self, formats: Sequence[tuple[str, str]]) -> None:
        """List what can be exported to, as pairs of name and summary."""
        self.export_menu.clear()
        for name, summary in formats:
            action = self.export_menu.addAction(f"{name}: {summary}")
            action.triggered.connect(
                lambda _=False, name=name: self._ask_where_to(name)
            )

    def set_export(self, text: str, is_busy: bool) -> None:
        """Say how an export goes; an empty text says nothing."""
        self.exported.setText(text)
        self.exported.setVisible(bool(text))
        self.export.setEnabled(not is_busy)
        self.stop_export.setVisible(is_busy)

    def set_plane(self, text: str, is_marked: bool) -> None:
        """Show whether the plane on screen is correct; an empty text hides it."""
        with QSignalBlocker(self.plane):
            self.plane.setText(text)
            self.plane.setChecked(is_marked)
        self.plane.setVisible(bool(text))

    def set_starts(self, starts: Sequence[tuple[str, str]], current: str) -> None:
        """List what a training can start from, as pairs of text and name."""
        fill_combo(self.start_from, starts, current)

    def set_start_note(self, text: str) -> None:
        """Say what the start is good for."""
        self._start_field.set_info(text)

    def set_networks(
        self, networks: Sequence[tuple[str, str, str]], current: str
    ) -> None:
        """List architectures as text, name and use; hide the row if empty."""
        self.networks.set_networks(networks, current)
        uses = [about for _, name, about in networks if name == current]
        self._network_field.set_info("".join(uses))
        self._network_field.set_visible(bool(networks))

    def set_offered(self, names: Collection[str]) -> None:
        """Show of the folded settings only those that have an effect."""
        for name, field in self._rare_fields.items():
            field.set_visible(name in names)

    def set_name(self, name: str) -> None:
        """Show the name of the new model."""
        if name != self.name.text():
            with QSignalBlocker(self.name):
                self.name.setText(name)
                self.name.setCursorPosition(0)

    def set_preset(self, key: str) -> None:
        """Show which preset is chosen."""
        with QSignalBlocker(self.preset):
            self.preset.setCurrentIndex(list(PRESETS).index(key))

    def set_preset_note(self, text: str) -> None:
        """Say what computes, and why."""
        self._preset_field.set_info(text)

    def set_advanced(self, advanced: TrainAdvanced) -> None:
        """Show the folded settings."""
        self.advanced.set_params(advanced)

    def set_problems(self, problems: dict[str, str]) -> None:
        """Mark wrong fields and disable Start; an empty dict enables it."""
        self.grid.set_problems(problems)
        self.rare.set_problems(problems)
        self.footer.set_blocked(next(iter(problems.values()), ""))

    def set_unfinished(self, text: str) -> None:
        """Offer to resume a training; an empty text takes the offer back."""
        self.unfinished.setText(text)
        self.unfinished.setVisible(bool(text))
        self.offer.setVisible(bool(text))

    def set_status(self, state: TrainState, fraction: float, message: str) -> None:
        """Show how the training goes."""
        was_active = self.progress.property("active")
        self.footer.set_status(state, fraction, message)
        if state.is_active != bool(was_active):
            self.progress.setProperty("active", state.is_active)
            self.progress.setVisible(state.is_active or self.progress.isVisible())
            if state.is_active:
                # The curve is what she wants to see now.
                self.area.verticalScrollBar().setValue(0)

    def set_curve(self, curve: LossCurve) -> None:
        """Show the loss and the scores so far."""
        self.plot.set_curve(curve)
        self.progress.setVisible(not curve.is_empty or self.footer.bar.isVisible())

    def set_drawn(self, drawn: Drawn | None) -> None:
        """Show how the network sees a validation image now; None hides it."""
        self.picture.set_drawn(drawn)

    def set_card(self, name: str, rows: Sequence[tuple[str, str]]) -> None:
        """Show the card of the model that was trained; hide it without a name."""
        lines = [f"<b>{name}</b>", *(f"{caption}: {text}" for caption, text in rows)]
        self.card.setText("<br>".join(lines))
        self.card.setVisible(bool(name))
        self.result.setVisible(bool(name))

    def _ask_for_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Images with labels")
        if folder:
            self.folder_requested.emit(folder)

    def _ask_where_to(self, name: str) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self,
            f"Export to {name}",
            "training-set.csv" if name == "csv" else "training-set",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if path:
            self.export_requested.emit(name, path)

    def _on_name(self) -> None:
        self.name_requested.emit(self.name.text())
