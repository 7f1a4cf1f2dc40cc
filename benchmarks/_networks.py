"""What the benchmarks of all architectures share: one after the other, each alone."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.errors import NapariSegError
from napari_seg.models.registry import ARCHITECTURES
from napari_seg.training.folders import pair_files
from napari_seg.training.sources import Reading, iter_read
from napari_seg.types import run

if TYPE_CHECKING:
    from napari_seg.training.pairs import TrainingPlane
    from napari_seg.training.params import TrainParams

Result = dict[str, Any]

TRIED = (4, 14)
"""Steps of the trial by which a budget is turned into steps; timed after the first."""


def parser(description: str | None, minutes: float) -> argparse.ArgumentParser:
    """Options that both benchmarks have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("data", type=Path, help="folder with train/ and val/ of pairs")
    made.add_argument("--names", nargs="+", default=list(ARCHITECTURES))
    made.add_argument("--minutes", type=float, default=minutes, help="for each name")
    made.add_argument("--batch", type=int, default=4)
    made.add_argument("--patch", type=int, default=128)
    made.add_argument("--device", default="cpu")
    made.add_argument("--threads", type=int, default=None)
    made.add_argument("--cache", type=Path, required=True, help="results, a file each")
    return made


def each(
    options: argparse.Namespace,
    work: Callable[[str, argparse.Namespace], Result],
) -> list[Result]:
    """Do the work for every name in a process of its own, unless it was done before.

    A name that fails is reported and tried again the next time; the others go on.
    """
    options.cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in options.names:
        file = options.cache / f"{name}.json"
        if not file.is_file():
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                try:
                    found = pool.submit(work, name, options).result()
                except (NapariSegError, RuntimeError, ValueError, OSError) as error:
                    # Also a process that died: BrokenProcessPool is a RuntimeError.
                    print(f"{name}: {type(error).__name__}: {error}", flush=True)
                    continue
            temporary = file.with_suffix(".tmp")
            temporary.write_text(json.dumps(found))
            temporary.replace(file)
            print(f"{name}: {found}", flush=True)
        rows.append(json.loads(file.read_text()))
    return rows


def within_budget(planes: list[TrainingPlane], params: TrainParams) -> TrainParams:
    """Turn minutes into the steps they suffice for, if they are of processor time.

    On a processor the budget is the work of the training itself, counted by a short
    trial, so that other programs that run meanwhile take nothing from it. On a graphics
    card it is time.
    """
    from napari_seg.training.progress import TrainProgress
    from napari_seg.training.trainer import iter_train_pairs

    if params.device.startswith("cuda") or params.minutes is None:
        return params
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        trial = replace(params, minutes=None, steps=TRIED[1] + 1)
        out = Path(folder) / "trial.safetensors"
        job = iter_train_pairs(planes, planes[:1], out, trial)
        for step in job:
            if isinstance(step, TrainProgress) and step.done in TRIED:
                marks.append(time.process_time())
                if len(marks) == len(TRIED):
                    job.close()
    one = (marks[1] - marks[0]) / (TRIED[1] - TRIED[0])
    return replace(params, minutes=None, steps=max(round(60 * params.minutes / one), 1))


def read_some(folder: Path, count: int, side: int) -> list[TrainingPlane]:
    """Read images of a side: of those looked at the ones that show the most cells."""
    sources = pair_files(folder)
    looked_at = np.linspace(0, len(sources) - 1, min(20 * count, len(sources)))
    chosen = [sources[int(i)] for i in looked_at]
    planes = run(iter_read(chosen, Reading(None, None)))
    fitting = [plane for plane in planes if tuple(plane.shape) == (side, side)]

    def cells(plane: TrainingPlane) -> int:
        _, labels = plane.read((slice(None), slice(None)))
        return int((labels > 0).sum())

    return sorted(fitting, key=cells, reverse=True)[:count]


def peak_mb(device: str) -> float:
    """Return the most memory of this process, or of the graphics card, in megabytes."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
