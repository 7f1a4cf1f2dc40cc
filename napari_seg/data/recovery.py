"""Labels as a journal of corrections knows them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_seg.data.journal import HEAD, MARK
from napari_seg.data.journal_about import About, read_about
from napari_seg.errors import FormatError
from napari_seg.imaging.slabs import Box, box_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Recovered:
    """Labels as a journal knows them."""

    about: About
    labels: NDArray[np.integer]
    edits: int
    """How many edits were replayed."""
    changed: float
    """When the last of them was made, in seconds since 1970."""


def recover(folder: Path) -> Recovered:
    """Read the labels that a journal leads to.

    Parameters
    ----------
    folder : Path
        Of a `Journal`.

    Raises
    ------
    FormatError
        If it is none, or its base is damaged.
    """
    about = read_about(folder)
    labels = np.zeros(about.shape, np.dtype(about.dtype))
    if about.base:
        try:
            labels[...] = zarr.open_array(folder / about.base, mode="r")[...]
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise FormatError(
                f"The base of {folder} cannot be read", str(error)
            ) from error
    count, changed = 0, about.began
    for box, ids, when in _records(folder, about):
        labels[box] = ids
        count, changed = count + 1, when
    return Recovered(about, labels, count, changed)


def count_edits(folder: Path) -> tuple[int, float]:
    """Count the edits of a journal, and say when the last was made."""
    about = read_about(folder)
    count, changed = 0, about.began
    for _, _, when in _records(folder, about):
        count, changed = count + 1, when
    return count, changed


def _records(
    folder: Path, about: About
) -> Iterator[tuple[Box, NDArray[np.integer], float]]:
    dtype = np.dtype(about.dtype)
    for name in about.records:
        try:
            file = (folder / name).open("rb")
        except OSError:
            continue
        with file:
            while (record := _read_record(file, dtype, about.shape)) is not None:
                yield record


def _read_record(
    file: IO[bytes], dtype: np.dtype[Any], shape: Sequence[int]
) -> tuple[Box, NDArray[np.integer], float] | None:
    """Read the next record; None at the end, or where it was cut short."""
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    mark, n_text, n_packed, check = HEAD.unpack(head)
    body = file.read(n_text + n_packed)
    if mark != MARK or len(body) < n_text + n_packed or zlib.crc32(body) != check:
        return None
    try:
        description = json.loads(body[:n_text])
        box = tuple(slice(int(a), int(b)) for a, b in description["box"])
        when = float(description["time"])
        size = int(np.prod(box_shape(box))) * dtype.itemsize
        unpacked = zlib.decompressobj().decompress(body[n_text:], size + 1)
    except (ValueError, TypeError, KeyError, zlib.error):
        return None
    fits = len(box) == len(shape) and all(
        0 <= part.start <= part.stop <= n for part, n in zip(box, shape, strict=True)
    )
    if not fits or len(unpacked) != size:
        return None
    return box, np.frombuffer(unpacked, dtype).reshape(box_shape(box)), when
