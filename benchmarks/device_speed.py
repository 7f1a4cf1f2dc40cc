"""Throughput of a device: the tiled network against a bare loop, and end to end.

Of each model one image goes through these in turns, `--repeats` times:

- ``bare loop``: its tiles, cut and stacked beforehand, are moved to the device, through
  the network in half precision and channels last, and the classes moved back;
- ``network``: what `segment` does up to the probabilities: read, normalise, cut,
  predict, put together;
- ``end to end``: read a TIFF, segment, write the labels.

``forward alone`` leaves the moving out: it says what the device can do at most.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
import torch

from benchmarks._table import benchmark_model, nuclei, report, time_together
from napari_seg.data.io import read_image, write_labels
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.inference.cutting import read_tiles
from napari_seg.inference.dense_job import DenseJob
from napari_seg.inference.device import Device, choose_device
from napari_seg.inference.engine import make_job, open_predictor
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.segment import open_for, segment
from napari_seg.inference.view import view_plane

if TYPE_CHECKING:
    from napari_seg.models.checkpoint import Checkpoint

SHIPPED = ("nuclei-unet", "nuclei-dpt", "nuclei-maskrcnn")
"""One of each family; the other shipped models are U-Nets, too."""


def ways(
    model: Checkpoint, device: Device, side: int, folder: Path, is_compiled: bool
) -> dict[str, Callable[[], object]]:
    """Return what is timed."""
    source = folder / f"{side}.tif"
    tifffile.imwrite(source, nuclei(side))
    diameter = model.card.object_diameter_px
    params = SegmentParams(axes="YX", diameter_px=diameter, device=device.name)

    def end_to_end() -> None:
        data = read_image(source)
        result = segment(
            data.array,
            model,
            axes=data.axes,
            device=device.name,
            diameter_px=diameter,
            keep_probabilities=False,
            compile=is_compiled,
        )
        write_labels(folder / "labels.tif", result.labels, result.axes)

    image = read_image(source).array
    predictor = open_predictor(model, device, is_compiled=is_compiled)
    job = make_job(
        open_for(model, image, params), predictor, model, params, float(diameter)
    )
    found: dict[str, Callable[[], object]] = {"end to end": end_to_end}
    view = view_plane(job.reader, PlaneIndex(), job.zoom)
    if not isinstance(job, DenseJob):
        return found
    numbers = list(range(len(job.tiles)))
    size = job.predictor.batch
    batches = [numbers[i : i + size] for i in range(0, len(numbers), size)]
    stacked = [read_tiles(view, [job.tiles[i] for i in batch]) for batch in batches]
    there = [torch.from_numpy(x).to(device.name) for x in stacked]
    classes = np.zeros((len(model.card.classes), side, side), np.float32)

    plain = deepcopy(model.network).to(device.name).eval()
    plain.to(memory_format=torch.channels_last)
    half = job.predictor.half

    @torch.inference_mode()
    def classified(x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, half, enabled=half is not None):
            logits = plain(x)["out"]
        return torch.softmax(logits.float(), 1)

    def bare() -> None:
        for x in stacked:
            classified(torch.from_numpy(x).to(device.name)).cpu().numpy()

    def forward() -> None:
        for x in there:
            last = classified(x)
        last.flatten()[0].item()  # waits for the device

    def network() -> None:
        fresh = view_plane(open_for(model, image, params), PlaneIndex(), job.zoom)
        for _, tiles in job.iter_predicted(fresh, batches):
            for tile, part in tiles:
                classes[(slice(None), *tile.write)] = part

    return {"forward alone": forward, "bare loop": bare, "network": network, **found}


def main() -> None:
    """Print megapixels a second and the ratios to the bare loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=SHIPPED)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument(
        "--compile", action="store_true", help="Compile what is not the bare loop."
    )
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    device = choose_device(options.device)
    rows, ratios = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            model, place = benchmark_model(name), Path(folder)
            runs = ways(model, device, options.side, place, options.compile)
            took = time_together(runs, options.repeats)
            rows += [
                {
                    "model": name,
                    "what": what,
                    "seconds": wall,
                    "of the processor": cpu,
                    "megapixels/s": options.side**2 / 1e6 / wall,
                }
                for what, (wall, cpu) in took.items()
            ]
            if "network" in took:
                ratios[name] = took["bare loop"].wall / took["network"].wall
    report("device_speed", rows, device=device.reason, ratio_to_bare=ratios)


if __name__ == "__main__":
    main()
