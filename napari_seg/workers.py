"""Several helper processes that share a list of calls."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from napari_seg.offload import NICENESS, Offload

_HEARTBEAT_S = 0.05
_MOST = 4


class Call(NamedTuple):
    """One call of a function in a helper process."""

    key: Any
    """Comes back with the answer."""
    function: str
    """``"module:name"``, see `Offload.call`."""
    args: tuple[Any, ...]
    """Its arguments."""


def usable_cpus() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


class Workers:
    """A few helper processes; each starts with its first call.

    Parameters
    ----------
    count : int, optional
        How many, by default one a processor and at most four.
    preload : sequence of str, optional
        Modules that they import as they start.
    niceness : int, optional
        How readily they let others use the processor; by default as beside a window.
    """

    def __init__(
        self,
        count: int | None = None,
        preload: Sequence[str] = (),
        niceness: int = NICENESS,
    ) -> None:
        self.count = count or min(_MOST, usable_cpus())
        self.helpers = [Offload(preload, niceness) for _ in range(self.count)]
        self._threads = ThreadPoolExecutor(
            self.count, thread_name_prefix="napari-seg-worker"
        )

    def start(self) -> None:
        """Start all helpers, so that the first calls need not wait."""
        for helper in self.helpers:
            helper.start()

    def imap(
        self, calls: Iterable[Call]
    ) -> Generator[tuple[Any, Any] | None, None, None]:
        """Make calls in parallel; give key and answer of each as it comes.

        A call is taken from `calls` when a helper is free for it, so their arguments
        are never all in memory. None is given while there is nothing new: whoever
        stops listening then, ends the calls in progress at once.

        Raises
        ------
        OffloadError
            If a helper ended during a call; the others are stopped.
        BaseException
            Whatever a function raises.
        """
        waiting = iter(calls)
        free = list(self.helpers)
        running: dict[Future[Any], tuple[Any, Offload]] = {}
        try:
            while True:
                while free and (call := next(waiting, None)) is not None:
                    helper = free.pop(0)
                    future = self._threads.submit(
                        helper.call, call.function, *call.args
                    )
                    running[future] = call.key, helper
                    del call  # its arrays are in shared memory now
                if not running:
                    return
                done, _ = wait(running, _HEARTBEAT_S, FIRST_COMPLETED)
                if not done:
                    yield None
                for future in done:
                    key, helper = running.pop(future)
                    free.insert(0, helper)
                    yield key, future.result()
        finally:
            _stop(running)

    def close(self) -> None:
        """End the helpers for good."""
        for helper in self.helpers:
            helper.close()
        self._threads.shutdown(wait=False)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stop(running: dict[Future[Any], tuple[Any, Offload]]) -> None:
    """End calls whose answers nobody wants, and wait until they have ended."""
    for future, (_, helper) in running.items():
        while not (future.done() or future.cancel()):
            # Again and again: a thread may not have reached its helper yet.
            helper.cancel()
            wait([future], _HEARTBEAT_S)
