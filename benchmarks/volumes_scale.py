"""Volumes larger than the memory: peak memory, speed of workers, overhead, the paper.

``memory``: IMAGE is tiled without gaps to volumes of ``--sizes`` gigabytes (uint16,
chunks of 32 x 256 x 256), and each is segmented by ``--workers`` processes. Their peak
memory is what the kernel kept of it (VmHWM). On a CPU the real network would take days
for 16 GB, so a stand-in of the same architecture with two channels, that calls bright
pixels objects, runs at a quarter of the resolution: what is read, decoded, joined and
written is the same, the forward passes are not.

``speed``: the real network on ``--planes`` planes of ``--side`` pixels: the whole run
in one process against its forward passes alone. On a machine with other work processor
seconds are what to trust.

``workers``: the same volume with one and two workers, from the first result on.

``paper``: the tasks of a volume of ``--terabytes`` for ``--nodes`` workers, as the grid
counts them; what a task costs a real dask scheduler; what joining costs. All in seconds
of the processor.
"""

from __future__ import annotations

import argparse
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import zarr

from benchmarks._table import report
from napari_seg.data.io import read_image
from napari_seg.imaging.tiling import Geometry, plan_tiles
from napari_seg.inference.block_queue import DECODE, MATCH, PREDICT, BlockQueue
from napari_seg.inference.device import Device
from napari_seg.inference.engine import open_predictor
from napari_seg.inference.grid import AxisGrid, Grid
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.seams import Objects, Pairs, number_objects
from napari_seg.inference.volumes import (
    VolumeOptions,
    VolumeResult,
    iter_segment_volume,
)
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import load_model, save_checkpoint
from napari_seg.models.registry import build_network

CHUNK = (32, 256, 256)
SIDE = 2048


def tiled(image: np.ndarray, shape: tuple[int, int, int], path: Path) -> Path:
    """Write a volume of mirrored copies of an image, chunk by chunk."""
    if path.exists():
        return path
    array = zarr.create_array(
        path.with_suffix(".part"),
        shape=shape,
        chunks=CHUNK,
        dtype="uint16",
        dimension_names=["z", "y", "x"],
        overwrite=True,
    )
    whole = np.pad(image, [(0, n) for n in image.shape], mode="symmetric")
    for z in range(0, shape[0], CHUNK[0]):
        planes = np.arange(z, min(z + CHUNK[0], shape[0])) % whole.shape[0]
        rows, columns = (
            np.arange(n) % m for n, m in zip(shape[1:], whole.shape[1:], strict=True)
        )
        array[z : z + CHUNK[0]] = whole[planes][:, rows][:, :, columns]
    path.with_suffix(".part").rename(path)
    return path


def stand_in(path: Path, name: str = "stand-in") -> Path:
    """Write a U-Net of two channels that passes grey values on: bright is inside."""
    arguments = {"channels": [2, 2], "padding": "same"}
    network = build_network("unet", in_channels=1, num_classes=3, **arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
            if parameter.ndim == 4 and parameter.shape[-1] == 3:
                parameter[0, 0, 1, 1] = 1
        *_, weight, bias = network.parameters()
        weight[1, 0] = 20
        bias[1], bias[2] = -10, -30
    classes = ("background", "interior", "border")
    card = Card(name, "unet", arguments, 1, classes, object_diameter_px=16)
    return save_checkpoint(path, network, card)


class Peak:
    """Follows the peak memory of this process's workers."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}
        self.driver = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.5):
            self.driver = max(self.driver, me.memory_info().rss)
            for child in me.children(recursive=True):
                status = Path(f"/proc/{child.pid}/status")
                try:
                    lines = status.read_text().splitlines()
                except OSError:
                    continue
                for line in lines:
                    if line.startswith("VmHWM:"):
                        self.bytes[child.pid] = int(line.split()[1]) * 1024


def segmented(
    volume: Path, out: Path, model: Any, diameter: float, **options: Any
) -> VolumeResult:
    """Segment anew with a known object size."""
    return followed(volume, out, model, diameter, **options)[0]


def followed(
    volume: Path, out: Path, model: Any, diameter: float, **options: Any
) -> tuple[VolumeResult, float]:
    """Segment anew; return also the seconds from the first result to the last block.

    So the start of processes and the import of torch are left out.
    """
    params = SegmentParams(diameter_px=diameter, device="cpu")
    chosen = VolumeOptions(mode="restart", **options)
    steps = iter_segment_volume(volume, out, model, params, chosen)
    first = last = (0.0, 0)
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            result: VolumeResult = stop.value
            assert not result.errors, result.errors
            share = (last[1] - first[1]) / max(1, 2 * result.blocks)
            return result, (last[0] - first[0]) / max(share, 1e-9)
        if step.stage == "blocks" and step.done > last[1]:
            last = (time.perf_counter(), step.done)
            first = last if first[1] == 0 else first


def memory(options: argparse.Namespace, image: np.ndarray) -> None:
    """Compare the peak memory of volumes of several sizes."""
    model = stand_in(options.cache / "stand-in.safetensors")
    rows = []
    for size in options.sizes:
        planes = max(CHUNK[0], round(size * 2**30 / (2 * SIDE**2) / 32) * 32)
        name = f"volume-{size:g}.zarr"
        volume = tiled(image, (planes, SIDE, SIDE), options.cache / name)
        out = options.cache / f"labels-{size:g}.zarr"
        with Peak() as peak:
            found = segmented(volume, out, model, 64.0, workers=options.workers)
        shutil.rmtree(out)
        if not options.keep:
            shutil.rmtree(volume)
        # the largest are the workers; their nannies and trackers are small
        most = sorted(peak.bytes.values())[-options.workers :]
        rows.append(
            {
                "GB": size,
                "planes": planes,
                "objects": found.objects,
                "blocks": found.blocks,
                "seconds": found.seconds,
                "peak of a worker, GB": max(most) / 2**30,
                "peak of the driver, GB": peak.driver / 2**30,
            }
        )
        print(rows[-1], flush=True)
    peaks = [row["peak of a worker, GB"] for row in rows]
    report("volumes_scale memory", rows, rows_=rows, growth=peaks[-1] / peaks[0])


def speed(options: argparse.Namespace, image: np.ndarray) -> None:
    """Compare a run in this process with its forward passes alone."""
    model = load_model(options.model)
    diameter = model.card.object_diameter_px
    shape = (options.planes, options.side, options.side)
    volume = tiled(image, shape, options.cache / f"speed-{options.side}.zarr")
    out = options.cache / "speed-labels.zarr"
    rows = []

    def timed(name: str, work: Callable[[], Any]) -> float:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        rows.append({"run": name, "seconds": wall, "processor seconds": cpu})
        print(rows[-1], flush=True)
        return cpu

    torch.set_num_threads(1)
    whole = timed(
        "blocks, in this process",
        lambda: segmented(volume, out, options.model, diameter),
    )
    bare = timed("forward passes alone", lambda: forward(options, shape))
    report("volumes_scale speed", rows, rows_=rows, overhead=whole / bare - 1)


def workers(options: argparse.Namespace, image: np.ndarray) -> None:
    """Compare two workers with one, taking turns, once they are at work."""
    diameter = load_model(options.model).card.object_diameter_px
    shape = (options.planes, options.side, options.side)
    volume = tiled(image, shape, options.cache / f"speed-{options.side}.zarr")
    out = options.cache / "speed-labels.zarr"
    best: dict[tuple[int, int], float] = {}
    for _ in range(options.rounds):
        for setting in ((1, 1), (2, 1)):
            count, threads = setting
            # small cells, so that a small volume has enough of them
            _, seconds = followed(
                volume, out, options.model, diameter,
                workers=count, threads=threads, cell=(16, 256, 256),
            )  # fmt: skip
            best[setting] = min(seconds, best.get(setting, np.inf))
            print(setting, seconds, flush=True)
    rows = [{"workers": w, "threads": t, "seconds": s} for (w, t), s in best.items()]
    report("volumes_scale workers", rows, rows_=rows, ratio=best[1, 1] / best[2, 1])


def forward(options: argparse.Namespace, shape: tuple[int, int, int]) -> None:
    """Run the tiles of all planes through the network, and do nothing else."""
    model = load_model(options.model)
    inputs = np.random.default_rng(0).random((1, 1, 256, 256), dtype=np.float32)
    with open_predictor(model, Device("cpu", "")) as predictor:
        geometry = predictor.geometry(shape[1:], 256)
        tiles = plan_tiles(shape[1:], geometry)
        side = [g.tile for g in geometry]
        inputs = np.resize(inputs, (1, 1, *side))
        for _ in range(shape[0] * len(tiles)):
            predictor.predict(inputs)


def paper(options: argparse.Namespace) -> None:
    """Count the tasks of a huge volume, and what they cost scheduler and driver."""
    voxels = options.terabytes * 1e12 / 2
    side = round((voxels / 4) ** (1 / 3))
    planes = 4 * side
    geometry = Geometry(256, 16, 0, 32, 16)
    flat = AxisGrid(side, side, 512, 2, 50, geometry)
    grid = Grid(1, AxisGrid(planes, planes, 16, 4, 0, None, True, 0), flat, flat)
    nothing = {stage: np.zeros(grid.count, bool) for stage in (PREDICT, DECODE, MATCH)}
    started = time.process_time()
    queue, tasks = BlockQueue(grid, nothing, predicts=True), 0
    while tasks < options.tasks and (task := queue.take()) is not None:
        queue.finish(task)
        tasks += 1
    driver_us = (time.process_time() - started) / tasks * 1e6
    scheduler_us = scheduler_cost(options)
    count = options.objects
    rng = np.random.default_rng(0)
    first = rng.integers(0, count - 1, count)
    pairs = Pairs(first, first + 1, np.ones(count, np.int64))
    objects = Objects(np.full(count, 1000), np.ones(count, bool))
    started = time.process_time()
    number_objects(objects, pairs, None, 0.0)
    joining_us = (time.process_time() - started) / count * 1e6
    total = 4 * grid.count
    block_voxels = voxels / grid.count
    rows = [
        {
            "TB": options.terabytes,
            "shape": f"{planes} x {side} x {side}",
            "blocks": grid.count,
            "tasks": total,
            "in flight": 2 * options.nodes,
            "voxels of a block": block_voxels,
        }
    ]
    report(
        "volumes_scale paper",
        rows,
        driver_us_per_task=driver_us,
        scheduler_us_per_task=scheduler_us,
        joining_us_per_object=joining_us,
        tasks_per_second_at_most=1e6 / max(driver_us + scheduler_us, 1e-9),
        hours_of_the_scheduler_for_all=total * (driver_us + scheduler_us) / 3.6e9,
        least_seconds_of_a_task=options.nodes * (driver_us + scheduler_us) / 1e6,
        state_mb=7 * grid.count / 1e6,
        core_hours_of_the_network=voxels / (options.mpx_per_second * 1e6) / 3600,
    )


def scheduler_cost(options: argparse.Namespace) -> float:
    """Return the microseconds that a real scheduler takes for a task that does nothing.

    Its workers are threads of this process, as many as `--simulated`; the tasks carry
    as much as ours and a window of two for each is on its way.
    """
    import distributed

    payload = np.zeros(600)  # a plan has about 5 kB
    with (
        distributed.LocalCluster(
            n_workers=options.simulated,
            threads_per_worker=1,
            processes=False,
            memory_limit=0,
            dashboard_address=":0",
            silence_logs=50,
        ) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):

        def start(number: int) -> Any:
            return client.submit(nothing_done, payload, number, pure=False)

        window = 2 * options.simulated
        client.gather([start(n) for n in range(window)])
        started = time.process_time()
        begun = [start(n) for n in range(window)]
        pending = distributed.as_completed(begun, loop=client.loop)
        done = 0
        for _ in pending:
            done += 1
            if done + window <= options.noops:
                pending.add(start(done))
        return (time.process_time() - started) / done * 1e6


def nothing_done(payload: np.ndarray, number: int) -> int:
    """Do nothing."""
    return number


def main() -> None:
    """Read the options and run one part."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("part", choices=("memory", "speed", "workers", "paper"))
    made.add_argument("--image", type=Path, help="real stack that is tiled")
    made.add_argument("--cache", type=Path, default=Path("/tmp/volumes_scale"))
    made.add_argument("--sizes", type=float, nargs="+", default=[4.0, 16.0])
    made.add_argument("--workers", type=int, default=2)
    made.add_argument("--keep", action="store_true", help="keep the tiled volumes")
    made.add_argument("--model", default="nuclei-unet")
    made.add_argument("--planes", type=int, default=16)
    made.add_argument("--side", type=int, default=1024)
    made.add_argument("--rounds", type=int, default=2)
    made.add_argument("--terabytes", type=float, default=100.0)
    made.add_argument("--nodes", type=int, default=1000)
    made.add_argument(
        "--mpx-per-second", type=float, default=0.5, help="of a core, nuclei-unet"
    )
    made.add_argument("--tasks", type=int, default=50_000)
    made.add_argument("--objects", type=int, default=5_000_000)
    made.add_argument("--simulated", type=int, default=50)
    made.add_argument("--noops", type=int, default=5_000)
    options = made.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    if options.part == "paper":
        paper(options)
        return
    image = np.asarray(read_image(options.image).array).astype(np.uint16)
    {"memory": memory, "speed": speed, "workers": workers}[options.part](options, image)


if __name__ == "__main__":
    main()
