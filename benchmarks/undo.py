"""Undo and redo of 100 edits of a large volume: time of each, memory of them all.

Each edit adds an ellipsoid of up to 40 x 100 x 100 voxels with a ragged surface. The
rows: `History`, which scripts use, and the undo of a napari labels layer in a window,
which the Correct panel writes into, with the repaint that follows. Needs a display::

    xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.undo
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks._table import report
from napari_seg.imaging.edits import add_object
from napari_seg.imaging.history import History

if TYPE_CHECKING:
    from napari_seg.imaging.deltas import LabelEdit

SHAPE = (64, 1024, 1024)
EDITS = 100
TIME_BAR_MS = 100
MEMORY_BAR = 0.02
LARGEST = np.array([20, 50, 50])
"""Half axes."""

Labels = NDArray[np.int32]


class Undoing(Protocol):
    """What is measured: `History` or `LayerHistory`."""

    def apply(self, edit: LabelEdit) -> object:
        """Write an edit as one step."""

    def undo(self) -> object:
        """Take the last step back."""

    def redo(self) -> object:
        """Repeat it."""


def edits(labels: Labels, count: int, seed: int = 0) -> Iterator[LabelEdit]:
    """Yield edits of the labels as they are when each one is asked for."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        half = (LARGEST * rng.uniform(0.4, 1, 3)).astype(int)
        sides = [slice(-h, h + 1) for h in half]
        steps = np.mgrid[tuple(sides)] / np.reshape(half, (3, 1, 1, 1))
        ragged = rng.normal(0, 0.05, steps.shape[1:])
        mask = (steps**2).sum(axis=0) + ragged < 1
        room = np.subtract(labels.shape, mask.shape)
        start = [int(rng.integers(0, r + 1)) for r in np.maximum(room, 0)]
        mask = mask[tuple(slice(0, n) for n in labels.shape)]
        yield add_object(labels, start, mask, 1000 + number, overwrite=True)


def blobs(shape: tuple[int, ...]) -> Labels:
    """Return labels with an object in every cell of a grid."""
    z, y, x = np.indices(shape, sparse=True)
    number = (y // 64) * (shape[2] // 64) + x // 64 + 1
    inside = ((y % 64 - 32) ** 2 + (x % 64 - 32) ** 2) < 24**2
    return np.broadcast_to(np.where(inside, number, 0) + 0 * z, shape).astype(np.int32)


def measure(
    name: str,
    labels: Labels,
    history: Undoing,
    repaint: Callable[[], None] | None = None,
) -> list[dict[str, Any]]:
    """Return a row of the table, and one with the repaint where there is a window."""
    settle = repaint or (lambda: None)
    before = labels.copy()
    memory = _memory(labels, history, settle)
    after = labels.copy()
    undo = [_ms(history.undo, settle) for _ in range(EDITS)]
    assert np.array_equal(labels, before), "undo did not restore every voxel"
    redo = [_ms(history.redo, settle) for _ in range(EDITS)]
    assert np.array_equal(labels, after), "redo did not repeat every voxel"
    rows = []
    for column, what in enumerate([name, f"{name}, repainted"][: 2 if repaint else 1]):
        back, again = np.array(undo)[:, column], np.array(redo)[:, column]
        row = {
            "history": what,
            "undo_ms": float(np.median(back)),
            "undo_max_ms": float(back.max()),
            "redo_ms": float(np.median(again)),
            "redo_max_ms": float(again.max()),
            "memory_mb": memory / 2**20,
            "of_layer": memory / labels.nbytes,
        }
        rows.append(row)
    return rows


def _memory(labels: Labels, history: Undoing, settle: Callable[[], None]) -> int:
    """Make all edits; return the bytes that stay allocated because of them."""
    gc.collect()
    tracemalloc.start()
    first = tracemalloc.get_traced_memory()[0]
    for edit in edits(labels, EDITS):
        history.apply(edit)
        settle()
    del edit
    gc.collect()
    memory = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    return memory


def _ms(act: Callable[[], object], settle: Callable[[], None]) -> tuple[float, float]:
    """Return the time of a step, and until the window shows it."""
    started = time.perf_counter()
    act()
    done = time.perf_counter()
    settle()
    return 1000 * (done - started), 1000 * (time.perf_counter() - started)


@contextmanager
def layer_history(labels: Labels) -> Iterator[tuple[Undoing, Callable[[], None]]]:
    """Open labels in a window; yield their history and what repaints them."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_seg.gui.correction.history import LayerHistory
    from napari_seg.gui.correction.target import make_target

    warnings.filterwarnings("ignore", "System theme detection", UserWarning)
    viewer = napari.Viewer(show=True)
    try:
        image = viewer.add_image(np.zeros(labels.shape, np.uint8), name="image")
        layer = viewer.add_labels(labels, name="labels")
        viewer.dims.set_point(0, labels.shape[0] // 2)
        QApplication.processEvents()
        yield LayerHistory(make_target(layer, [image])), QApplication.processEvents
    finally:
        viewer.close()


def main() -> None:
    """Run the benchmark and print one table and one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE)
    parser.add_argument("--no-window", action="store_true", help="the library alone")
    options = parser.parse_args()
    shape = tuple(options.shape)
    labels = blobs(shape)
    rows = measure("History", labels, History(labels))
    if not options.no_window:
        labels = blobs(shape)
        with layer_history(labels) as (history, settle):
            rows += measure("labels layer", labels, history, settle)
    slowest = max(max(row["undo_max_ms"], row["redo_max_ms"]) for row in rows)
    most = max(row["of_layer"] for row in rows)
    report(
        "undo",
        rows,
        shape=shape,
        edits=EDITS,
        bars={"ms": TIME_BAR_MS, "of_layer": MEMORY_BAR},
        slowest_ms=slowest,
        most_of_layer=most,
        passed=slowest < TIME_BAR_MS and most < MEMORY_BAR,
    )


if __name__ == "__main__":
    main()
