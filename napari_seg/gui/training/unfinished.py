"""Trainings that ended before they were done: stopped, failed or killed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from napari_seg.files import atomic_path
from napari_seg.gui.training.settings import Counts, TrainAdvanced, TrainSettings
from napari_seg.models.catalogue import SUFFIX
from napari_seg.training.curve import CurvePoint, curve_path, read_curve

STATE_SUFFIX = ".state"
"""As in `napari_seg.training.state`, which needs torch."""
RECORD_SUFFIX = ".run.json"


@dataclass(frozen=True)
class RunRecord:
    """What was asked of a training, so that it can be asked again."""

    settings: TrainSettings
    """Start, name, preset and advanced settings."""
    layers: Mapping[str, Counts] = field(default_factory=dict)
    """Labels layers it learns from, and what of them counts."""
    folders: tuple[Path, ...] = ()
    """Folders it learns from."""
    began: str = ""
    """When it was started, ISO 8601."""


@dataclass(frozen=True)
class Unfinished:
    """A training that can be taken up again."""

    out: Path
    """The checkpoint it writes."""
    record: RunRecord
    """What was asked of it."""
    last: CurvePoint | None
    """The last step it did."""

    @property
    def text(self) -> str:
        """One line for the user."""
        when = self.record.began[:16].replace("T", " ")
        step = f"step {self.last.step:,}" if self.last else "no step yet"
        return f"{self.record.settings.name}: {step}, begun {when}"


def write_record(out: Path, record: RunRecord, *, is_running: bool) -> None:
    """Write the record beside the checkpoint.

    Parameters
    ----------
    out : Path
        The checkpoint.
    record : RunRecord
        What was asked of the training.
    is_running : bool
        Whether this process is at it: then no other window offers to resume it.
    """
    content = {
        "settings": asdict(record.settings),
        "layers": {name: counts.name for name, counts in record.layers.items()},
        "folders": [str(folder) for folder in record.folders],
        "began": record.began,
        "process": list(_this_process()) if is_running else None,
    }
    with atomic_path(_beside(out, RECORD_SUFFIX)) as path:
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def find_unfinished(folder: Path) -> list[Unfinished]:
    """List the trainings in a folder that nobody is at, the latest first."""
    found = []
    for path in folder.glob(f"*{SUFFIX}{RECORD_SUFFIX}"):
        out = path.with_name(path.name.removesuffix(RECORD_SUFFIX))
        record = _read(path)
        if record is None:
            continue
        if _beside(out, STATE_SUFFIX).is_file():
            points = read_curve(out)
            found.append(Unfinished(out, record, points[-1] if points else None))
        else:  # it died before it had saved anything
            forget(out)
    return sorted(found, key=lambda each: each.record.began, reverse=True)


def forget(out: Path) -> None:
    """Delete what is needed only to go on; a checkpoint and its curve stay."""
    files = [_beside(out, RECORD_SUFFIX), _beside(out, STATE_SUFFIX)]
    if not out.is_file():
        files.append(curve_path(out))
    for file in files:
        with suppress(OSError):
            file.unlink()


def now() -> str:
    """Return the time as records have it."""
    return datetime.now().isoformat(timespec="seconds")


def _beside(out: Path, suffix: str) -> Path:
    return out.with_name(out.name + suffix)


def _read(path: Path) -> RunRecord | None:
    """Read a record; None for one that is foreign, damaged or in use."""
    # A record is worth no error message: without it there is only nothing to offer.
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if _is_at_work(content["process"]):
            return None
        settings = dict(content["settings"])
        advanced = settings["advanced"]
        if advanced.get("freeze_norm", advanced["rehearse"]) != advanced["rehearse"]:
            return None  # of a version in which that could be; it cannot go on so
        settings["advanced"] = _advanced(advanced)
        return RunRecord(
            TrainSettings(**settings),
            {name: Counts[counts] for name, counts in content["layers"].items()},
            tuple(Path(folder) for folder in content["folders"]),
            str(content["began"]),
        )
    return None


def _advanced(values: Mapping[str, Any]) -> TrainAdvanced:
    known = {f.name for f in fields(TrainAdvanced)}
    return TrainAdvanced(**{k: v for k, v in values.items() if k in known})


def _this_process() -> tuple[int, float]:
    return os.getpid(), psutil.Process().create_time()


def _is_at_work(process: list[Any] | None) -> bool:
    """Whether the process that wrote a record still lives; its number is reused."""
    if process is None:
        return False
    number, began = process
    try:
        return bool(abs(psutil.Process(int(number)).create_time() - began) < 1)
    except psutil.Error:
        return False
