"""The Qt timer that brings the news of the jobs to the main thread."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer

from napari_seg.gui.jobs import Jobs

INTERVAL_MS = 30


class JobPump(QTimer):
    """Calls `Jobs.pump` while there is anything to deliver, and rests otherwise.

    Parameters
    ----------
    parent : QObject
        The timer dies with it.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.jobs = Jobs(wake=self._wake)
        self.setInterval(INTERVAL_MS)
        self.timeout.connect(self._pump)

    def _wake(self) -> None:
        if not self.isActive():
            self.start()

    def _pump(self) -> None:
        # Stopped first: an exception in a callback must not come again and again.
        self.stop()
        try:
            self.jobs.pump()
        finally:
            if self.jobs.is_busy:
                self.start()
