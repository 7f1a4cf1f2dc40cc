"""How soon refined outlines are seen after a slider moved, and if the window lives.

In a real window with an image of 512 x 512 px (``--size``), all of it in view: from the
moved slider to the labels on the screen, the moment that a slider must rest included.
Each turn has other settings, as a hand at the slider has. Needs a display::

    xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.refine_preview
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._window import docked_panel, idle, measure, wait
from benchmarks.stall import mirrored_nuclei
from napari_seg.refine.crf import CRF_PRESETS

if TYPE_CHECKING:
    from napari_seg.gui.widget import SegmentationWidget

BAR_MS = 300
STALL_BAR_MS = 50


def turns(widget: SegmentationWidget, count: int) -> list[float]:
    """Move the slider so many times; return milliseconds to the picture of each."""
    shown = 0
    show = widget.refiner.preview.show

    def counted(*args: object) -> None:
        nonlocal shown
        show(*args)  # type: ignore[arg-type]
        shown += 1

    widget.refiner.preview.show = counted  # type: ignore[method-assign]
    took = []
    for turn in range(count):
        weight = 0.5 + 0.1 * (turn % 7)
        params = replace(CRF_PRESETS["general"], appearance_weight=weight)
        before, began = shown, time.perf_counter()
        widget.segment_panel.refine.params_requested.emit(params)
        wait(lambda before=before: shown > before)  # type: ignore[misc]
        took.append((time.perf_counter() - began) * 1000)
        idle(0.2)
    widget.refiner.preview.show = show  # type: ignore[method-assign]
    return took


def main() -> None:
    """Print one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--model", default="nuclei-unet")
    options = parser.parse_args()
    with docked_panel() as (viewer, widget):
        widget.segment_panel.model_requested.emit(options.model)
        viewer.add_image(mirrored_nuclei(options.size), name="nuclei")
        idle(2)
        widget.run()
        wait(lambda: not widget.controller.status.state.is_active)
        viewer.reset_view()
        widget.segment_panel.refine.preview.setChecked(True)
        wait(lambda: widget.refiner.preview.is_shown)
        idle(1)
        took: list[float] = []
        stalls = measure(lambda: took.extend(turns(widget, options.turns)))
        widget.refiner.set_on(False)
    from benchmarks._table import report

    median, p95 = (round(float(np.percentile(took, q))) for q in (50, 95))
    row = {"size": options.size, "median": median, "p95": p95} | stalls
    bars = {"preview_ms": BAR_MS, "late_p99_ms": STALL_BAR_MS}
    report("refine_preview", [row], table=[row], bars=bars)


if __name__ == "__main__":
    main()
