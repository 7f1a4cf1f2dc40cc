"""The Qt timer that brings the news of the jobs to the main thread."""

from __future__ import annotations

import math

from qtpy.QtCore import QObject, QTimer

from napari_seg.gui.jobs import Jobs


class JobPump(QTimer):
    """Calls `Jobs.pump` when there may be news, and rests otherwise.

    Parameters
    ----------
    parent : QObject
        The timer dies with it.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.jobs = Jobs(wake=self._plan)
        self.setSingleShot(True)
        self.timeout.connect(self._pump)

    def _plan(self) -> None:
        wait_s = self.jobs.wait_s()
        if math.isinf(wait_s):
            self.stop()
        else:
            self.start(math.ceil(wait_s * 1000))

    def _pump(self) -> None:
        try:
            self.jobs.pump()
        finally:
            # Even if a callback failed: the other jobs go on.
            self._plan()
