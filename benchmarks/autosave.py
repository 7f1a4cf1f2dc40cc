"""What saving each correction costs: on the main thread, and on disk.

Edits of 50 x 50 pixels in a volume of 64 x 1024 x 1024, with the autosave and
without, in turn. Time is processor time of the main thread for one edit; bytes are
those of the journal.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from psygnal import Signal

from benchmarks._table import report
from napari_seg.gui.autosave.controller import AutosaveController
from napari_seg.gui.jobs import Jobs
from napari_seg.state import Remembered

if TYPE_CHECKING:
    from napari.layers import Labels

SHAPE = (64, 1024, 1024)
EDIT = (1, 50, 50)
BAR_MS = 5.0
BAR_BYTES = 3.0


class Strip:
    """Takes what the controller tells a panel."""

    recover_requested = Signal()
    discard_requested = Signal()
    on_requested = Signal(bool)

    def set_offer(self, text: str) -> None:
        """Show nothing."""

    def set_on(self, is_on: bool, folder: str) -> None:
        """Show nothing."""


def edit(layer: Labels, number: int) -> float:
    """Draw a square as one step; return the milliseconds it took."""
    rng = np.random.default_rng(number)
    corner = [rng.integers(0, n - side) for n, side in zip(SHAPE, EDIT, strict=True)]
    places = np.indices(EDIT).reshape(3, -1) + np.array(corner)[:, None]
    began = time.thread_time()
    with layer.block_history():
        layer.data_setitem(tuple(places), number % 40 + 1)
    return (time.thread_time() - began) * 1000


def main() -> None:
    """Print one table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=100)
    count = parser.parse_args().edits
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "journals"
        viewers = [ViewerModel(), ViewerModel()]
        layers = [
            viewer.add_labels(np.zeros(SHAPE, np.int32), name="cells")
            for viewer in viewers
        ]
        jobs = Jobs()
        memory = Remembered(Path(folder) / "settings.json")
        saver = AutosaveController(viewers[1], Strip(), jobs, memory, root)
        times: list[list[float]] = [[], []]
        for number in range(count):
            # The second of two like edits finds the numbers in the cache: take turns.
            for kind in (0, 1) if number % 2 else (1, 0):
                times[kind].append(edit(layers[kind], number))
            jobs.pump()
        saver.close()
        size = sum(path.stat().st_size for path in root.rglob("*.bin"))
    plain, saved = (float(np.median(kind)) for kind in times)
    rows: list[dict[str, Any]] = [
        {"autosave": "off", "median_ms": round(plain, 3)},
        {"autosave": "on", "median_ms": round(saved, 3)},
    ]
    share = float(size / count / (4 * np.prod(EDIT)))
    report(
        "autosave",
        rows,
        added_ms=round(saved - plain, 3),
        bar_ms=BAR_MS,
        bytes_of_an_edit_by_its_box=round(share, 3),
        bar_bytes=BAR_BYTES,
        passed=saved - plain < BAR_MS and share < BAR_BYTES,
    )


if __name__ == "__main__":
    main()
