"""How long the window stands still while a volume on disk is segmented and watched.

A stack of mirrored nuclei is written to Zarr and segmented by the section *Large
volume*, while a 5 ms timer in the Qt loop notes how late it fires. Needs a display::

    xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.volume_stall
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import dask.array as da
import napari
import numpy as np
import zarr

from benchmarks._window import idle, measure, wait
from benchmarks.stall import mirrored_nuclei
from napari_seg.gui.engine import Engine
from napari_seg.gui.widget import SegmentationWidget
from napari_seg.state import Remembered

TORCH_S = 6.0


def main() -> None:
    """Measure one run with workers of its own."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--planes", type=int, default=16)
    made.add_argument("--side", type=int, default=1024)
    made.add_argument("--workers", type=int, default=1)
    options = made.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plane = mirrored_nuclei(options.side)
        stored = zarr.create_array(
            folder / "v.zarr",
            shape=(options.planes, *plane.shape),
            chunks=(16, 256, 256),
            dtype=plane.dtype,
        )
        stored[...] = np.broadcast_to(plane, stored.shape)
        viewer = napari.Viewer()
        widget = SegmentationWidget(viewer, Engine(), Remembered(folder / "s.json"))
        viewer.window.add_dock_widget(widget)
        viewer.add_image(da.from_zarr(stored), name="v")
        widget.controller.settings.diameter_px = 28.0
        box = widget.segment_panel.volume
        widget.segment_panel.volume_fold.set_open(True)
        box.set_workers(options.workers)
        idle(TORCH_S)

        def work() -> None:
            box.run.click()
            wait(box.run.isEnabled)

        print(measure(work))
        print(box.note.text(), [layer.name for layer in viewer.layers])
        viewer.close()


if __name__ == "__main__":
    main()
