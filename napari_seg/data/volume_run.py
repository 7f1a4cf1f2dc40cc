"""The folder of a run over a volume: what is done, and what is needed to go on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

import napari_seg
from napari_seg.errors import FormatError
from napari_seg.files import atomic_path

_KEY = "napari_seg_volume"
VERSION = 1
SUFFIX = ".run"
_FAN = 1000
"""Files of a folder."""


class VolumeRun:
    """Beside ``labels.zarr`` the folder ``labels.zarr.run``.

    A block is done when its file is there, and a file appears complete or not at all:
    the folder is the record, and nothing has to be written twice.

    Parameters
    ----------
    out : pathlib.Path
        The labels.
    """

    def __init__(self, out: Path) -> None:
        self.root = out.with_name(out.name + SUFFIX)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Keep other runs out; one that dies gives the labels back.

        Raises
        ------
        FormatError
            If another run is writing these labels.
        """
        path = self.root.with_name(self.root.name + ".lock")
        lock = FileLock(path, timeout=0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise FormatError(
                f"{self.root.with_suffix('')} is being written by another run",
                remedy="Wait until it has ended, or choose another --out.",
            ) from error
        except OSError as error:
            raise FormatError(
                f"cannot write {path}",
                str(error),
                "Choose a folder that can be written to.",
            ) from error
        except NotImplementedError:
            pass  # file systems of some clusters know no locks
        try:
            yield
        finally:
            lock.release()
            with suppress(OSError):
                path.unlink()

    @property
    def exists(self) -> bool:
        """Whether a run was begun and not finished."""
        return (self.root / "run.json").is_file()

    def begin(self, about: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
        """Note what the run is; from now on it can be resumed."""
        text = json.dumps(
            {
                _KEY: VERSION,
                "software": f"napari-seg {napari_seg.__version__}",
                "about": dict(about),
                "plan": dict(plan),
            },
            indent=1,
        )
        with atomic_path(self.root / "run.json") as temporary:
            temporary.write_text(text, encoding="utf-8")

    def resume(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan of the run, if it is of the same volume, model and options.

        Raises
        ------
        FormatError
            If it is not, naming what differs.
        """
        path = self.root / "run.json"
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored[_KEY] != VERSION:
                raise ValueError(f"version {stored[_KEY]}")
            before, plan = dict(stored["about"]), dict(stored["plan"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"cannot read {path} as the record of a run",
                str(error),
                "Begin anew with --restart.",
            ) from error
        now = json.loads(json.dumps(dict(about)))
        differing = [
            f"{key} {before.get(key)}, now {now.get(key)}"
            for key in sorted({*before, *now})
            if before.get(key) != now.get(key)
        ]
        if differing:
            raise FormatError(
                f"{self.root} is of another run",
                "; ".join(differing),
                "Give the same volume, model and options, choose another --out, or "
                "begin anew with --restart.",
            )
        return plan

    def remove(self) -> None:
        """Delete the folder."""
        if self.root.exists():
            shutil.rmtree(self.root)

    def path(self, stage: str, block: int) -> Path:
        """Return the file of a stage of a block."""
        suffix = {"predict": ".npy", "write": ""}.get(stage, ".npz")
        return self.root / stage / str(block // _FAN) / f"{block}{suffix}"

    def done(self, stage: str, count: int) -> NDArray[np.bool_]:
        """Return which blocks have been through a stage."""
        found = np.zeros(count, bool)
        for path in self._files(stage):
            found[int(path.name.partition(".")[0])] = True
        return found

    def _files(self, stage: str) -> Iterator[Path]:
        folder = self.root / stage
        if not folder.is_dir():
            return
        for sub in folder.iterdir():
            for path in sub.iterdir():
                # what a killed program left begins with a dot
                if not path.name.startswith(".") and "partial" not in path.name:
                    yield path

    def save(self, stage: str, block: int, **arrays: NDArray[Any]) -> None:
        """Write the arrays of a block."""
        self._save(self.path(stage, block), arrays)

    def save_partial(self, stage: str, block: int, **arrays: NDArray[Any]) -> None:
        """Write arrays that are good for now, and made anew when the run goes on."""
        path = self.path(stage, block)
        self._save(path.with_name(f"{block}.partial.npz"), arrays)

    def _save(self, path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]

    @contextmanager
    def opened(
        self, stage: str, block: int
    ) -> Iterator[Mapping[str, NDArray[Any]] | None]:
        """Open the arrays of a block, each read when asked for; None without any."""
        path = self.path(stage, block)
        for candidate in (path, path.with_name(f"{block}.partial.npz")):
            if candidate.is_file():
                with np.load(candidate, allow_pickle=False) as file:
                    yield file
                return
        yield None

    def save_array(self, stage: str, block: int, array: NDArray[Any]) -> None:
        """Write one array that is read in parts."""
        with (
            atomic_path(self.path(stage, block)) as temporary,
            temporary.open("wb") as file,
        ):
            np.save(file, array, allow_pickle=False)

    def map_array(self, stage: str, block: int) -> NDArray[Any]:
        """Map what `save_array` wrote."""
        path = self.path(stage, block)
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped

    def drop(self, stage: str, block: int) -> None:
        """Delete the file of a block."""
        self.path(stage, block).unlink(missing_ok=True)

    def forget(self, stage: str) -> None:
        """Let a stage be done again."""
        if (self.root / stage).exists():
            shutil.rmtree(self.root / stage)

    def mark(self, stage: str, block: int) -> None:
        """Note that a block is done, where its result lies elsewhere."""
        path = self.path(stage, block)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    @property
    def local(self) -> Path:
        """Zarr array with the ids that each cell gave its objects."""
        return self.root / "local"

    def save_numbers(
        self, numbers: NDArray[np.int64], offsets: NDArray[np.int64]
    ) -> None:
        """Write the final numbers of all objects, and where those of a cell begin."""
        for name, array in (("numbers", numbers), ("offsets", offsets)):
            path = self.root / f"{name}.npy"
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())

    def numbers_of(self, cell: int) -> NDArray[np.int64]:
        """Return the final numbers of the objects 1..N of a cell."""
        numbers, offsets = (
            np.load(self.root / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("numbers", "offsets")
        )
        return np.array(numbers[offsets[cell] : offsets[cell + 1]])
