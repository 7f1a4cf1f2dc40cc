"""The index of a data set: ``dataset.json``, and who may write it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

import napari_seg
from napari_seg.data.provenance import Provenance
from napari_seg.errors import DatasetError
from napari_seg.files import atomic_path

INDEX = "dataset.json"
SCHEMA = 1
"""Version of the index; readers refuse later ones."""
LOCK = ".dataset.lock"
LOCK_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class DatasetItem:
    """What the index says of one image and its labels."""

    name: str = ""
    """Unique in the data set."""
    image: str = ""
    """Its file, from the folder of the data set."""
    labels: str = ""
    weights: str = ""
    """File of the border weights; empty without."""
    split: str | None = None
    """``train``, ``val`` or None."""
    group: str = ""
    """What is of one group stays on one side of a split."""
    correct_ids: tuple[int, ...] | None = None
    """Objects to learn from; None: all."""
    correct_planes: tuple[int, ...] | None = None
    """Planes that are correct as a whole, T outermost; None: all."""
    axes: str = "YX"
    spacing_um: tuple[float, ...] | None = None
    channels: tuple[str, ...] = ()
    image_sha256: str = ""
    labels_sha256: str = ""
    states: Mapping[int, str] = field(default_factory=dict)
    classes: Mapping[int, str] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)
    uncertainties: Mapping[int, float] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)

    def as_dict(self) -> dict[str, Any]:
        """Return it as the index holds it."""
        stored = {f.name: getattr(self, f.name) for f in fields(self)}
        stored["provenance"] = self.provenance.as_dict()
        always = ("image", "labels", "split", "axes")
        return {k: v for k, v in stored.items() if v or k in always or v == ()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> DatasetItem:
        """Read an entry of the index; what later versions add is left out."""
        known = {f.name: stored[f.name] for f in fields(cls) if f.name in stored}
        for key in ("correct_ids", "correct_planes", "spacing_um", "channels"):
            if known.get(key) is not None:
                known[key] = tuple(known[key])
        for key in ("states", "classes", "scores", "uncertainties"):
            known[key] = {int(i): v for i, v in known.get(key, {}).items()}
        known["provenance"] = Provenance.from_dict(known.get("provenance", {}))
        known.setdefault("name", Path(known["image"]).stem)
        return cls(**known)


def array_sha256(array: NDArray[Any]) -> str:
    """Hash of the values, type and shape of an array, however it is stored."""
    plain = np.ascontiguousarray(array)
    plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{plain.dtype.name} {plain.shape}".encode())
    digest.update(plain.tobytes())
    return digest.hexdigest()


def read_index(folder: Path) -> list[DatasetItem]:
    """Read the index of a data set.

    Raises
    ------
    DatasetError
        If there is none, or it cannot be understood.
    """
    index = folder / INDEX
    try:
        stored = json.loads(index.read_text(encoding="utf-8"))
        schema = stored.get("schema", SCHEMA)
        items = [DatasetItem.from_dict(entry) for entry in stored["pairs"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{index} does not describe a data set",
            f"{type(error).__name__}: {error}",
            "Check the path, or put back the last dataset.json.bak beside it.",
        ) from error
    if not isinstance(schema, int) or schema > SCHEMA:
        raise DatasetError(
            f"{index} was written by a later version",
            f"schema {schema}, known up to {SCHEMA}",
            "Update napari-seg.",
        )
    return items


def write_index(folder: Path, items: Iterable[DatasetItem]) -> None:
    """Write the index, complete or not at all; only under `locked`."""
    stored = {
        "schema": SCHEMA,
        "software": f"napari-seg {napari_seg.__version__}",
        "pairs": [item.as_dict() for item in items],
    }
    with atomic_path(folder / INDEX) as temporary, temporary.open("w") as file:
        file.write(json.dumps(stored, indent=1, default=_plain))
        file.flush()
        os.fsync(file.fileno())


def _plain(value: Any) -> Any:
    """Turn numbers of NumPy into those of Python, and what is left into text."""
    return value.item() if isinstance(value, np.generic) else str(value)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other writers out; a writer that dies gives the lock back."""
    try:
        with FileLock(folder / LOCK, timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise DatasetError(
            f"{folder} is being written to by another program",
            f"no end of it in {LOCK_TIMEOUT_S:.0f} s",
            "Wait, or close the other program.",
        ) from error
