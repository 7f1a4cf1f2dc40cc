"""What was changed in a labels array, on disk within seconds, for after a crash.

A journal is a folder: ``about.json`` names a base (a compressed copy of the labels, or
none where they were empty) and files of records that are only appended to. A record
holds the ids of a box as they were when it was written, so replaying what came after
the base was begun gives the labels exactly, whatever the base caught of it. A record
that was cut short by a crash is noticed by its checksum, and the ones before it count.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import psutil
import zarr

from napari_seg.errors import FormatError
from napari_seg.files import atomic_path
from napari_seg.imaging.slabs import Box, box_shape, slabs, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT_VERSION = 1
ABOUT = "about.json"
COMPACT_BYTES = 16 * 2**20
"""Records of so many bytes, or of a quarter of the labels, are worth a new base."""
MAX_BYTES = 1 << 36
"""Labels larger than that are taken for a damaged file."""
_HEAD = struct.Struct("<4sIII")
"""Mark, length of the description, length of the ids, checksum of both."""
_MARK = b"EDIT"
_FASTEST = 1


@dataclass(frozen=True)
class About:
    """What a journal is of."""

    name: str
    """Of the labels layer."""
    shape: tuple[int, ...]
    dtype: str
    image: str = ""
    """Name of the image layer, if known."""
    placed: dict[str, Any] = field(default_factory=dict)
    """Scale, translation, units and axis labels: what a layer needs to lie right."""
    began: float = 0.0
    """Seconds since 1970."""
    pid: int = 0
    """Process that writes it."""
    pid_began: float = 0.0
    """When that process began: numbers of processes are used again."""
    base: str = ""
    """Folder of the base; empty where the labels were empty."""
    is_partial: bool = True
    """Whether the first base is not whole yet: then only what was edited is known."""
    records: tuple[str, ...] = ()
    """Files of records, in their order."""
    version: int = FORMAT_VERSION

    @property
    def is_written(self) -> bool:
        """Whether the process that writes it is alive."""
        try:
            began = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return False
        return abs(began - self.pid_began) < 2.0

    @classmethod
    def of(
        cls,
        labels: Any,
        name: str,
        image: str = "",
        placed: dict[str, Any] | None = None,
    ) -> About:
        """Describe labels that this process is about to follow."""
        return cls(
            name,
            tuple(int(n) for n in labels.shape),
            np.dtype(labels.dtype).str,
            image,
            placed or {},
            time.time(),
            os.getpid(),
            psutil.Process().create_time(),
        )


@dataclass(frozen=True)
class Recovered:
    """Labels as a journal knows them."""

    about: About
    labels: NDArray[np.integer]
    edits: int
    """How many edits were replayed."""
    changed: float
    """When the last of them was made, in seconds since 1970."""


class Journal:
    """Writes the changes of one labels array; not on the main thread.

    Parameters
    ----------
    folder : Path
        Made by `begin`.
    about : About
        See `About.of`.
    """

    def __init__(self, folder: Path, about: About) -> None:
        self.folder = folder
        self.about = about
        self._pending: list[bytes] = []
        self._written = 0

    def begin(self, labels: Any) -> None:
        """Make the folder and the base.

        Changes that are made meanwhile may be in the base or not: append their boxes
        afterwards.

        Raises
        ------
        OSError
            If the disk is full or cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.compact(labels)

    def append(self, box: Box, labels: Any) -> None:
        """Keep what a box of the labels holds now; `flush` brings it to the disk."""
        ids = np.ascontiguousarray(labels[box])
        sides = [[part.start, part.stop] for part in box]
        text = json.dumps({"box": sides, "time": time.time()}).encode()
        packed = zlib.compress(ids.tobytes(), _FASTEST)
        check = zlib.crc32(packed, zlib.crc32(text))
        head = _HEAD.pack(_MARK, len(text), len(packed), check)
        self._pending.append(head + text + packed)

    def flush(self) -> None:
        """Bring what was appended to the disk."""
        if not self._pending:
            return
        content = b"".join(self._pending)
        with (self.folder / self.about.records[-1]).open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._pending.clear()
        self._written += len(content)

    @property
    def is_long(self) -> bool:
        """Whether a new base would be read faster than the records."""
        whole_bytes = np.dtype(self.about.dtype).itemsize * int(
            np.prod(self.about.shape)
        )
        return self._written > max(COMPACT_BYTES, whole_bytes // 4)

    def compact(self, labels: Any) -> None:
        """Begin a new base; the old one counts until the new one is whole."""
        number = 1 + max((_number(r) for r in self.about.records), default=0)
        # From here on both are read: the old base with all records, until the new
        # base is there.
        if self.about.records:
            self.flush()
        before = self.about
        now = (f"records-{number}.bin",)
        self._tell(replace(before, records=before.records + now))
        self._written = 0
        base = self._write_base(labels, f"base-{number}")
        self._tell(replace(before, base=base, records=now, is_partial=False))
        for name in (before.base, *before.records):
            if name:
                _remove(self.folder / name)

    def discard(self) -> None:
        """Delete the journal."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tell(self, about: About) -> None:
        text = json.dumps(asdict(about))
        with atomic_path(self.folder / ABOUT) as temporary:
            temporary.write_text(text, encoding="utf-8")
        self.about = about

    def _write_base(self, labels: Any, name: str) -> str:
        """Copy labels plane by plane; nothing where there is no label."""
        made: Any = None
        for box in slabs(labels, whole(labels)):
            ids = np.asarray(labels[box])
            if made is None and not ids.any():
                continue
            if made is None:
                made = _new_base(self.folder / name, self.about)
            made[box] = ids
        return name if made is not None else ""


def read_about(folder: Path) -> About:
    """Read what a journal is of; FormatError if it is none, or damaged."""
    try:
        content = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        about = About(
            **{
                **content,
                "shape": tuple(int(n) for n in content["shape"]),
                "records": tuple(content["records"]),
            }
        )
        size = np.dtype(about.dtype).itemsize * int(np.prod(about.shape))
        names = [about.base, *about.records]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FormatError(f"{folder} is no journal", str(error)) from error
    inside = all(Path(str(name)).name == name for name in names)
    if about.version > FORMAT_VERSION or not 0 < size < MAX_BYTES or not inside:
        raise FormatError(
            f"The journal {folder} cannot be read",
            f"version {about.version}, {size} bytes of labels",
            "Update napari-seg.",
        )
    return about


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
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    mark, n_text, n_packed, check = _HEAD.unpack(head)
    body = file.read(n_text + n_packed)
    if mark != _MARK or len(body) < n_text + n_packed or zlib.crc32(body) != check:
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


def _new_base(path: Path, about: About) -> Any:
    planes = [1] * max(0, len(about.shape) - 2)
    chunks = (*planes, *(min(n, 1024) for n in about.shape[-2:]))
    return zarr.create_array(
        path, shape=about.shape, chunks=chunks, dtype=about.dtype, overwrite=True
    )


def _number(name: str) -> int:
    return int(name.removeprefix("records-").removesuffix(".bin"))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
