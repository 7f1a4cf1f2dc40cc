"""Peak memory of training on a stack on disk, which must not grow with the stack.

Each number of planes is trained on in a process of its own, by a small network, because
what a network needs for a step does not depend on the data. The stack is a Zarr array,
read patch by patch.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from skimage.measure import label

from benchmarks._table import nuclei, report


def write(folder: Path, planes: int, side: int) -> list[Any]:
    """Write an image and its labels chunk by chunk; return both, opened."""
    image = nuclei(side)
    labels = label(image > 1200).astype(np.int32)
    arrays = []
    for name, plane in (("image", image), ("labels", labels)):
        made = zarr.create_array(
            folder / name,
            shape=(planes, side, side),
            chunks=(1, 512, 512),
            dtype=plane.dtype,
        )
        for z in range(planes):
            made[z] = plane
        arrays.append(made)
    return arrays


def measure(planes: int, side: int, steps: int) -> dict[str, Any]:
    """Train in this process and return megabytes and seconds."""
    from napari_seg.training.params import TrainParams
    from napari_seg.training.progress import TrainProgress
    from napari_seg.training.sources import ArraySource
    from napari_seg.training.trainer import iter_train

    params = TrainParams(
        arguments={"channels": (8, 16), "padding": "same", "norm": "batch"},
        steps=steps + 1,
        batch=4,
        patch_px=128,
        validate_every=10**6,
        device="cpu",
    )
    with tempfile.TemporaryDirectory() as folder:
        image, labels = write(Path(folder), planes, side)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        started = time.perf_counter()
        source = ArraySource(image, labels, "stack", "ZYX")
        job = iter_train(source, Path(folder) / "m.safetensors", params)
        message, loaded = "", 0.0
        for step in job:
            if "planes" in step.message:
                message = step.message
            if isinstance(step, TrainProgress):
                loaded = loaded or time.perf_counter() - started
                if step.done == steps:
                    break
        job.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {
        "stack MB": (image.nbytes + labels.nbytes) / 1e6,
        "before MB": before,
        "peak MB": peak,
        "seconds to look through": loaded,
        "reported": message,
    }


def main() -> None:
    """Measure each number of planes in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", type=int, nargs="+", default=[12, 48])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker, options.side, options.steps)))
        return
    rows = []
    for planes in options.planes:
        command = [sys.executable, "-m", "benchmarks.train_memory"]
        command += ["--worker", str(planes), "--side", str(options.side)]
        command += ["--steps", str(options.steps)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append({"planes": planes, **json.loads(done.stdout.splitlines()[-1])})
    report("train_memory", rows, table=rows)


if __name__ == "__main__":
    main()
