"""Tiled prediction against MONAI's sliding window: same net, tile and overlap.

Both return class probabilities of the same image. The reference for the seam error
is one pass over the whole image. Needs ``pip install monai``.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor

from benchmarks._table import benchmark_model, nuclei, report, time_together
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.imaging.tiling import plan_tiles
from napari_seg.inference.device import Device
from napari_seg.inference.predictor import Predictor
from napari_seg.inference.reader import open_image
from napari_seg.inference.tiled import OVERLAP_PX
from napari_seg.inference.view import PlaneView, view_plane


def ours(predictor: Predictor, view: PlaneView, tile_px: int) -> NDArray[np.float32]:
    """Predict tile by tile and keep what saw enough context."""
    tiles = plan_tiles(view.shape, predictor.geometry(view.shape, tile_px))
    result = np.empty((3, *view.shape), np.float32)
    for tile in tiles:
        _, found = next(predictor.predict_tiles(view, [tile]))
        result[(slice(None), *tile.write)] = found
    return result


def main() -> None:
    """Time both, compare both with the untiled result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--model", default="nuclei-unet")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = benchmark_model(options.model).network
    view = view_plane(open_image(nuclei(options.side), "YX"), PlaneIndex(), 1.0)
    whole = view.read((slice(0, options.side), slice(0, options.side)))
    predictor = Predictor(network, Device("cpu", "CPU: chosen"))

    def probabilities(x: Tensor) -> Tensor:
        return torch.softmax(network(x)["out"], dim=1)

    def monai(mode: str) -> NDArray[np.float32]:
        with torch.inference_mode():
            found = sliding_window_inference(
                torch.from_numpy(whole[None]),
                (options.tile, options.tile),
                sw_batch_size=1,
                predictor=probabilities,
                overlap=2 * OVERLAP_PX / options.tile,
                mode=mode,
            )
        return found[0].numpy()

    runs = {
        "napari-seg": lambda: ours(predictor, view, options.tile),
        "monai, gaussian": lambda: monai("gaussian"),
        "monai, constant": lambda: monai("constant"),
    }
    with torch.inference_mode():
        reference = probabilities(torch.from_numpy(whole[None]))[0].numpy()
    seconds = time_together(runs, options.repeats)
    reference_time = seconds["monai, gaussian"]
    rows = []
    for name, function in runs.items():
        error = np.abs(function() - reference)
        rows.append(
            {
                "method": name,
                "seconds": seconds[name].wall,
                "ratio": seconds[name].wall / reference_time.wall,
                "processor ratio": seconds[name].cpu / reference_time.cpu,
                "mean error": float(error.mean()),
                "root mean square": float(np.sqrt((error**2).mean())),
                "largest error": float(error.max()),
                "labels flipped": float(
                    ((function()[0] < 0.5) != (reference[0] < 0.5)).mean()
                ),
            }
        )
    report(
        "tiling",
        rows,
        time_ratio=rows[0]["ratio"],
        processor_ratio=rows[0]["processor ratio"],
    )


if __name__ == "__main__":
    main()
