"""What the benchmarks of a real window share: its heartbeat, and a mouse."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtCore import QEvent, QObject, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import Remembered

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

_JOURNALS = tempfile.TemporaryDirectory(prefix="napari-seg-")
os.environ.setdefault("NAPARI_SEG_AUTOSAVE", _JOURNALS.name)
# What a benchmark paints is nobody's work, and must not be offered to anybody.

BEAT_MS = 5
LONG_MS = 50
"""A longer stall is felt."""


@contextmanager
def docked_panel() -> Iterator[tuple[napari.Viewer, SegmentationWidget]]:
    """Open a viewer with the panel docked, which remembers nothing of other days."""
    warnings.filterwarnings("ignore", "System theme detection", UserWarning)
    viewer = napari.Viewer(show=True)
    with tempfile.TemporaryDirectory() as folder:
        remembered = Remembered(Path(folder) / "settings.json")
        widget = SegmentationWidget(viewer, remembered=remembered)
        viewer.window.add_dock_widget(widget, name="napari-seg")
        yield viewer, widget
        viewer.close()


class Heartbeat(QObject):
    """Notes how much later than due each beat of a timer comes.

    And how long the main thread itself computed since the beat before: that hardly
    depends on what else the machine does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._late_ms: list[float] = []
        self._busy_ms: list[float] = []
        self._last = time.perf_counter()
        self._last_busy = time.thread_time()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT_MS)

    def stop(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how late every beat was, and the computing before it, in ms."""
        self._timer.stop()
        return np.array(self._late_ms), np.array(self._busy_ms)

    def _beat(self) -> None:
        now, busy = time.perf_counter(), time.thread_time()
        self._busy_ms.append((busy - self._last_busy) * 1000)
        self._last_busy = busy
        self._late_ms.append(max(0.0, (now - self._last) * 1000 - BEAT_MS))
        self._last = now


def wait(condition: Callable[[], bool], timeout_s: float = 900) -> None:
    """Let the Qt loop run until a condition holds."""
    end = time.perf_counter() + timeout_s
    while not condition():
        QApplication.processEvents()
        time.sleep(0.0005)
        if time.perf_counter() > end:
            raise TimeoutError("the job did not end")


def idle(seconds: float) -> None:
    """Let the Qt loop run for a while."""
    end = time.perf_counter() + seconds
    wait(lambda: time.perf_counter() > end)


def measure(work: Callable[[], None]) -> dict[str, Any]:
    """Return the figures of one piece of work that lets the Qt loop run."""
    beat = Heartbeat()
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    idle(0.5)  # the last repaints belong to the work
    late, busy = beat.stop()
    return {
        "seconds": round(seconds, 2),
        "median_ms": round(float(np.median(late)), 1),
        "p99_ms": round(float(np.percentile(late, 99)), 1),
        "max_ms": round(float(late.max()), 1),
        "over_50_ms": int((late > LONG_MS).sum()),
        "beats": len(late),
        "busy_p99_ms": round(float(np.percentile(busy, 99)), 1),
        "busy_max_ms": round(float(busy.max()), 1),
    }


class Pointer:
    """A mouse on the canvas of a shown viewer, moved in pixels of a layer.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : Layer
        Positions have one number for each of its axes.
    """

    def __init__(self, viewer: Any, layer: Layer) -> None:
        self._viewer = viewer
        self._layer = layer
        self._canvas = viewer.window._qt_viewer.canvas

    def drag(
        self,
        path: Sequence[Sequence[float]],
        *,
        held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
        step_s: float = 0.016,
    ) -> None:
        """Press at the first position, pass the others, release at the last."""
        self._send(QEvent.Type.MouseButtonPress, path[0], held)
        for position in path[1:]:
            idle(step_s)
            self._send(QEvent.Type.MouseMove, position, held)
        idle(step_s)
        self._send(QEvent.Type.MouseButtonRelease, path[-1], held)

    def _send(
        self, kind: QEvent.Type, position: Sequence[float], held: Qt.KeyboardModifier
    ) -> None:
        native = self._canvas.native
        point = self._at(position)
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        event = QMouseEvent(
            kind,
            QPointF(point),
            QPointF(native.mapToGlobal(point)),
            none if kind == QEvent.Type.MouseMove else left,
            none if kind == QEvent.Type.MouseButtonRelease else left,
            held,
        )
        QApplication.sendEvent(native, event)

    def _at(self, position: Sequence[float]) -> QPoint:
        """Return where on the canvas a pixel of the layer is."""
        world = np.asarray(self._layer.data_to_world(position), float)
        shown = world[list(self._viewer.dims.displayed)]
        view = self._canvas.view
        mapped = (view.transform * view.scene.transform).map(list(shown[::-1]))
        x, y = mapped[:2] / mapped[3]
        return QPoint(round(float(x)), round(float(y)))
