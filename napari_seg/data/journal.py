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
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_seg.data.journal_about import ABOUT, About
from napari_seg.files import atomic_path
from napari_seg.imaging.slabs import Box, slabs, whole

COMPACT_BYTES = 16 * 2**20
"""Records of so many bytes, or of a quarter of the labels, are worth a new base."""
HEAD = struct.Struct("<4sIII")
"""Of a record: mark, length of the description, length of the ids, checksum of both."""
MARK = b"EDIT"
_FASTEST = 1


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
        head = HEAD.pack(MARK, len(text), len(packed), check)
        self._pending.append(head + text + packed)

    @property
    def is_behind(self) -> bool:
        """Whether something was appended that is not on the disk."""
        return bool(self._pending)

    def flush(self) -> None:
        """Bring what was appended to the disk.

        Raises
        ------
        OSError
            If the disk is full or cannot be written; the next call tries again.
        """
        if not self._pending:
            return
        content = b"".join(self._pending)
        path = self.folder / self.about.records[-1]
        size = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            # Half a record would hide all that is written after it.
            with suppress(OSError):
                os.truncate(path, size)
            raise
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
        base = f"base-{number}"
        try:
            base = self._write_base(labels, base)
        except OSError:
            _remove(self.folder / base)
            raise
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
