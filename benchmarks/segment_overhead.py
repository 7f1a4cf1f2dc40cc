"""Whole `segment` against the bare network on the same tiles.

Whole means: read a TIFF, normalise, predict, make instances, write the labels. Bare
means the forward passes alone, of the network as it is trained and as it is rewritten
for inference.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
import torch

from benchmarks._table import benchmark_model, nuclei, report, time_together
from napari_seg.data.io import read_image, write_labels
from napari_seg.imaging.tiling import plan_tiles
from napari_seg.inference.device import Device
from napari_seg.inference.predictor import Predictor
from napari_seg.inference.segment import segment


def main() -> None:
    """Time all three in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--model", default="nuclei-unet")
    parser.add_argument("--estimate", action="store_true", help="also the diameter")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = benchmark_model(options.model)
    diameter = None if options.estimate else model.card.object_diameter_px
    predictor = Predictor(model.network, Device("cpu", "CPU: chosen"))
    shape = (options.side, options.side)
    tiles = plan_tiles(shape, predictor.geometry(shape, 256))
    side = tiles[0].read[0].stop - tiles[0].read[0].start
    tile = np.random.default_rng(0).random((1, 1, side, side), np.float32)

    def bare() -> None:
        with torch.inference_mode():
            for _ in tiles:
                model.network(torch.from_numpy(tile))

    def rewritten() -> None:
        for _ in tiles:
            predictor.predict(tile)

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "image.tif"), Path(folder, "labels.tif")
        tifffile.imwrite(source, nuclei(options.side))

        def whole() -> None:
            data = read_image(source)
            result = segment(data.array, model, axes=data.axes, diameter_px=diameter)
            write_labels(target, result.labels, result.axes)

        runs = {"whole": whole, "rewritten network": rewritten, "bare network": bare}
        seconds = time_together(runs, options.repeats)
        parts = _stages(source, model, diameter)
    bare_time = seconds["bare network"]
    rows = [
        {
            "what": name,
            "seconds": s.wall,
            "processor": s.cpu,
            "to bare": s.cpu / bare_time.cpu,
        }
        for name, s in seconds.items()
    ]
    whole_time, bare_again = seconds["whole"], seconds["rewritten network"]
    rows += [
        {
            "what": f"  stage {k}",
            "seconds": s,
            "processor": s,
            "to bare": s / bare_time.cpu,
        }
        for k, s in parts.items()
    ]
    report(
        "segment_overhead",
        rows,
        tiles=len(tiles),
        ratio_to_bare=whole_time.wall / bare_time.wall,
        processor_ratio_to_bare=whole_time.cpu / bare_time.cpu,
        processor_ratio_to_rewritten=whole_time.cpu / bare_again.cpu,
    )


def _stages(source: Path, model: object, diameter: float | None) -> dict[str, float]:
    """Return the processor seconds that pass before each step of a stage."""
    from napari_seg.inference.segment import SegmentParams, iter_segment

    spent: dict[str, float] = {}
    data = read_image(source)
    params = SegmentParams(axes=data.axes, diameter_px=diameter)
    last = time.process_time()
    for step in iter_segment(data.array, model, params):  # type: ignore[arg-type]
        now = time.process_time()
        spent[step.stage] = spent.get(step.stage, 0.0) + now - last
        last = now
    return spent


if __name__ == "__main__":
    main()
