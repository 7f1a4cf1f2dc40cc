"""Long jobs in a thread, and their news on the main thread.

No Qt: the owner calls `Jobs.pump` on the main thread, many times a second, while
`Jobs.is_busy`. The thread only fills a mailbox, so nothing is ever signalled to a
widget that is gone.
"""

from __future__ import annotations

import gc
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from napari_seg.types import Progress

JobGenerator = Generator[Progress, None, Any]


@dataclass(eq=False)
class Job:
    """One generator of the core, run outside the main thread.

    Parameters
    ----------
    generator : generator of Progress
        Created but not started; its body runs in the thread, imports included.
    on_done : callable
        Takes what the generator returned.
    on_progress : callable, optional
        Takes each `Progress`, in order, none left out.
    on_error : callable, optional
        Takes the exception. Without it the exception is raised by `Jobs.pump`.
    on_stopped : callable, optional
        Called once the generator is closed after `cancel`.
    poll_s : float
        How often there may be news. Each news may paint the window, which takes
        25 ms without a graphics card, so not more often than eyes can follow.
    """

    generator: JobGenerator
    on_done: Callable[[Any], None]
    on_progress: Callable[[Progress], None] = lambda _: None
    on_error: Callable[[BaseException], None] | None = None
    on_stopped: Callable[[], None] = lambda: None
    poll_s: float = 0.1
    is_cancelled: bool = False
    is_muted: bool = False
    _mailbox: deque[Progress] = field(default_factory=deque)
    _result: Any = None
    _is_complete: bool = False
    _may_go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Go as soon as the thread is free."""
        self._may_go.set()

    @property
    def is_paused(self) -> bool:
        """Whether the thread is to rest."""
        return not self._may_go.is_set()

    def pause(self) -> None:
        """Rest from the next yield on, until `resume`; others still wait for it."""
        if not self.is_cancelled:
            self._may_go.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._may_go.set()

    def cancel(self) -> None:
        """Stop at the next yield; what was yielded is still delivered."""
        self.is_cancelled = True
        self._may_go.set()  # a paused job stops, too

    def drop(self) -> None:
        """Stop at the next yield and deliver nothing more: its answer is late."""
        self.is_muted = True
        self.cancel()

    def work(self) -> None:
        """Drain the generator; runs in the thread."""
        try:
            while self._is_to_go_on():
                self._mailbox.append(next(self.generator))
        except StopIteration as stop:
            self._result = stop.value
            self._is_complete = True
        finally:
            # In this thread, because its clean-up may take as long as a tile.
            self.generator.close()

    def _is_to_go_on(self) -> bool:
        self._may_go.wait()
        return not self.is_cancelled

    def deliver(self, until: float) -> bool:
        """Hand over news until the clock says `until`; True when none is left."""
        while self._mailbox:
            progress = self._mailbox.popleft()
            if not self.is_muted:
                self.on_progress(progress)
            if time.perf_counter() > until:
                return not self._mailbox
        return True

    def finish(self, error: BaseException | None) -> None:
        """Call the one callback that tells how the job ended."""
        if self.is_muted:
            return
        if error is not None:
            if self.on_error is None:
                raise error
            self.on_error(error)
        elif self._is_complete:
            self.on_done(self._result)
        else:
            self.on_stopped()


class Jobs:
    """All background work of one window.

    Jobs run one after the other: they share the processor and the GPU memory.

    Parameters
    ----------
    wake : callable, optional
        Called on the main thread when there is reason to call `pump` again.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="napari-seg")
        self._running: list[tuple[Job, Future[None]]] = []
        self._timed: dict[str, tuple[float, Callable[[], None]]] = {}
        self._slices: deque[tuple[Generator[Any, None, Any], Callable[[], None]]]
        self._slices = deque()
        self._is_closed = False
        self._is_behind = False
        self._is_resting = False

    @property
    def is_busy(self) -> bool:
        """Whether `pump` has, or will have, anything to do."""
        return bool(self._running or self._timed or self._slices)

    def wait_s(self) -> float:
        """Return how long `pump` need not be called; infinity if nothing is up."""
        if self._slices or self._is_behind:
            return 0.005  # other events of the window come in between
        waits = [job.poll_s for job, _ in self._running]
        now = time.perf_counter()
        waits += [max(0.0, due - now) for due, _ in self._timed.values()]
        return min(waits, default=math.inf)

    def start(self, job: Job) -> Job:
        """Queue a job for the thread."""
        if not self._is_closed:
            if self._is_resting:
                job.pause()
            _calm_collector(not self._running)
            self._running.append((job, self._threads.submit(job.work)))
            self._wake()
        return job

    def rest(self, is_resting: bool) -> None:
        """Let all jobs rest, also those to come, or go on.

        Parameters
        ----------
        is_resting : bool
            Leave the processor to something more urgent, from the next yield on.
        """
        self._is_resting = is_resting
        for job, _ in self._running:
            if is_resting:
                job.pause()
            else:
                job.resume()

    def calm(self) -> None:
        """Spare the garbage collector again, now and then in a job of minutes.

        The jobs of other panels end the calm when they end, and this costs nothing.
        """
        if self._running:
            gc.freeze()

    def later(self, key: str, delay_s: float, call: Callable[[], None]) -> None:
        """Call something on the main thread, unless the same key comes again."""
        self._timed[key] = (time.perf_counter() + delay_s, call)
        self._wake()

    def forget(self, key: str) -> None:
        """Take back what was asked for with `later`."""
        self._timed.pop(key, None)

    def spread(
        self, steps: Generator[Any, None, Any], on_done: Callable[[], None]
    ) -> None:
        """Run a generator on the main thread, a few milliseconds at a time."""
        self._slices.append((steps, on_done))
        self._wake()

    def pump(self, budget_s: float = 0.012) -> None:
        """Deliver what the thread has to tell; call it on the main thread.

        Parameters
        ----------
        budget_s : float
            After so many seconds the rest waits for the next call.
        """
        until = time.perf_counter() + budget_s
        self._call_what_is_due()
        for job, future in list(self._running):
            # Asked before the mailbox is emptied: nothing is put in afterwards.
            has_ended = future.done()
            self._is_behind = not job.deliver(until)
            if self._is_behind:
                return
            if has_ended:
                self._running.remove((job, future))
                _restore_collector(not self._running)
                job.finish(None if future.cancelled() else future.exception())
        self._run_slices(until)

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop everything and wait until the thread is at rest."""
        self._is_closed = True
        self._timed.clear()
        self._slices.clear()
        for job, future in self._running:
            job.drop()
            future.cancel()
        wait_for([future for _, future in self._running], timeout_s)
        _restore_collector(bool(self._running))
        self._running.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _call_what_is_due(self) -> None:
        now = time.perf_counter()
        for key in [k for k, (due, _) in self._timed.items() if due <= now]:
            _calm_collector(not self._running)
            try:
                self._timed.pop(key)[1]()
            finally:
                # It may have started a job, which goes on being spared.
                _restore_collector(not self._running)

    def _run_slices(self, until: float) -> None:
        while self._slices and time.perf_counter() < until:
            steps, on_done = self._slices[0]
            try:
                next(steps)
            except StopIteration:
                self._slices.popleft()
                on_done()


@contextmanager
def spared_collector() -> Iterator[None]:
    """Spare the garbage collector what was there before.

    napari collects all of it whenever a layer is removed, which holds up the window
    for a third of a second once torch is loaded.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _calm_collector(is_first: bool) -> None:
    """Spare the garbage collector what was there before a job or a timed call.

    With torch and napari loaded a full collection stops every thread for 0.25 s,
    and a job makes enough objects to cause some. Nothing leaks: afterwards the old
    objects are looked at again.
    """
    if is_first:
        gc.freeze()


def _restore_collector(is_last: bool) -> None:
    if is_last:
        gc.unfreeze()
