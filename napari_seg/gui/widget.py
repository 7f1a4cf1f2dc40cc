"""The widget napari docks: one tab per panel, one session per viewer."""

from __future__ import annotations

import weakref

import napari
from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QApplication, QTabWidget, QVBoxLayout, QWidget

from napari_seg.gui.controller import SegmentController
from napari_seg.gui.engine import Engine
from napari_seg.gui.panels.segment import SegmentPanel
from napari_seg.gui.pump import JobPump
from napari_seg.state import JobState, Remembered

_WIDTH_PX = 320


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
        self._pump = JobPump(self)
        self.controller = SegmentController(
            napari_viewer,
            self.segment_panel,
            engine or Engine(),
            self._pump.jobs,
            remembered or Remembered(),
        )
        self.controller.run_ended.connect(self._on_run_ended)
        tabs = QTabWidget()
        # With a single tab a tab bar says nothing; it comes with the second.
        tabs.setTabBarAutoHide(True)
        tabs.setDocumentMode(True)
        tabs.addTab(self.segment_panel, "Segment")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(tabs)
        self.setMinimumWidth(_WIDTH_PX)
        # A bound method of this widget would be gone with it, the controller is not.
        self.destroyed.connect(self.controller.close)
        _close_on_quit(self.controller)

    def run(self) -> None:
        """Do what the Run button does."""
        self.controller.run()

    def event(self, event: QEvent) -> bool:
        """Stop the job when the dock is closed: nobody could cancel it any more."""
        has_moved = event.type() == QEvent.Type.ParentChange
        if has_moved and self.parent() is None and hasattr(self, "controller"):
            self.controller.cancel()
        return super().event(event)

    def _on_run_ended(self, state: JobState) -> None:
        self.run_ended.emit(state)


def _close_on_quit(controller: SegmentController) -> None:
    """Stop the thread before the interpreter goes; do not keep the viewer alive."""
    reference = weakref.ref(controller)

    def close() -> None:
        alive = reference()
        if alive is not None:
            alive.close()

    application = QApplication.instance()
    if application is not None:
        application.aboutToQuit.connect(close)
