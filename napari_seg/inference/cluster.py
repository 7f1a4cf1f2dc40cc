"""Workers of dask: processes of this machine, or those of a scheduler's address.

The driver keeps a few tasks for each worker on their way and hands out the next when
one ends, so the scheduler never holds the graph of the volume. A task that is lost with
its worker is begun again by dask.
"""

from __future__ import annotations

import gc
import os
import queue
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_seg.errors import ClusterError, NapariSegError
from napari_seg.inference.pool import BLOCK, WORKER, Outcome, do

if TYPE_CHECKING:
    from napari_seg.inference.block_queue import Task
    from napari_seg.inference.block_worker import BlockWorker
    from napari_seg.inference.volume_options import VolumeOptions
    from napari_seg.inference.volume_plan import VolumePlan

INSTALL = 'pip install "napari-seg[cluster]"'
_AHEAD = 2
"""Tasks for each worker: one in work, one waiting."""
_BEAT_S = 0.2
_LOOK_S = 2.0
"""How often the workers are counted."""
_CONNECT_S = 15
_GONE_S = 20.0
"""How long a scheduler may be silent."""

_ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": 1 << 28, "MALLOC_MMAP_THRESHOLD_": 1 << 25}
"""Bytes, for the C library of Linux. dask has workers give all freed memory back at
once; clearing it again took the system more time than half of the work."""


class Connection:
    """A client of dask, and the workers that were started for it.

    Parameters
    ----------
    client : distributed.Client
    threads : int
        Of torch in a worker; 0 for as many as it was started with.
    local : distributed.LocalCluster, optional
        Closed in the end.
    """

    def __init__(self, client: Any, threads: int, local: Any = None) -> None:
        self.client = client
        self.threads = threads
        self._local = local

    def close(self) -> None:
        """Let go, and end workers that were started here."""
        # it may be gone already; CommClosedError is an OSError
        with suppress(OSError, TimeoutError, RuntimeError):
            self.client.close(timeout=5)
        if self._local is not None:
            self._local.close(timeout=10)


def connect(options: VolumeOptions) -> Connection:
    """Connect to a scheduler, or start workers on this machine.

    Raises
    ------
    ClusterError
        If dask.distributed is not installed, or no scheduler answers.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        raise ClusterError(
            "Workers need dask.distributed", str(error), f"Install it with: {INSTALL}"
        ) from error
    if options.scheduler:
        try:
            client = distributed.Client(
                options.scheduler, timeout=_CONNECT_S, set_as_default=False
            )
        except (OSError, ValueError, TimeoutError) as error:
            raise ClusterError(
                f"No scheduler answers at {options.scheduler}",
                " ".join(str(error).split())[:200],
                "Start it with `dask scheduler`, and check the address",
            ) from error
        return Connection(client, options.threads)
    count = options.workers
    threads = options.threads or max(1, (os.cpu_count() or 1) // count)
    name = "distributed.nanny.pre-spawn-environ"
    with dask.config.set({name: {**dask.config.get(name), **_ALLOCATOR}}):
        local = distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,  # blocks are made to fit; pausing would only wait for ever
            dashboard_address=":0",
            silence_logs=40,
        )
    client = distributed.Client(local, set_as_default=False)
    return Connection(client, threads, local)


class Cluster:
    """Hands tasks to the workers of a client; see `Pool`.

    Parameters
    ----------
    connection : Connection
    plan : VolumePlan
    """

    def __init__(self, connection: Connection, plan: VolumePlan) -> None:
        self._client = connection.client
        self._plan = plan
        self._threads = connection.threads
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._tasks: dict[str, tuple[Any, Task]] = {}
        self._count = 0
        self._workers: list[str] = []
        self._looked = -_LOOK_S
        self._bad: dict[str, str] = {}
        self._seen = time.monotonic()

    @property
    def message(self) -> str:
        """How many workers there are, and which cannot work."""
        if not self._workers:
            return "waiting for workers"
        text = f"{len(self._workers)} worker{'s' * (len(self._workers) != 1)}"
        if self._bad:
            text += f", {len(self._bad)} unusable: {next(iter(self._bad.values()))}"
        return text

    @property
    def has_room(self) -> bool:
        """Whether another task would be begun soon."""
        self._look()
        return len(self._tasks) < max(_AHEAD, _AHEAD * len(self._workers))

    @property
    def is_busy(self) -> bool:
        """Whether tasks are on their way."""
        return bool(self._tasks)

    def start(self, task: Task) -> None:
        """Send a task."""
        self._count += 1
        key = f"{task.stage.replace(' ', '-')}-{task.block}-{self._count}"
        where: dict[str, Any] = {}
        if self._bad:
            # None of those that said they cannot.
            good = [w for w in self._workers if w not in self._bad]
            # One that takes the place of a dead worker has another address.
            where = {"workers": good, "allow_other_workers": True} if good else {}
        try:
            future = self._client.submit(
                do_remote,
                self._plan,
                task,
                self._threads,
                key=f"{key}-{self._plan.token}",
                pure=False,
                **where,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise self._gone(error) from error
        self._tasks[future.key] = (future, task)
        future.add_done_callback(self._ended.put)

    def iter_wait(self) -> Generator[None, None, list[Outcome]]:
        """Wait until a task ends; yields several times a second."""
        found: list[Outcome] = []
        while self._tasks:
            try:
                future = self._ended.get(timeout=0 if found else _BEAT_S)
            except queue.Empty:
                if found:
                    break
                self._look()
                yield
                continue
            held = self._tasks.pop(future.key, None)
            if held is None:
                continue
            outcome = self._outcome_of(future, held[1])
            if outcome.kind == WORKER:
                self._exclude(outcome)
                continue
            found.append(outcome)
        return found

    def _outcome_of(self, future: Any, task: Task) -> Outcome:
        from distributed import KilledWorker

        if future.status == "finished":
            outcome: Outcome = future.result()
            return outcome
        if future.status == "cancelled":
            raise self._gone(None)
        error = future.exception()
        if isinstance(error, KilledWorker):
            text = "its worker died again and again: most likely memory ran out"
            return Outcome(task, text, BLOCK)
        raise error

    def _exclude(self, outcome: Outcome) -> None:
        """Give a task to other workers, as long as there are any."""
        self._bad[outcome.worker] = outcome.error
        self._looked = -_LOOK_S
        self._look()
        if self._workers and all(w in self._bad for w in self._workers):
            raise ClusterError(
                "No worker can do the work",
                outcome.error,
                "What is done is kept: mend it and go on with --resume",
            )
        self.start(outcome.task)

    def _look(self) -> None:
        """Count the workers, and notice where the scheduler went."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        if self._client.status == "running":
            self._seen = now
            try:
                self._workers = list(self._client.nthreads())
            except (OSError, TimeoutError) as error:
                raise self._gone(error) from error
        elif self._client.status == "closed" or now - self._seen > _GONE_S:
            raise self._gone(None)

    def _gone(self, error: BaseException | None) -> ClusterError:
        address = getattr(self._client.scheduler, "address", "") or "the address"
        return ClusterError(
            f"The scheduler at {address} is gone",
            " ".join(str(error).split())[:200] if error else "",
            "What is done is kept: start it again and go on with --resume",
        )

    def close(self) -> None:
        """Take back what is on its way."""
        with suppress(OSError, TimeoutError, RuntimeError):
            self._client.cancel([future for future, _ in self._tasks.values()])
        self._tasks.clear()


# In a worker -----------------------------------------------------------------------

_lock = threading.Lock()
_held: dict[str, BlockWorker] = {}
"""The worker of the run that this process works for; its network is loaded once."""


def do_remote(plan: VolumePlan, task: Task, threads: int) -> Outcome:
    """Do a task in a worker's process, one at a time."""
    from distributed import get_worker

    own = get_worker()
    with _lock:
        try:
            worker = _held.get(plan.token) or _open(plan, threads or own.state.nthreads)
        except NapariSegError as error:
            return Outcome(task, f"{own.address}: {error}", WORKER, own.address)
        return do(worker, task)


def _open(plan: VolumePlan, threads: int) -> BlockWorker:
    """Load the model for a run; that of an earlier run is dropped."""
    import torch

    from napari_seg.inference.block_worker import BlockWorker
    from napari_seg.inference.worker_device import claim_device, load_model_of

    while _held:
        _held.popitem()[1].close()
    torch.set_num_threads(max(1, threads))
    worker = BlockWorker(plan, load_model_of(plan), claim_device(plan.params.device))
    _held[plan.token] = worker
    # `do` collects what Zarr leaves in cycles; it need not look at modules for that.
    gc.unfreeze()  # an earlier run's network may go
    gc.collect()
    gc.freeze()
    return worker
