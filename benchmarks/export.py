"""Export to COCO against bare pycocotools encoding plus file writing.

Both write the same PNG images and one JSON file; the bare one encodes each object as a
mask of the whole image, as pycocotools has it, and writes run lengths only.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coder

from benchmarks._table import nuclei, report, time_together
from benchmarks.weightmap import cells
from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.formats.coco import write_coco

SIDE, OBJECTS = 512, 40


def items(count: int, *, with_images: bool) -> list[AnnotatedImage]:
    """Make images of 40 objects each; a few planes, shifted, stand for all of them."""
    kinds = [cells(OBJECTS, SIDE, seed) for seed in range(min(count, 10))]
    picture = nuclei(SIDE)
    return [
        AnnotatedImage(
            f"image{number:05d}",
            kinds[number % len(kinds)],
            image=np.roll(picture, number, axis=1) if with_images else None,
        )
        for number in range(count)
    ]


def bare(images: list[AnnotatedImage], out: Path) -> None:
    """Encode every object with pycocotools, and write what COCO needs."""
    (out / "images").mkdir(parents=True)
    described: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, item in enumerate(images, start=1):
        name = f"{item.name}.png"
        if item.image is not None:
            Image.fromarray(item.image).save(out / "images" / name)
        described.append(
            {"id": number, "file_name": name, "height": SIDE, "width": SIDE}
        )
        labels = np.asfortranarray(item.labels)  # as the encoder wants its masks
        for object_id in np.unique(labels)[1:]:
            runs = coder.encode((labels == object_id).view(np.uint8))
            entry = {"id": len(annotations) + 1, "image_id": number, "category_id": 1}
            entry |= {"area": int(coder.area(runs)), "iscrowd": 0}
            entry["bbox"] = coder.toBbox(runs).tolist()
            entry["segmentation"] = {**runs, "counts": runs["counts"].decode("ascii")}
            annotations.append(entry)
    document = {"images": described, "annotations": annotations}
    document["categories"] = [{"id": 1, "name": "object"}]
    (out / "annotations.json").write_text(json.dumps(document))


def main() -> None:
    """Time both in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--masks-only", action="store_true", help="write no images")
    options = parser.parse_args()
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "out"

        def timed(write: Any, images: list[AnnotatedImage]) -> Any:
            def run() -> None:
                shutil.rmtree(out, ignore_errors=True)
                write(images, out)

            return run

        for what in ("with images", "masks alone")[options.masks_only :]:
            images = items(options.images, with_images=what == "with images")
            ours, theirs = f"write_coco, {what}", f"bare pycocotools, {what}"
            seconds = time_together(
                {ours: timed(write_coco, images), theirs: timed(bare, images)},
                options.repeats,
            )
            rows += [
                {"method": n, "seconds": t.wall, "processor": t.cpu}
                for n, t in seconds.items()
            ]
            key = what.replace(" ", "_")
            figures[f"ratio_{key}"] = seconds[ours].wall / seconds[theirs].wall
            figures[f"processor_ratio_{key}"] = seconds[ours].cpu / seconds[theirs].cpu
    count = sum(len(item.ids) for item in images)
    report("export", rows, images=len(images), objects=count, **figures)


if __name__ == "__main__":
    main()
