"""How long the window stands still while the panel segments an image.

A 5 ms timer in the Qt loop notes how late it fires: that is how late a click or a
key would be answered. Needs a display::

    xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.stall

The rows: torch being imported in the background after the first image was opened;
the first run of the session, which makes the labels layer; a second run, which
replaces the labels; and a threshold that moves.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_seg.gui.sample_data import nuclei
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import JobState, Remembered

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEAT_MS = 5
P99_BAR_MS = 50
MAX_BAR_MS = 200
TORCH_S = 6.0


class Heartbeat(QObject):
    """Notes how much later than due each beat of a timer comes."""

    def __init__(self) -> None:
        super().__init__()
        self._late_ms: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT_MS)

    def stop(self) -> NDArray[np.float64]:
        """Return how late every beat was, in milliseconds."""
        self._timer.stop()
        return np.array(self._late_ms)

    def _beat(self) -> None:
        now = time.perf_counter()
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
    late = beat.stop()
    return {
        "seconds": round(seconds, 2),
        "median_ms": round(float(np.median(late)), 1),
        "p99_ms": round(float(np.percentile(late, 99)), 1),
        "max_ms": round(float(late.max()), 1),
        "over_50_ms": int((late > P99_BAR_MS).sum()),
        "beats": len(late),
    }


def mirrored_nuclei(size: int) -> NDArray[Any]:
    """Return the sample image, mirrored until it fills (size, size)."""
    image = nuclei()[0][0]
    missing = [(0, max(0, size - n)) for n in image.shape]
    return np.pad(image, missing, mode="symmetric")[:size, :size]


def run_all(widget: SegmentationWidget) -> list[dict[str, Any]]:
    """Return one row for each piece of work."""
    status = widget.controller.status
    threshold = widget.controller.settings.threshold

    def job(start: Callable[[], None]) -> Callable[[], None]:
        def work() -> None:
            status.state = JobState.IDLE
            start()
            wait(lambda: status.state in (JobState.DONE, JobState.FAILED))
            if status.state is JobState.FAILED:
                raise RuntimeError(status.message)

        return work

    def move_threshold() -> None:
        widget.segment_panel.threshold_requested.emit(threshold + 0.1)

    works = {
        "torch starts": lambda: idle(TORCH_S),
        "first run": job(widget.run),
        "second run": job(widget.run),
        "threshold moved": job(move_threshold),
    }
    return [{"work": name} | measure(work) for name, work in works.items()]


def main() -> None:
    """Run the benchmark and print one table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--model", default="nuclei-unet")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "System theme detection", UserWarning)
    viewer = napari.Viewer(show=True)
    with tempfile.TemporaryDirectory() as folder:
        remembered = Remembered(Path(folder) / "settings.json")
        widget = SegmentationWidget(viewer, remembered=remembered)
        viewer.window.add_dock_widget(widget, name="napari-seg")
        widget.segment_panel.model_requested.emit(args.model)
        idle(2)
        viewer.add_image(mirrored_nuclei(args.size), name="nuclei")
        rows = run_all(widget)
        viewer.close()
    # Not at the top: it imports torch, and how that is done is measured here.
    from benchmarks._table import report

    report(
        "stall",
        rows,
        size_px=args.size,
        bars_ms={"p99": P99_BAR_MS, "max": MAX_BAR_MS},
        passed=all(
            row["p99_ms"] < P99_BAR_MS and row["max_ms"] < MAX_BAR_MS for row in rows
        ),
        p99_ms={row["work"]: row["p99_ms"] for row in rows},
        max_ms={row["work"]: row["max_ms"] for row in rows},
    )


if __name__ == "__main__":
    main()
