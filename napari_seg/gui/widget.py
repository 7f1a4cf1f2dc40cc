"""The widget napari docks: one tab per panel, one session per viewer."""

from __future__ import annotations

import weakref

import napari
from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QApplication, QTabWidget, QVBoxLayout, QWidget

from napari_seg.gui.controller import SegmentController
from napari_seg.gui.correction.controller import CorrectController
from napari_seg.gui.engine import Engine
from napari_seg.gui.panels.correct import CorrectPanel
from napari_seg.gui.panels.segment import SegmentPanel
from napari_seg.gui.pump import JobPump
from napari_seg.offload import Offload
from napari_seg.state import JobState, Remembered

_WIDTH_PX = 320
_TABS = (
    "QTabBar { padding: 0; border: 0; background: none }"
    "QTabBar::tab { padding: 5px 14px }"
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
        remembered = remembered or Remembered()
        self.controller = SegmentController(
            napari_viewer,
            self.segment_panel,
            engine or Engine(),
            JobPump(self).jobs,
            remembered,
        )
        # Jobs of its own: a stroke must not wait for a network.
        self.corrector = CorrectController(
            napari_viewer,
            self.correct_panel,
            JobPump(self).jobs,
            Offload(),
            remembered,
        )
        self.controller.run_ended.connect(self._on_run_ended)
        tabs = QTabWidget()
        tabs.setDocumentMode(True)
        tabs.tabBar().setStyleSheet(_TABS)
        tabs.addTab(self.segment_panel, "Segment")
        tabs.addTab(self.correct_panel, "Correct")
        tabs.currentChanged.connect(self._on_tab)
        self.tabs = tabs
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(tabs)
        self.setMinimumWidth(_WIDTH_PX)
        for controller in (self.controller, self.corrector):
            # A bound method of this widget would be gone with it.
            self.destroyed.connect(controller.close)
            _close_on_quit(controller)

    def run(self) -> None:
        """Do what the Run button does."""
        self.controller.run()

    def event(self, event: QEvent) -> bool:
        """Stop the job when the dock is closed: nobody could cancel it any more."""
        has_moved = event.type() == QEvent.Type.ParentChange
        if has_moved and self.parent() is None and hasattr(self, "corrector"):
            self.controller.cancel()
            self.corrector.set_tool(None)
        return super().event(event)

    def _on_tab(self, index: int) -> None:
        # A tool that nobody sees would still take the mouse.
        if self.tabs.widget(index) is not self.correct_panel:
            self.corrector.set_tool(None)

    def _on_run_ended(self, state: JobState) -> None:
        self.run_ended.emit(state)


def _close_on_quit(controller: SegmentController | CorrectController) -> None:
    """Stop the thread before the interpreter goes; do not keep the viewer alive."""
    reference = weakref.ref(controller)

    def close() -> None:
        alive = reference()
        if alive is not None:
            alive.close()

    application = QApplication.instance()
    if application is not None:
        application.aboutToQuit.connect(close)
