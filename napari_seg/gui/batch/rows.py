"""The images of a batch: what is known of each, and what is said of all."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_seg.data.batch_plan import PlannedFile
from napari_seg.data.run_manifest import DONE, FAILED, RunManifest
from napari_seg.gui.meter import format_seconds
from napari_seg.inference.batch import SKIPPED, Outcome


class RowState(enum.Enum):
    """How far an image is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class BatchRow:
    """One image of the folder."""

    name: str
    """Path of the labels below the folder of results, without suffix."""
    path: Path
    target: Path
    state: RowState = RowState.WAITING
    objects: int | None = None
    """Objects that were found; None if nobody knows."""
    error: str = ""
    """Why it failed, and what to do."""


@dataclass
class BatchList:
    """All images of a batch, by their names and in the order they are done."""

    rows: dict[str, BatchRow] = field(default_factory=dict)
    is_begun: bool = False
    """Whether there is a record of a run in the folder of results."""
    problem: str = ""
    """Why there are no images, or nothing is known of them."""
    foreign: int = 0
    """Files in the folder of results that no run has made, and this one would."""

    def count(self, state: RowState) -> int:
        """Return how many images are in a state."""
        return self._counts[state]

    @property
    def left(self) -> int:
        """How many images are still to be done, failed ones among them."""
        return len(self.rows) - self.count(RowState.DONE)

    def __post_init__(self) -> None:
        """Count once: a folder may have ten thousand images."""
        self._counts = Counter(row.state for row in self.rows.values())

    def put(self, row: BatchRow) -> None:
        """Add an image, or replace what is known of it."""
        old = self.rows.get(row.name)
        if old is not None:
            self._counts[old.state] -= 1
        self._counts[row.state] += 1
        self.rows[row.name] = row

    def begin(self, name: str) -> BatchRow | None:
        """Take note that an image is being done."""
        return self._set(name, state=RowState.RUNNING, error="")

    def end(self, outcome: Outcome) -> BatchRow | None:
        """Take note of what became of an image."""
        if outcome.state == FAILED:
            known = {"state": RowState.FAILED, "error": outcome.error}
        elif outcome.state == SKIPPED:
            known = {"state": RowState.DONE}
        else:
            known = {"state": RowState.DONE, "objects": outcome.report["objects"]}
        file = outcome.file
        # one that is gone since the run was begun is not in the folder any more
        if file.key not in self.rows:
            self.put(BatchRow(file.key, file.path, file.target))
        return self._set(file.key, **known)

    def halt(self) -> list[BatchRow]:
        """Take note that nothing is being done any more; return what changes."""
        running = [r for r in self.rows.values() if r.state is RowState.RUNNING]
        found = (self._set(row.name, state=RowState.WAITING) for row in running)
        return [row for row in found if row is not None]

    def forget(self) -> None:
        """Begin anew: nothing is known of any image."""
        for row in list(self.rows.values()):
            self.put(BatchRow(row.name, row.path, row.target))

    def _set(self, name: str, **known: object) -> BatchRow | None:
        if name not in self.rows:
            return None
        self.put(replace(self.rows[name], **known))  # type: ignore[arg-type]
        return self.rows[name]


def list_batch(files: Iterable[PlannedFile], manifest: RunManifest | None) -> BatchList:
    """Return the images of a plan, with what a run before has done."""
    found = BatchList(is_begun=manifest is not None)
    known = {} if manifest is None else manifest.files
    for file in files:
        key = file.key
        entry = known.get(key, {})
        row = BatchRow(key, file.path, file.target)
        if entry.get("state") == DONE and file.target.is_file():
            row = replace(row, state=RowState.DONE, objects=entry.get("objects"))
        elif entry.get("state") == FAILED:
            error = str(entry.get("error", ""))
            row = replace(row, state=RowState.FAILED, error=error)
        elif file.problem is not None:
            row = replace(row, state=RowState.FAILED, error=str(file.problem))
        found.foreign += manifest is None and file.target.is_file()
        found.put(row)
    return found


def progress_text(batch: BatchList, seconds: list[float]) -> str:
    """Say how far a batch is, and how long it will take.

    Parameters
    ----------
    batch : BatchList
    seconds : list of float
        What each image took so far; empty if nothing is going on.
    """
    if not batch.rows:
        return ""
    done, failed = batch.count(RowState.DONE), batch.count(RowState.FAILED)
    text = f"{done} of {len(batch.rows)} images done"
    if failed:
        text += f" · {failed} failed"
    waiting = batch.count(RowState.WAITING) + batch.count(RowState.RUNNING)
    if seconds and waiting:
        left = sum(seconds) / len(seconds) * waiting
        text += f" · {format_seconds(left)} left"
    return text
