"""Messages between two processes: arrays in shared memory, all else through a pipe.

They are pickled, which is safe here alone: both ends are this program, over a pipe that
nobody else holds. What comes from a file is never unpickled.
"""

from __future__ import annotations

import mmap
import os
import pickle
import secrets
import struct
import sys
import tempfile
from io import BytesIO
from typing import IO, Any

import numpy as np

Handle = int | str
"""What the other process finds a segment by: an inherited descriptor, or a name."""

_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 64
_LEAST_BYTES = 1 << 20


class Segment:
    """Memory that two processes share. It grows, and never shrinks.

    It has no name in the file system, so nothing is left behind however the
    processes end, and the size of ``/dev/shm`` is no limit.

    Parameters
    ----------
    handle : int or str, optional
        Of the segment that the other process created; None creates one.
    """

    def __init__(self, handle: Handle | None = None) -> None:
        self.handle = _create() if handle is None else handle
        self._map: mmap.mmap | None = None

    def memory(self, size: int) -> memoryview:
        """Return at least `size` bytes; the reader asks as the writer asked."""
        if self._map is None or len(self._map) < size:
            capacity = max(_LEAST_BYTES, 1 << (size - 1).bit_length())
            # The old map goes when the last array in it goes.
            self._map = _mapped(self.handle, capacity)
        return memoryview(self._map)

    def close(self) -> None:
        """Give the memory back once no array lies in it."""
        self._map = None
        if isinstance(self.handle, int) and self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


if sys.platform == "win32":

    def _create() -> Handle:
        return f"napari-seg-{secrets.token_hex(16)}"

    def _mapped(handle: Handle, capacity: int) -> mmap.mmap:
        return mmap.mmap(-1, capacity, tagname=f"{handle}-{capacity}")

else:

    def _create() -> Handle:
        if hasattr(os, "memfd_create"):
            return os.memfd_create("napari-seg")
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())

    def _mapped(handle: Handle, capacity: int) -> mmap.mmap:
        assert isinstance(handle, int)
        if os.fstat(handle).st_size < capacity:
            os.ftruncate(handle, capacity)
        return mmap.mmap(handle, capacity)


def pack(value: Any, segment: Segment) -> bytes:
    """Put a value's arrays into the segment, and return the rest as bytes."""
    buffers: list[memoryview] = []
    stream = BytesIO()
    _Pickler(stream, 5, buffer_callback=lambda b: buffers.append(b.raw())).dump(value)
    spans, end = [], 0
    for buffer in buffers:
        spans.append((end, buffer.nbytes))
        end += -(-buffer.nbytes // _ALIGNMENT) * _ALIGNMENT
    if end:
        memory = segment.memory(end)
        for buffer, (start, size) in zip(buffers, spans, strict=True):
            memory[start : start + size] = buffer
    return pickle.dumps((stream.getvalue(), spans, end))


def unpack(message: bytes, segment: Segment, *, copy: bool) -> Any:
    """Return the value; without a copy its arrays lie in the segment, for a while."""
    stream, spans, end = pickle.loads(message)
    memory = segment.memory(end) if end else memoryview(b"")
    pieces = [memory[start : start + size] for start, size in spans]
    return pickle.loads(stream, buffers=map(bytearray, pieces) if copy else pieces)


def send(pipe: IO[bytes], message: bytes) -> None:
    """Write a message into a pipe."""
    pipe.write(_LENGTH.pack(len(message)))
    pipe.write(message)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes:
    """Read a message from a pipe, or raise EOFError if the other side has ended."""
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    return _exactly(pipe, length)


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data


class _Pickler(pickle.Pickler):
    """Passes views of arrays, which pickle would copy into its stream, as arrays."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not np.ndarray or value.dtype.hasobject:
            return NotImplemented
        if value.flags.c_contiguous or value.flags.f_contiguous:
            return NotImplemented
        return value.copy().__reduce_ex__(5)
