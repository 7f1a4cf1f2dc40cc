"""One helper process that calculates what would stall or endanger this one.

PyMaxflow and the dense CRF hold Python's lock for as long as they run, and native
code may crash. Functions of this package can be called in a second process instead.
It is started afresh with its own interpreter: it neither forks this process, which
may hold a window and a GPU, nor runs the user's script again.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib import import_module
from inspect import isfunction
from typing import IO, Any

from napari_seg.errors import OffloadCancelled, OffloadError
from napari_seg.wire import Handle, Segment, pack, receive, send, unpack

if sys.platform != "win32":
    import fcntl

PACKAGE = __name__.partition(".")[0]
PRELOAD = (f"{PACKAGE}.refine.solver",)
"""Imported by the helper as it starts, so that the first cut need not wait."""

NICENESS = 5
"""Of a helper beside a window, where the system knows such a thing."""

_BOOT = (
    "import json, sys; path, *rest = json.loads(sys.argv[1]); sys.path[:] = path; "
    f"from {__name__} import serve; serve(*rest)"
)
_END_S = 2.0


class Offload:
    """A helper process that calls functions of this package.

    It starts with `start` or the first call, serves one call at a time, and ends
    with `close`, with this object, or with this process, however that ends. After
    a crash the next call has a fresh one.

    Parameters
    ----------
    preload : sequence of str, optional
        Modules that the helper imports as it starts.
    niceness : int, optional
        How readily it lets others use the processor, 0 to 19.
    """

    def __init__(
        self, preload: Sequence[str] = PRELOAD, niceness: int = NICENESS
    ) -> None:
        self._preload = tuple(preload)
        self._niceness = niceness
        self._turn = threading.Lock()
        self._state = threading.Lock()
        self._helper: _Helper | None = None
        self._is_calling = False
        self._is_closed = False

    def start(self) -> None:
        """Start the helper unless it runs; returns before it is ready."""
        with self._state:
            self._ready()

    def call(self, function: str, *args: Any, timeout_s: float | None = None) -> Any:
        """Call a function in the helper and wait, while other threads go on.

        Parameters
        ----------
        function : str
            ``"module:name"`` of a function defined in this package.
        *args : object
            Anything that can be pickled; arrays are passed without pickling.
        timeout_s : float, optional
            The helper is ended when the call takes longer, its start included.

        Returns
        -------
        object
            What the function returns; arrays are copies and may be written to.

        Raises
        ------
        OffloadError
            If the helper ended or took too long.
        OffloadCancelled
            If `cancel` or `close` was called.
        BaseException
            Whatever the function raises, with its traceback there as a note.
        """
        with self._turn:
            with self._state:
                helper = self._ready()
                self._is_calling = True
            timer = threading.Timer(timeout_s or 0, helper.stop, ["timeout"])
            if timeout_s is not None:
                timer.daemon = True
                timer.start()
            try:
                return helper.ask(function, args)
            finally:
                timer.cancel()
                with self._state:
                    self._is_calling = False
                    if helper.stopped_by and not self._is_closed:
                        # The next call should not have to wait for the start.
                        self._ready()

    def cancel(self) -> None:
        """End a call in progress, which raises `OffloadCancelled`; else do nothing."""
        with self._state:
            if self._is_calling and self._helper is not None:
                self._helper.stop("cancel")

    def close(self) -> None:
        """End the helper for good; a call in progress raises `OffloadCancelled`."""
        with self._state:
            self._is_closed = True
            helper, self._helper = self._helper, None
            if helper is not None and self._is_calling:
                helper.stop("close")
        if helper is not None:
            with self._turn:
                helper.end()

    @property
    def is_alive(self) -> bool:
        """Whether the helper runs, so that a call need not start it."""
        helper = self._helper
        return helper is not None and helper.is_alive

    @property
    def pid(self) -> int | None:
        """Process id of the helper, None if there is none."""
        helper = self._helper
        return helper.process.pid if helper is not None else None

    def _ready(self) -> _Helper:
        if self._is_closed:
            raise OffloadError("The helper process was closed for good")
        if self._helper is None or not self._helper.is_alive:
            if self._helper is not None:
                self._helper.end()
            self._helper = _Helper(self._preload, self._niceness)
        return self._helper


class _Helper:
    """One process, and the pipes and memory shared with it."""

    def __init__(self, preload: Sequence[str], niceness: int) -> None:
        self.stopped_by = ""
        self._requests, self._answers = Segment(), Segment()
        handles = [self._requests.handle, self._answers.handle]
        path = [str(entry) or os.getcwd() for entry in sys.path]
        options = json.dumps([path, *handles, list(preload), niceness])
        if not sys.executable:
            raise OffloadError("No Python interpreter is known to start a helper with")
        no_window = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[h for h in handles if isinstance(h, int)],
            creationflags=no_window,
        )
        self.end = weakref.finalize(
            self, _end, self.process, self._requests, self._answers
        )

    @property
    def is_alive(self) -> bool:
        return not self.stopped_by and self.process.poll() is None

    def stop(self, reason: str) -> None:
        """Kill the process; whoever waits for its answer learns the reason."""
        self.stopped_by = self.stopped_by or reason
        self.process.kill()

    def ask(self, function: str, args: tuple[Any, ...]) -> Any:
        request = pack((function, args), self._requests)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        answer = b""
        try:
            send(self.process.stdin, request)
            answer = receive(self.process.stdout)
        except (OSError, EOFError) as error:
            raise self._failure(function) from error
        finally:
            if not answer:
                # Interrupted half-way: its late answer must not meet the next call.
                self.stop("failure")
        is_error, value, story = unpack(answer, self._answers, copy=True)
        if is_error:
            value.add_note(f"In the helper process:\n{story}")
            raise value
        return value

    def _failure(self, function: str) -> OffloadError:
        if self.stopped_by in ("cancel", "close"):
            return OffloadCancelled("The calculation was stopped")
        if self.stopped_by == "timeout":
            return OffloadError(
                "A calculation took longer than allowed",
                function,
                "Try a smaller region.",
            )
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_S)
        return OffloadError(
            "The helper process ended during a calculation",
            f"{function}, {_manner(self.process.returncode)}",
            "Try again; if memory was short, try a smaller region.",
        )


def _manner(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _end(process: subprocess.Popen[bytes], *segments: Segment) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what could not be sent is still in the buffer
                pipe.close()
    for segment in segments:
        segment.close()


def echo(value: Any, pause_s: float = 0.0) -> Any:
    """Return the value after a pause: tells whether, and how soon, a helper answers."""
    time.sleep(pause_s)
    return value


def serve(
    requests: Handle, answers: Handle, preload: Sequence[str], niceness: int
) -> None:
    """Answer the calls of the process that started this one, until it ends.

    A thread calculates, so that this one notices the end of the other process.
    """
    # Ctrl+C in a terminal is meant for the process that owns the window.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        # Where processors are few, the window that waits is drawn first.
        os.nice(niceness)
    source, sink = (os.fdopen(os.dup(n), mode) for n, mode in ((0, "rb"), (1, "wb")))
    with open(os.devnull, "r+b") as nowhere:
        # Whatever a library prints must not end up among the answers.
        os.dup2(nowhere.fileno(), 0)
        os.dup2(nowhere.fileno(), 1)
    requests_, answers_ = Segment(requests), Segment(answers)
    worker = ThreadPoolExecutor(1)
    worker.submit(lambda: [import_module(name) for name in preload])
    with suppress(EOFError, OSError):
        while True:
            message = receive(source)
            _end_with_pipe(source, True)
            answer = worker.submit(_answer, message, requests_, answers_)
            answer.add_done_callback(partial(_reply, source, sink, answers_))
    os._exit(0)


def _answer(message: bytes, requests: Segment, answers: Segment) -> bytes:
    function, args = unpack(message, requests, copy=False)
    value = _find(function)(*args)
    return pack((False, value, ""), answers)


def _find(function: str) -> Any:
    module, _, name = function.partition(":")
    if module.partition(".")[0] == PACKAGE and name:
        found = getattr(import_module(module), name, None)
        if isfunction(found) and found.__module__.partition(".")[0] == PACKAGE:
            return found
    raise OffloadError(
        "The helper process calls only functions of this package",
        function,
        f'Write "{PACKAGE}.module:function".',
    )


def _end_with_pipe(source: IO[bytes], is_on: bool) -> None:
    """Have the system end this process when the other end of the pipe goes.

    While native code holds Python's lock no thread would notice. Nothing else happens
    to the pipe while a call is served, so any signal means its end.
    """
    if sys.platform != "win32":
        fcntl.fcntl(source, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(source, fcntl.F_GETFL)
        flags = flags | os.O_ASYNC if is_on else flags & ~os.O_ASYNC
        fcntl.fcntl(source, fcntl.F_SETFL, flags)


def _reply(
    source: IO[bytes], sink: IO[bytes], answers: Segment, done: Future[bytes]
) -> None:
    is_sent = False
    try:
        error = done.exception()
        answer = done.result() if error is None else _pack_error(error, answers)
        _end_with_pipe(source, False)
        send(sink, answer)
        is_sent = True
    finally:
        # Without an answer the other process must learn that there will be none.
        if not is_sent:
            os._exit(1)


def _pack_error(error: BaseException, answers: Segment) -> bytes:
    story = "".join(traceback.format_exception(error))
    try:
        packed = pack((True, error, story), answers)
        unpack(packed, answers, copy=True)
    except (pickle.PickleError, TypeError, AttributeError, ValueError):
        # Not every exception survives the trip, but its message does.
        error = OffloadError("A calculation failed", f"{type(error).__name__}: {error}")
        packed = pack((True, error, story), answers)
    return packed
