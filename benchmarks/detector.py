"""A detector's `segment` against its bare passes, and its growth with the area.

Bare means `Detector.detect` on the same blocks of the same image, so that the network
finds as many objects as in the whole run: what is left is reading, painting, joining
and numbering. Time is that of the processor, all threads together. If objects were
compared with all others, time per megapixel would grow with the side.
"""

from __future__ import annotations

import argparse
import time

import torch

from benchmarks._table import nuclei, report
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.imaging.stitching import plan_blocks
from napari_seg.inference.detector import Detector
from napari_seg.inference.device import Device
from napari_seg.inference.reader import open_image
from napari_seg.inference.segment import segment
from napari_seg.inference.view import view_plane
from napari_seg.models.checkpoint import load_model


def main() -> None:
    """Segment larger and larger images, and run the network alone on each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nuclei-maskrcnn")
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model(options.model)
    diameter = model.card.object_diameter_px
    detector = Detector(model.network, Device("cpu", "CPU: chosen"))
    rows = []
    for side in options.sides:
        image = nuclei(side, diameter)
        started = time.process_time()
        found = segment(
            image, model, axes="YX", diameter_px=diameter, keep_probabilities=False
        )
        whole = time.process_time() - started
        halo = found.halo_px
        core = max(256, 2 * halo)
        view = view_plane(open_image(image, "YX"), PlaneIndex(), 1.0)
        blocks = plan_blocks(image.shape, core, halo)
        tiles = [view.read(block.read) for block in blocks]
        started = time.process_time()
        for tile in tiles:
            detector.detect(tile)
        bare = time.process_time() - started
        rows.append(
            {
                "side": side,
                "objects": int(found.labels.max()),
                "blocks": len(blocks),
                "whole, s": whole,
                "bare, s": bare,
                "to bare": whole / bare,
                "s per megapixel": whole / side**2 * 1e6,
            }
        )
    growth = rows[-1]["s per megapixel"] / rows[0]["s per megapixel"]
    report("detector", rows, growth_per_area=growth)


if __name__ == "__main__":
    main()
