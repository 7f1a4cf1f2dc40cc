"""How a volume is worked through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class VolumeOptions:
    """How a volume is worked through; none of it changes the labels."""

    workers: int = 0
    """Processes on this machine; 0 does all in this one."""
    scheduler: str | None = None
    """Address of a dask scheduler, e.g. ``tcp://node1:8786``."""
    block: tuple[int, int, int] | None = None
    """Wanted planes, rows and columns of a block; it is rounded to cells."""
    probabilities: Path | None = None
    """OME-Zarr folder for the class probabilities."""
    mode: Literal["new", "resume", "restart"] = "new"
    """``new`` refuses to forget a run that was not finished."""
    threads: int = 0
    """Of torch in each worker; 0 shares the processors among local workers, and takes
    what a worker of a cluster was started with."""
    preview_px: int = 0
    """Voxels of a reduced copy, whose parts are yielded as they are done; 0 for none.
    Its voxels are every n-th of the labels, see `preview_steps`."""
    cell: tuple[int, int, int] | None = None
    """Planes, rows and columns of a cell, best multiples of 16 and 128: chunks are the
    largest that a cell consists of. Unlike the others it may move seams, where objects
    are larger than the halo."""
