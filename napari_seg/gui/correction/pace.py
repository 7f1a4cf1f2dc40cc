"""Not more often than the screen can show it."""

from __future__ import annotations

import time
from collections.abc import Callable

from qtpy.QtCore import QCoreApplication, QTimer

_INTERVAL_S = 0.016


class Pace:
    """Runs an action at once, but at most every 16 ms; the last request is kept.

    Parameters
    ----------
    action : callable
        Takes no argument.
    """

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action
        self._last_s = 0.0
        self._timer: QTimer | None = None

    def request(self) -> None:
        """Run the action now, or as soon as the interval is over."""
        rest_s = self._last_s + _INTERVAL_S - time.perf_counter()
        if rest_s <= 0:
            self._run()
        # Without an application there is no loop to wait in: the next request tries.
        elif QCoreApplication.instance() is not None:
            self._start(rest_s)

    def drop(self) -> None:
        """Forget a request that still waits."""
        if self._timer is not None:
            self._timer.stop()

    def _start(self, rest_s: float) -> None:
        if self._timer is None:
            self._timer = QTimer()
            self._timer.setSingleShot(True)
            self._timer.timeout.connect(self._run)
        if not self._timer.isActive():
            self._timer.start(max(1, round(1000 * rest_s)))

    def _run(self) -> None:
        self.drop()
        self._last_s = time.perf_counter()
        self._action()
