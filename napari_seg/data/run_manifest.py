"""What a batch has done so far, on disk after each image, to go on after a crash."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import napari_seg
from napari_seg.errors import FormatError
from napari_seg.files import atomic_path

MANIFEST = "run.json"
VERSION = 1
_KEY = "napari_seg_run"
PENDING = "pending"
DONE = "done"
FAILED = "failed"
_SOFTWARE = f"napari-seg {napari_seg.__version__}"
Mode = Literal["new", "resume", "restart"]


@dataclass(frozen=True)
class Stamp:
    """How a file was when it was read."""

    bytes: int
    modified_ns: int
    """Time of the last change, in nanoseconds since 1970."""

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Look at a file, or at all files of a Zarr image.

        Raises
        ------
        OSError
            If it is gone.
        """
        about = path.stat()
        if not path.is_dir():
            return cls(about.st_size, about.st_mtime_ns)
        inner = [p.stat() for p in path.rglob("*") if p.is_file()]
        latest = max((s.st_mtime_ns for s in inner), default=about.st_mtime_ns)
        return cls(sum(s.st_size for s in inner), latest)


class RunManifest:
    """The file ``run.json`` in the folder of results.

    Parameters
    ----------
    path : pathlib.Path
    about : mapping
        ``model``, ``sha256`` and ``parameters``: what makes the labels what they are.
    files : mapping, optional
        What is known of each image, by its name.
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, Any],
        files: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.path = path
        self.about = json.loads(json.dumps(about))
        self.software = _SOFTWARE
        """What began it."""
        self.files = {name: dict(entry) for name, entry in (files or {}).items()}
        # 100,000 entries are written after each image: each is encoded only once
        self._lines = {name: _line(name, e) for name, e in self.files.items()}

    @classmethod
    def open(cls, out: Path, about: Mapping[str, Any], mode: Mode) -> RunManifest:
        """Begin a manifest in a folder, or go on with the one that is there.

        Parameters
        ----------
        out : pathlib.Path
            Folder of the results.
        about : mapping
            As above.
        mode : str
            ``resume`` goes on with a run of the same model and parameters; ``restart``
            forgets what is there; ``new`` does so too, unless somebody's work would
            be forgotten: a run that was not finished is refused.

        Raises
        ------
        FormatError
            If the manifest there is none, or of another run.
        """
        path = out / MANIFEST
        if mode == "restart" or not path.exists():
            return cls(path, about)
        found = cls._read(path)
        differences = _differences(found.about, cls(path, about).about)
        if mode == "resume" and differences:
            raise FormatError(
                f"{path} is of another run",
                "; ".join(differences),
                "Give the same model and options, choose another --out, or begin "
                "anew with --restart.",
            )
        states = [entry.get("state") for entry in found.files.values()]
        if mode == "new" and DONE in states and PENDING in states:
            raise FormatError(
                f"{path} is of a run that was not finished",
                f"{states.count(DONE)} of {len(states)} images done",
                "Go on with --resume, or begin anew with --restart.",
            )
        return cls(path, about) if differences else found

    @classmethod
    def find(cls, out: Path) -> RunManifest | None:
        """Return the manifest that is in a folder; None if there is none.

        Raises
        ------
        FormatError
            If it cannot be read.
        """
        path = out / MANIFEST
        return cls._read(path) if path.exists() else None

    @classmethod
    def _read(cls, path: Path) -> RunManifest:
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored[_KEY] != VERSION:
                raise ValueError(f"version {stored[_KEY]}")
            about = {key: stored[key] for key in ("model", "sha256", "parameters")}
            found = cls(path, about, stored["files"])
            found.software = str(stored["software"])
            return found
        except (
            OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError
        ) as error:  # fmt: skip
            raise FormatError(
                f"cannot read {path} as the record of a run",
                str(error),
                "Choose another --out, or replace it with --restart.",
            ) from error

    @property
    def software_differs(self) -> bool:
        """Whether another version of the program began the run."""
        return self.software != _SOFTWARE

    def begin(self, inputs: Mapping[str, Path]) -> None:
        """Note which images are still to be done, and save.

        Parameters
        ----------
        inputs : mapping of str to pathlib.Path
            Images by their names. Others are forgotten unless they are done.

        Raises
        ------
        OSError, FormatError
            If the folder cannot be written.
        """
        # What was planned before and is not any more would never be done.
        for name in [n for n, e in self.files.items() if e.get("state") != DONE]:
            del self.files[name], self._lines[name]
        for name, path in inputs.items():
            self._set(name, {"state": PENDING, "input": str(path.absolute())})
        self.save()

    def lost(self) -> dict[str, Path]:
        """Return images that were still to be done and are not there any more."""
        waiting = {
            name: Path(str(entry.get("input")))
            for name, entry in self.files.items()
            if entry.get("state") == PENDING
        }
        return {name: path for name, path in waiting.items() if not path.exists()}

    def record(self, name: str, entry: Mapping[str, Any]) -> None:
        """Note what became of an image; `save` brings it to the disk."""
        self._set(name, {**entry, "software": _SOFTWARE})

    def _set(self, name: str, entry: Mapping[str, Any]) -> None:
        self.files[name] = dict(entry)
        self._lines[name] = _line(name, entry)

    def finished(
        self, name: str, stamp: Stamp, outputs: Sequence[Path]
    ) -> dict[str, Any] | None:
        """Return the entry of an image that is done and has not changed since."""
        entry = self.files.get(name, {})
        is_same = all(entry.get(key) == value for key, value in asdict(stamp).items())
        if entry.get("state") != DONE or not is_same:
            return None
        return entry if all(path.is_file() for path in outputs) else None

    def save(self) -> None:
        """Write it, complete or not at all.

        Raises
        ------
        OSError, FormatError
            If the disk is full or cannot be written; what was there stays.
        """
        head = {
            _KEY: VERSION,
            "software": self.software,
            **self.about,
        }
        text = json.dumps(head, indent=1, ensure_ascii=False)
        files = ",\n".join(self._lines.values())
        with atomic_path(self.path) as temporary, temporary.open("wb") as file:
            file.write(f'{text[:-2]},\n "files": {{\n{files}\n}}\n}}\n'.encode())
            file.flush()
            os.fsync(file.fileno())


def _line(name: str, entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry, ensure_ascii=False, default=str)
    return f"  {json.dumps(name, ensure_ascii=False)}: {text}"


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say in words what differs between two runs."""
    found = []
    if before["sha256"] != now["sha256"]:
        hashes = [str(about["sha256"])[:12] for about in (before, now)]
        found.append(
            f"model {before['model']} ({hashes[0]}…), now {now['model']} ({hashes[1]}…)"
        )
    old, new = before["parameters"], now["parameters"]
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            found.append(f"{key} {old.get(key)}, now {new.get(key)}")
    return found
