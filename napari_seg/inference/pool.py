"""Where the tasks of a volume are done: in this process, or by workers of dask."""

from __future__ import annotations

import errno
import gc
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from napari_seg.errors import FAILURES, NapariSegError

if TYPE_CHECKING:
    from napari_seg.inference.block_queue import Task
    from napari_seg.inference.block_worker import BlockWorker

BLOCK, FULL, WORKER = "block", "full", "worker"


@dataclass(frozen=True)
class Outcome:
    """What became of a task."""

    task: Task
    error: str = ""
    """Why it failed; empty if it did not."""
    kind: str = ""
    """``block``: it would fail again. ``full``: no room on the disk. ``worker``: that
    worker cannot work, another may."""
    worker: str = ""
    """Address of the worker."""


class Pool(Protocol):
    """Takes tasks and tells what became of them."""

    @property
    def has_room(self) -> bool:
        """Whether another task would be begun soon."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether tasks are on their way."""
        ...

    @property
    def message(self) -> str:
        """Something the user should know; empty as a rule."""
        ...

    def start(self, task: Task) -> None:
        """Take a task."""
        ...

    def iter_wait(self) -> Generator[None, None, list[Outcome]]:
        """Wait until something is done; yields now and then."""
        ...

    def close(self) -> None:
        """Stop what is on its way."""
        ...


class Here:
    """Does one task after the other in this process.

    Parameters
    ----------
    worker : BlockWorker
    """

    message = ""

    def __init__(self, worker: BlockWorker) -> None:
        self._worker = worker
        self._task: Task | None = None

    @property
    def has_room(self) -> bool:
        """Whether there is no task."""
        return self._task is None

    @property
    def is_busy(self) -> bool:
        """Whether there is a task."""
        return self._task is not None

    def start(self, task: Task) -> None:
        """Take a task."""
        self._task = task

    def iter_wait(self) -> Generator[None, None, list[Outcome]]:
        """Do the task; yields after each batch of tiles."""
        task, self._task = self._task, None
        if task is None:
            return []
        outcome = yield from iter_do(self._worker, task)
        return [outcome]

    def close(self) -> None:
        """Drop the network."""
        self._worker.close()


def iter_do(worker: BlockWorker, task: Task) -> Generator[None, None, Outcome]:
    """Do a task, and turn what may go wrong into words."""
    try:
        yield from worker.steps(task)
    except FAILURES as error:
        kind = FULL if _is_disk_full(error) else BLOCK
        return Outcome(task, _sentence(error), kind)
    return Outcome(task)


def do(worker: BlockWorker, task: Task) -> Outcome:
    """Do a task without a pause, in a worker's process.

    Zarr leaves the chunks that it has read and written in reference cycles, and dask
    puts the garbage collector off: a worker would hold three cells at once.
    """
    steps = iter_do(worker, task)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome
        finally:
            gc.collect()


def _is_disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, NapariSegError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
