"""Results made ahead of their use, in threads.

Not in processes: forking a program with a window and its threads is unsafe, and spawned
ones would import the user's program again. So it pays where the work releases the
interpreter lock, as warping, labelling and watersheds do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    make: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    waiting: int = 4,
) -> Generator[Result, None, None]:
    """Yield what is made of each item, in order, made by so many threads at once.

    An error in making one appears at its place. Closing the generator finishes what is
    being made, drops the rest, and ends the threads.

    Parameters
    ----------
    make : callable
        Called from several threads.
    items : iterable
        Taken one by one, in the caller's thread; may be endless.
    threads : int
        With 0, each result is made when it is asked for.
    waiting : int, optional
        Results of each thread that wait at most: more only cost memory.
    """
    if not threads:
        yield from map(make, items)
        return
    pool = ThreadPoolExecutor(threads, "napari-seg ahead")
    source = iter(items)
    try:
        some = islice(source, waiting * threads)
        ordered = deque(pool.submit(make, item) for item in some)
        while ordered:
            first = ordered.popleft()
            ordered.extend(pool.submit(make, item) for item in islice(source, 1))
            yield first.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
