"""Work that runs ahead of its use, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_ahead(items: Iterator[Item], depth: int) -> Generator[Item, None, None]:
    """Yield the items of an iterator that is ahead of its use.

    While one item is used, the next ones are made. An error in making one appears at
    its place. Closing the generator waits for what is being made, and closes `items`
    if that is a generator.

    Parameters
    ----------
    items : iterator
        Run in one thread, never by two at once.
    depth : int
        Items that wait at most; with 0 each is made when it is asked for.
    """
    if not depth:
        yield from items
        return
    pool = ThreadPoolExecutor(1, "napari-seg ahead")
    end = object()
    waiting: deque[Future[Item | object]] = deque()

    def order() -> None:
        waiting.append(pool.submit(next, items, end))

    try:
        for _ in range(depth):
            order()
        while (item := waiting.popleft().result()) is not end:
            order()
            yield item  # type: ignore[misc]  # all but the end are items
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(items, Generator):
            items.close()


def map_ahead(
    make: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[Result, None, None]:
    """Yield what is made of each item, in order, made by so many threads at once.

    Parameters
    ----------
    make : callable
        Called from several threads.
    items : iterable
        All are taken at once.
    threads : int
        With fewer than 2, each result is made when it is asked for.
    """
    if threads < 2:
        yield from map(make, items)
        return
    pool = ThreadPoolExecutor(threads, "napari-seg map")
    try:
        yield from pool.map(make, items)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
