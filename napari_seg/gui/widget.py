"""The widget napari docks: one tab per panel, one session per viewer."""

from __future__ import annotations

import weakref
from typing import Any

import napari
from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QApplication, QTabWidget, QVBoxLayout, QWidget

from napari_seg.gui.autosave.controller import AutosaveController
from napari_seg.gui.batch.controller import BatchController
from napari_seg.gui.closing import CloseGuard
from napari_seg.gui.controller import SegmentController
from napari_seg.gui.correction.controller import CorrectController
from napari_seg.gui.engine import Engine
from napari_seg.gui.folder.controller import FolderController
from napari_seg.gui.importing import ImportController
from napari_seg.gui.look import LookController
from napari_seg.gui.panels.batch import BatchPanel
from napari_seg.gui.panels.correct import CorrectPanel
from napari_seg.gui.panels.folder import FolderPanel
from napari_seg.gui.panels.segment import SegmentPanel
from napari_seg.gui.panels.train import TrainPanel
from napari_seg.gui.panels.weights import WeightsPanel
from napari_seg.gui.pump import JobPump
from napari_seg.gui.recipes import RecipeController
from napari_seg.gui.refine.controller import RefineController
from napari_seg.gui.refine.engine import RefineEngine
from napari_seg.gui.review.controller import ReviewController
from napari_seg.gui.review.table import ReviewTable
from napari_seg.gui.tracking import TrackController
from napari_seg.gui.training.controller import TrainController
from napari_seg.gui.training.exporter import ExportController
from napari_seg.gui.volumes import VolumeController
from napari_seg.gui.weights.controller import WeightsController
from napari_seg.offload import Offload
from napari_seg.state import JobState, Remembered

_WIDTH_PX = 320
_TABS = (
    "QTabBar { padding: 0; border: 0; background: none }"
    "QTabBar::tab { padding: 4px 8px; min-height: 22px }"
)
"""napari pads the bar, but does not make room for that: words lose their tops."""


class SegmentationWidget(QWidget):
    """Everything of napari-seg in one dock.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer it is docked in; napari passes it by this name.
    engine : Engine, optional
        The core; a test brings its own.
    remembered : Remembered, optional
        Settings of the last session; a test keeps them in a temporary folder.
    """

    run_ended = Signal(object)
    """A run is over; carries the `JobState` it ended with."""

    def __init__(
        self,
        napari_viewer: napari.Viewer,
        engine: Engine | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        super().__init__()
        self.segment_panel = SegmentPanel()
        self.correct_panel = CorrectPanel()
        self.train_panel = TrainPanel()
        self.weights_panel = WeightsPanel()
        self.folder_panel = FolderPanel()
        self.batch_panel = BatchPanel()
        remembered = remembered or Remembered()
        engine = engine or Engine()
        self.controller = SegmentController(
            napari_viewer,
            self.segment_panel,
            engine,
            JobPump(self).jobs,
            remembered,
        )
        self.refiner = self._make_refiner(napari_viewer, remembered)
        self.looker = LookController(
            napari_viewer, self.segment_panel.look, engine, self.controller
        )
        self.recipes = RecipeController(
            napari_viewer, self.segment_panel.recipe, self.controller
        )
        box, jobs = self.segment_panel.volume, JobPump(self).jobs
        known = (napari_viewer, box, engine, self.controller, jobs)
        self.volumes = VolumeController(*known)
        # Jobs of their own: a stroke must not wait for a network.
        self.corrector = CorrectController(
            napari_viewer,
            self.correct_panel,
            JobPump(self).jobs,
            Offload(),
            remembered,
        )
        self.reviewer = self._make_reviewer(napari_viewer, remembered)
        self.table = self._make_table(napari_viewer)
        self.importer = self._make_importer(napari_viewer)
        self.linker = self._make_linker(napari_viewer, remembered)
        self.autosaver = self._make_autosaver(napari_viewer, remembered)
        self.trainer = self._make_trainer(napari_viewer, engine, remembered)
        self.exporter = self._make_exporter(napari_viewer)
        self.weigher = WeightsController(
            napari_viewer, self.weights_panel, JobPump(self).jobs, remembered
        )
        self.folders = self._make_folders(napari_viewer, remembered)
        self.batcher = self._make_batcher(napari_viewer, remembered)
        self.guard = self._make_guard(napari_viewer)
        self._connect()
        self._lay_out()
        self._close_with_the_window()

    def _close_with_the_window(self) -> None:
        controllers = (
            # First those that listen to the others.
            self.folders,
            self.batcher,
            self.guard,
            self.table,
            self.importer,
            self.linker,
            self.reviewer,
            self.refiner,
            self.looker,
            self.recipes,
            self.volumes,
            self.controller,
            self.corrector,
            self.exporter,
            self.trainer,
            self.weigher,
            self.autosaver,
        )
        for controller in controllers:
            # A bound method of this widget would be gone with it.
            self.destroyed.connect(controller.close)
            _close_on_quit(controller)

    def _make_refiner(
        self, viewer: napari.Viewer, remembered: Remembered
    ) -> RefineController:
        return RefineController(
            viewer,
            self.segment_panel.refine,
            RefineEngine(),
            JobPump(self).jobs,
            remembered,
            self.controller.settings.snapshot,
        )

    def _make_reviewer(
        self, viewer: napari.Viewer, remembered: Remembered
    ) -> ReviewController:
        return ReviewController(
            viewer,
            self.correct_panel.review,
            self.corrector,
            self.controller,
            JobPump(self).jobs,
            remembered,
        )

    def _make_importer(self, viewer: napari.Viewer) -> ImportController:
        box = self.correct_panel.imports
        return ImportController(viewer, box, self.corrector, JobPump(self).jobs)

    def _make_linker(
        self, viewer: napari.Viewer, remembered: Remembered
    ) -> TrackController:
        box, choice = self.correct_panel.track, self.corrector.choice
        return TrackController(viewer, box, choice, JobPump(self).jobs, remembered)

    def _make_trainer(
        self, viewer: napari.Viewer, engine: Engine, remembered: Remembered
    ) -> TrainController:
        return TrainController(
            viewer,
            self.train_panel,
            engine,
            JobPump(self).jobs,
            remembered,
            on_model=self._on_model,
        )

    def _make_table(self, viewer: napari.Viewer) -> ReviewTable:
        view = self.correct_panel.review.table
        jobs = JobPump(self).jobs
        return ReviewTable(viewer, view, self.reviewer, self.corrector, jobs)

    def _make_autosaver(
        self, viewer: napari.Viewer, remembered: Remembered
    ) -> AutosaveController:
        return AutosaveController(
            viewer, self.correct_panel.recovery, JobPump(self).jobs, remembered
        )

    def _make_exporter(self, viewer: napari.Viewer) -> ExportController:
        return ExportController(
            viewer, self.train_panel, self.trainer.data, JobPump(self).jobs
        )

    def _make_folders(
        self, viewer: napari.Viewer, remembered: Remembered
    ) -> FolderController:
        return FolderController(
            viewer,
            self.folder_panel,
            self.controller,
            self.corrector,
            self.autosaver,
            JobPump(self).jobs,
            JobPump(self).jobs,
            remembered,
        )

    def _make_batcher(
        self, viewer: napari.Viewer, remembered: Remembered
    ) -> BatchController:
        panel, jobs = self.batch_panel, (JobPump(self).jobs, JobPump(self).jobs)
        return BatchController(viewer, panel, self.controller, *jobs, remembered)

    def _make_guard(self, viewer: napari.Viewer) -> CloseGuard:
        return CloseGuard(
            viewer, self.folders, self.autosaver, self.exporter, JobPump(self).jobs
        )

    def _connect(self) -> None:
        self.controller.run_ended.connect(self._on_run_ended)
        self.corrector.cutting.connect(self.weigher.rest)
        # A run may write into the very labels that a preview hides.
        self.segment_panel.run_requested.connect(lambda: self.refiner.set_on(False))
        settings = self.controller.settings.events
        for emitter in (settings.threshold, settings.min_size_px, settings.advanced):
            emitter.connect(self.refiner.refresh)

    def _lay_out(self) -> None:
        tabs = QTabWidget()
        tabs.setDocumentMode(True)
        tabs.tabBar().setStyleSheet(_TABS)
        tabs.addTab(self.segment_panel, "Segment")
        tabs.addTab(self.correct_panel, "Correct")
        tabs.addTab(self.train_panel, "Train")
        tabs.addTab(self.weights_panel, "Weights")
        tabs.addTab(self.folder_panel, "Folder")
        tabs.addTab(self.batch_panel, "Batch")
        tabs.currentChanged.connect(self._on_tab)
        self.tabs = tabs
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(tabs, 1)
        column.addWidget(self.folder_panel.strip)
        self.setMinimumWidth(_WIDTH_PX)

    def run(self) -> None:
        """Do what the Run button does."""
        self.controller.run()

    def event(self, event: QEvent) -> bool:
        """Stop the jobs when the dock is closed: nobody could cancel them any more."""
        has_moved = event.type() == QEvent.Type.ParentChange
        if has_moved and self.parent() is None and hasattr(self, "weigher"):
            self.controller.cancel()
            self.volumes.stop()
            self.batcher.cancel()
            self.linker.stop()
            self.refiner.set_on(False)
            self.looker.set_on(False)
            self.corrector.set_tool(None)
            self.reviewer.stop()
            self.trainer.stop()
        return super().event(event)

    def _on_tab(self, index: int) -> None:
        if self.tabs.widget(index) is not self.segment_panel:
            # Nobody must correct labels that a preview hides, nor look by a stroke.
            self.refiner.set_on(False)
            self.looker.set_on(False)
        # A tool that nobody sees would still take the mouse.
        if self.tabs.widget(index) is not self.correct_panel:
            self.corrector.set_tool(None)

    def _on_model(self, name: str) -> None:
        """Offer a model that was just trained, and choose it."""
        self.controller.form.choose_model(name)

    def _on_run_ended(self, state: JobState) -> None:
        self.corrector.look_again()
        self.refiner.refresh()
        self.run_ended.emit(state)


def _close_on_quit(controller: Any) -> None:
    """Stop the thread before the interpreter goes; do not keep the viewer alive."""
    reference = weakref.ref(controller)

    def close() -> None:
        alive = reference()
        if alive is not None:
            alive.close()

    application = QApplication.instance()
    if application is not None:
        application.aboutToQuit.connect(close)
