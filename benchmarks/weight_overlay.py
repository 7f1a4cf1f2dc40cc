"""How soon the border-weight overlay is right again after an edit.

4096 x 4096 pixels, 5,000 cells, edits of 50 x 50 pixels. First the core alone, and the
whole map for comparison; then a window, where an edit goes through napari's history and
on to the screen. Needs a display::

    xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.weight_overlay

``compute`` ends when the weights of the box are there, ``window`` when they are in the
layer, and ``on screen`` when the canvas has been painted with them (a software renderer
takes 40 ms for that alone, given as ``a bare repaint``).
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from benchmarks._window import idle, measure, wait
from benchmarks.weightmap import cells
from napari_seg.gui.panels.weights import WeightsPanel
from napari_seg.gui.pump import JobPump
from napari_seg.gui.weights.controller import WeightsController
from napari_seg.imaging.live_weights import LiveWeights
from napari_seg.state import Remembered
from napari_seg.training.targets import LOSS_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_seg.imaging.weightmap import BorderWeights

BAR_MS = 50
EDIT_PX = 50
Box = tuple[slice, slice]


def edit_boxes(side: int, count: int) -> list[Box]:
    """Return the places of the edits."""
    rng = np.random.default_rng(1)
    corners = rng.integers(0, side - EDIT_PX, (count, 2))
    return [(slice(y, y + EDIT_PX), slice(x, x + EDIT_PX)) for y, x in corners.tolist()]


def summary(work: str, seconds: list[float]) -> dict[str, Any]:
    """Return one row of the table."""
    ms = np.array(seconds) * 1000
    return {
        "work": work,
        "median_ms": round(float(np.median(ms)), 1),
        "p95_ms": round(float(np.percentile(ms, 95)), 1),
        "max_ms": round(float(ms.max()), 1),
        "times": len(ms),
    }


def error(
    labels: NDArray[np.int32], weights: NDArray[np.float32], params: BorderWeights
) -> float:
    """Return the largest error in w0 of the overlay against the whole."""
    return float(np.abs(params.weigh(labels) - weights).max()) / params.w0


def core(
    labels: NDArray[np.int32], params: BorderWeights, boxes: list[Box]
) -> tuple[list[float], float]:
    """Return the seconds each edit takes, and the error after all of them."""
    live = LiveWeights(labels, (0, 1), params)
    weights = np.zeros(labels.shape, np.float32)

    def drain(first_only: bool) -> float:
        began, first = time.perf_counter(), 0.0
        for step in live.steps():
            if step.weights is not None:
                weights[step.box] = step.weights
                first = first or time.perf_counter() - began
        return first if first_only else time.perf_counter() - began

    drain(first_only=False)
    seconds = []
    for number, box in enumerate(boxes):
        labels[box] = 10_000 + number
        live.mark(box)
        seconds.append(drain(first_only=True))
    return seconds, error(labels, weights, params)


class Window:
    """A viewer with labels and the overlay over them."""

    def __init__(self, labels: NDArray[np.int32], folder: str) -> None:
        self.viewer = napari.Viewer(show=True)
        self.layer = self.viewer.add_labels(labels, name="cells")
        self.panel = WeightsPanel()
        remembered = Remembered(Path(folder) / "settings.json")
        jobs = JobPump(self.panel).jobs
        self.controller = WeightsController(self.viewer, self.panel, jobs, remembered)
        self.viewer.window.add_dock_widget(self.panel, name="Weights")
        idle(1)

    def rest(self) -> None:
        """Wait until the overlay is complete."""
        view = self.controller.view
        wait(lambda: view.live.is_idle and view._job is None)
        idle(0.3)

    def edit(self, box: Box, label: int) -> tuple[float, float]:
        """Edit as a tool would; return when it was in the layer, and on the screen."""
        view = self.controller.view
        grid = np.mgrid[box].reshape(2, -1)
        done: list[float] = []
        write = view.overlay.write

        def noted_write(*args: Any) -> bool:
            is_seen = write(*args)
            done.append(time.perf_counter())
            return is_seen

        view.overlay.write = noted_write
        began = time.perf_counter()
        self.layer.data_setitem(tuple(grid), label)
        wait(lambda: bool(done))
        wait(lambda: not view._is_repaint_due)
        QApplication.processEvents()
        painted = time.perf_counter()
        view.overlay.write = write
        self.rest()
        return done[0] - began, painted - began


def window(
    labels: NDArray[np.int32], boxes: list[Box]
) -> tuple[list[dict[str, Any]], dict[str, Any], float]:
    """Return the rows of the table, the stalls, and the error after the edits."""
    with tempfile.TemporaryDirectory() as folder:
        made = Window(labels, folder)
        made.panel.shown.click()
        made.rest()
        edits = [made.edit(box, 20_000 + i) for i, box in enumerate(boxes)]
        bare = []
        for _ in range(10):
            began = time.perf_counter()
            made.controller.view.overlay.layer.opacity = 0.9 + 0.01 * (len(bare) % 2)
            QApplication.processEvents()
            bare.append(time.perf_counter() - began)
        rows = [
            summary("window, in the layer", [seconds for seconds, _ in edits]),
            summary("window, on screen", [seconds for _, seconds in edits]),
            summary("a bare repaint", bare),
        ]
        stalls = {
            "w0 and sigma move": measure(slide(made)),
            "five edits": measure(lambda: many(made, boxes[:5])),
        }
        view = made.controller.view
        off = error(labels, view.overlay.weights, view.live.params)
        made.controller.close()
        made.viewer.close()
    return rows, stalls, off


def slide(made: Window) -> Callable[[], None]:
    """Return the work of moving both sliders, some 25 values a second."""

    def work() -> None:
        for value in np.linspace(4, 16, 25):
            made.panel.w0.setValue(float(value))
            idle(0.04)
        for value in np.linspace(5, 3, 25):
            made.panel.sigma.setValue(float(value))
            idle(0.04)
        made.rest()

    return work


def many(made: Window, boxes: list[Box]) -> None:
    """Edit several places."""
    for number, box in enumerate(boxes):
        made.edit(box, 30_000 + number)


def main() -> None:
    """Run the benchmark and print one table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--edits", type=int, default=30)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "System theme detection", UserWarning)
    labels = cells(args.cells, args.side)
    boxes = edit_boxes(args.side, args.edits)
    began = time.perf_counter()
    LOSS_WEIGHTS.weigh(labels)
    whole = time.perf_counter() - began
    plain, plain_error = core(labels.copy(), LOSS_WEIGHTS, boxes)
    balanced = replace(LOSS_WEIGHTS, balance_classes=True)
    even, even_error = core(labels.copy(), balanced, boxes)
    rows, stalls, window_error = window(labels, boxes)
    rows = [
        summary("the whole", [whole]),
        summary("compute", plain),
        summary("compute, classes balanced", even),
        *rows,
    ]
    # Not at the top: it imports torch, which the window does not.
    from benchmarks._table import report

    worst = {row["work"]: row["p95_ms"] for row in rows}
    report(
        "weight_overlay",
        rows,
        bar_ms=BAR_MS,
        passed=worst["window, in the layer"] < BAR_MS,
        p95_ms=worst,
        stalls_ms={name: stall["max_ms"] for name, stall in stalls.items()},
        stalls_p99_ms={name: stall["p99_ms"] for name, stall in stalls.items()},
        largest_error_in_w0={
            "compute": plain_error,
            "compute, classes balanced": even_error,
            "window": window_error,
        },
    )


if __name__ == "__main__":
    main()
