"""Correcting labels on disk that no memory holds: how soon, and how much it takes.

Labels of 2,000 x 4,096 x 4,096 voxels (uint32, 134 GB, sparse on disk) and an image as
large, both zarr arrays, in a window. Edits go on all over the volume, with the Correct
panel and real mouse events: a graph cut (a stroke over an object, one beside it, kept
with Enter), then in turn napari's eraser, filling holes, a split, a merge, a delete
and undo. The border weights are shown all the time. Needs a display::

    xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.scale

``stroke to mask`` is from the release of the mouse until the proposed mask is there;
of the other rows from the request until the labels have changed and the screen was
told. ``growth`` is what the program and its helpers take more after all edits than
after the first round of them, which loads what it loads once.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import psutil
import zarr
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from benchmarks._window import Pointer, idle, wait
from benchmarks.correct_stall import ellipsoid
from napari_seg.gui.correction.tools import Tool
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import Remembered

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (2000, 4096, 4096)
CHUNKS = (32, 256, 256)
IMAGE_CHUNKS = (16, 128, 128)
HALF = np.array((14, 45, 45))
APART = 2.4
"""Distance of the two objects of a pair, in half axes."""
STROKE_BAR_MS = 500
GROWTH_BAR_MB = 300


def spots(shape: tuple[int, ...], count: int) -> NDArray[np.intp]:
    """Return the middles of pairs of objects, spread over the volume."""
    rng = np.random.default_rng(0)
    room = np.array([40, 200, 200])
    return rng.integers(room, np.array(shape) - room, (count, 3))


def pair(spot: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return the centres of the two objects at a spot."""
    step = np.array([0, 0, round(APART * HALF[2] / 2)])
    return [spot - step, spot + step]


def moved(place: NDArray[np.intp], *way: int) -> NDArray[np.intp]:
    """Return a place some voxels further."""
    return place + np.array(way)


def draw(image: Any, spot: NDArray[np.intp]) -> None:
    """Draw two bright, noisy objects into an image on disk."""
    rng = np.random.default_rng(int(spot.sum()))
    reach = np.array([24, 80, 150])
    low = np.maximum(spot - reach, 0)
    place = tuple(
        slice(int(a), int(min(b, n)))
        for a, b, n in zip(low, spot + reach, image.shape, strict=True)
    )
    block = rng.normal(60, 6, [s.stop - s.start for s in place])
    for centre in pair(spot):
        box, inside = ellipsoid(centre, HALF)
        own = tuple(
            slice(b.start - s.start, b.stop - s.start)
            for b, s in zip(box, place, strict=True)
        )
        block[own] += 90 * inside
    image[place] = block.clip(0, 255).astype(np.uint8)


def memory_mb() -> float:
    """Return what this program and its helpers hold."""
    gc.collect()
    me = psutil.Process()
    return sum(p.memory_info().rss for p in (me, *me.children(True))) / 2**20


class User:
    """Corrects pairs of objects; notes how long each kind of edit takes.

    Parameters
    ----------
    viewer : napari.Viewer
    widget : SegmentationWidget
    """

    def __init__(self, viewer: napari.Viewer, widget: SegmentationWidget) -> None:
        self.ms: dict[str, list[float]] = defaultdict(list)
        self.edits = 0
        self._viewer = viewer
        self._corrector = widget.corrector
        self._weigher = widget.weigher
        self._panel = widget.correct_panel
        widget.tabs.setCurrentWidget(self._panel)
        assert self._corrector.desk is not None
        self._layer = self._corrector.desk.target.layer
        self._pointer = Pointer(viewer, self._layer)

    def id_at(self, place: NDArray[np.intp]) -> int:
        """Return the id of a voxel, as it is on disk."""
        return int(np.asarray(self._layer.data[tuple(int(i) for i in place)]))

    def go_to(self, spot: NDArray[np.intp]) -> None:
        """Bring a spot into view."""
        world = self._layer.data_to_world(spot)
        self._viewer.dims.set_point(range(3), world)
        self._viewer.scene.camera.center = tuple(world)
        self._viewer.scene.camera.zoom = 2.0
        idle(0.3)
        self.timed("weights, another plane", lambda: wait(self._is_weighed, 120))

    def _is_weighed(self) -> bool:
        """Whether the weights of all that is seen are right."""
        view = self._weigher.view
        if view is None:
            return True
        live = view.live
        seen = live.tiles.touching(view.grid.view(self._viewer))
        return not (live._patches or live._dirty[seen].any())

    def timed(self, what: str, act: Callable[[], object]) -> None:
        """Do something; note the time until the screen was told."""
        began = time.perf_counter()
        act()
        QApplication.processEvents()
        self.ms[what].append(1000 * (time.perf_counter() - began))

    def cut(self, centre: NDArray[np.intp]) -> int:
        """Add an object by a stroke over it and one beside it; return its id."""
        z, y, x = centre
        self._panel.new_object_requested.emit()
        idle(0.05)
        over = [(z, y, x + t) for t in np.linspace(-20, 20, 8)]
        self._stroke(over, Qt.KeyboardModifier.NoModifier)
        beside = [(z, y + HALF[1] + 12, x + t) for t in np.linspace(-8, 8, 5)]
        self._stroke(beside, Qt.KeyboardModifier.ShiftModifier)
        self.timed("keep a cut", self._keep)
        self.timed("weights, after that", lambda: wait(self._is_weighed, 120))
        return self.id_at(centre)

    def press(self, what: str, signal: str) -> None:
        """Press a button of the panel; wait until it is done."""

        def act() -> None:
            getattr(self._panel, f"{signal}_requested").emit()
            wait(lambda: not self._corrector._jobs.is_busy, 600)

        self.timed(what, act)
        self.edits += 1

    def use(self, tool: Tool, path: list[tuple[float, ...]], what: str) -> None:
        """Draw with a tool that acts when the button is released."""
        self.take(tool)
        self._pointer.drag(path)
        self.timed(what, lambda: wait(lambda: not self._corrector._jobs.is_busy, 600))
        self.edits += 1

    def split(self, centre: NDArray[np.intp]) -> None:
        """Split an object by two strokes."""
        self.take(Tool.SPLIT)
        z, y, x = centre
        for side in (-1, 1):
            path = [(z, y + t, x + side * 20) for t in np.linspace(-10, 10, 5)]
            self._pointer.drag(path)
        busy = self._corrector._jobs
        self.timed("split", lambda: wait(lambda: not busy.is_busy, 600))
        self.timed("keep a split", self._keep)

    def erase(self, centre: NDArray[np.intp]) -> None:
        """Erase a dab with napari's own eraser."""
        self._corrector.set_tool(None)
        self._viewer.layers.selection.active = self._layer
        self._layer.mode = "erase"
        z, y, x = centre
        self.timed(
            "napari's eraser",
            lambda: self._pointer.drag(
                [(z, y, x + t) for t in np.linspace(-5, 5, 5)], step_s=0.0
            ),
        )
        self._layer.mode = "pan_zoom"
        self.edits += 1

    def take(self, tool: Tool) -> None:
        """Take a tool, unless it is in hand."""
        if self._corrector.tool is not tool:
            self._panel.tool_requested.emit(tool)
            idle(0.05)

    def pick(self, centre: NDArray[np.intp]) -> None:
        """Take the object at a place in hand."""
        self.take(Tool.PICK)
        self._pointer.drag([tuple(centre)])

    def _keep(self) -> None:
        self._panel.commit_requested.emit()
        wait(lambda: not self._corrector.has_pending, 60)
        self.edits += 1

    def _stroke(self, path: list[tuple[float, ...]], held: Qt.KeyboardModifier) -> None:
        self.take(Tool.OBJECT)
        self._pointer.drag(path, held=held)
        queue = self._corrector.hand._queue  # type: ignore[union-attr]
        self.timed("stroke to mask", lambda: wait(lambda: queue.is_idle, 60))


def work(user: User, spot: NDArray[np.intp]) -> None:
    """Correct what is at one spot with every tool."""
    user.go_to(spot)
    first, second = pair(spot)
    ids = [user.cut(first), user.cut(second)]
    assert 0 < ids[0] < ids[1], ids
    user.erase(first)
    user.pick(moved(first, 0, 30, 0))
    user.press("fill holes", "fill")
    assert user.id_at(first) == ids[0], "the hole was not filled"
    user.split(second)
    assert user.id_at(moved(second, 0, 0, -20)) != user.id_at(moved(second, 0, 0, 20))
    z, y, x = spot
    across = [(z, y, x + t) for t in np.linspace(-70, 30, 12)]
    user.use(Tool.MERGE, across, "merge")
    assert user.id_at(moved(second, 0, 0, -20)) == ids[0], "not merged"
    user.press("undo", "undo")
    assert user.id_at(moved(second, 0, 0, -20)) != ids[0], "not taken back"
    user.use(Tool.DELETE, [tuple(first)], "delete")
    assert user.id_at(first) == 0, "not deleted"
    user.press("undo", "undo")
    assert user.id_at(first) == ids[0], "not there again"


def rows_of(ms: dict[str, list[float]]) -> Iterator[dict[str, Any]]:
    """Return the lines of the table."""
    for what, times in ms.items():
        yield {
            "work": what,
            "times": len(times),
            "p50_ms": float(np.median(times)),
            "p95_ms": float(np.percentile(times, 95)),
            "max_ms": max(times),
        }


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE)
    parser.add_argument("--chunks", type=int, nargs=3, default=CHUNKS)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=np.inf, help="at most")
    parser.add_argument("--volume", action="store_true", help="cut through planes")
    parser.add_argument("--no-weights", action="store_true", help="hide the overlay")
    parser.add_argument("--screenshot", type=Path, help="of the window at the end")
    return parser.parse_args()


def main() -> None:
    """Run the benchmark and print one table and one JSON line."""
    options = parsed()
    shape = tuple(options.shape)
    warnings.filterwarnings("ignore", "System theme detection", UserWarning)
    with tempfile.TemporaryDirectory() as folder:
        image, labels = (
            zarr.create_array(
                f"{folder}/{name}.zarr",
                shape=shape,
                chunks=tuple(min(a, b) for a, b in zip(chunks, shape, strict=True)),
                dtype=dtype,
                fill_value=fill,
            )
            for name, chunks, dtype, fill in (
                ("image", IMAGE_CHUNKS, "u1", 60),
                ("labels", tuple(options.chunks), "u4", 0),
            )
        )
        rounds = spots(shape, -(-options.edits // 9))
        for spot in rounds:
            draw(image, spot)
        viewer = napari.Viewer(show=True)
        remembered = Remembered(Path(folder) / "settings.json")
        widget = SegmentationWidget(viewer, remembered=remembered)
        viewer.window.add_dock_widget(widget, name="napari-seg")
        viewer.add_image(image, name="cells", contrast_limits=(0, 255))
        began = time.perf_counter()
        viewer.add_labels(labels, name="labels")
        viewer.window.resize(1580, 960)
        viewer.window._qt_window.activateWindow()
        idle(1)
        wait(lambda: widget.corrector.desk.object_id > 0, 900)
        opened = time.perf_counter() - began
        user = User(viewer, widget)
        widget.correct_panel.volume_requested.emit(options.volume)
        if not options.no_weights:
            widget.weights_panel.shown_requested.emit(True)
        after_first = 0.0
        until = time.perf_counter() + options.seconds
        for number, spot in enumerate(rounds):
            if time.perf_counter() > until:
                break
            work(user, spot)
            if number == 1:
                after_first, edits_first = memory_mb(), user.edits
                user.ms.clear()
        growth = memory_mb() - after_first
        rows = list(rows_of(user.ms))
        if options.screenshot:
            viewer.screenshot(str(options.screenshot), canvas_only=False, flash=False)
        viewer.close()
    # Not at the top: it imports torch, which is no part of correcting.
    from benchmarks._table import report

    stroke = next(row for row in rows if row["work"] == "stroke to mask")
    report(
        "scale",
        rows,
        shape=shape,
        chunks=options.chunks,
        opened_s=opened,
        load=os.getloadavg()[0],
        edits=user.edits - edits_first,
        growth_mb=growth,
        bars={"stroke to mask p95_ms": STROKE_BAR_MS, "growth_mb": GROWTH_BAR_MB},
        passed=stroke["p95_ms"] < STROKE_BAR_MS and growth < GROWTH_BAR_MB,
    )


if __name__ == "__main__":
    main()
