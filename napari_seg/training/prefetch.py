"""Patches made ahead of their use, in threads.

Not in processes: forking a program with a window and its threads is unsafe, and
spawned processes would import the user's program again. The warping, which is most of
the work, releases the interpreter lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")

AHEAD = 4
"""Items that wait, for each thread: more only costs memory."""


class Prefetch(Generic[Item]):
    """Items in order, made ahead by threads that end with the context.

    Parameters
    ----------
    make : callable
        Makes the item of an index; called from several threads at once.
    indices : iterable of int
        What to make, in this order.
    threads : int
        How many items are made at once.
    """

    def __init__(
        self, make: Callable[[int], Item], indices: Iterable[int], *, threads: int = 1
    ) -> None:
        self._make = make
        self._indices = iter(indices)
        self._threads = max(threads, 1)
        self._waiting: deque[Future[Item]] = deque()
        self._pool = ThreadPoolExecutor(self._threads, "napari-seg patches")

    def __enter__(self) -> Prefetch[Item]:
        """Start making items."""
        for _ in range(AHEAD * self._threads):
            self._order()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop what waits; an item that is being made is finished first."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._waiting.clear()

    def __iter__(self) -> Iterator[Item]:
        """Yield the items; an error in making one appears at its place."""
        while self._waiting:
            item = self._waiting.popleft()
            self._order()
            yield item.result()

    def _order(self) -> None:
        for index in self._indices:
            self._waiting.append(self._pool.submit(self._make, index))
            return
