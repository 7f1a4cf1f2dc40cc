"""The next free id of a labels layer, however large it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from napari_seg.gui.correction.target import Target
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.weights.changes import atom_box
from napari_seg.imaging.edits import next_free_id
from napari_seg.imaging.slabs import present_ids
from napari_seg.imaging.stored import StoredLabels
from napari_seg.types import Progress

_SLICE_S = 0.2
"""Labels on disk are looked through in turns of so long: strokes come in between."""

_KEY = "free id"


class FreeIds:
    """Looks for the next free id.

    Parameters
    ----------
    target : Target
        The labels.
    jobs : Jobs
        For looking through the labels.
    on_found : callable
        Takes the id.
    on_progress : callable
        Takes the share that was looked through; None at the end.
    on_error : callable
        Takes an exception.
    """

    def __init__(
        self,
        target: Target,
        jobs: Jobs,
        on_found: Callable[[int], None],
        on_progress: Callable[[float | None], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._target = target
        self._jobs = jobs
        self._on_found = on_found
        self._on_progress = on_progress
        self._on_error = on_error
        self._job: Job | None = None
        if isinstance(target.labels, StoredLabels):
            target.layer.events.paint.connect(self._on_paint)

    def close(self) -> None:
        """Stop, and let go of the layer."""
        self._jobs.forget(_KEY)
        if self._job is not None:
            self._job.drop()
        if isinstance(self._target.labels, StoredLabels):
            self._target.layer.events.paint.disconnect(self._on_paint)

    def find(self) -> None:
        """Look for an id."""
        self._job = Job(
            _look(self._target.labels),
            on_done=self._take,
            on_error=self._on_error,
            poll_s=0.02,
        )
        self._jobs.start(self._job)

    def _take(self, found: tuple[int, float]) -> None:
        object_id, share = found
        if object_id:
            self._on_progress(None)
            self._on_found(object_id)
        else:
            self._on_progress(share)
            self._jobs.later(_KEY, 0.0, self.find)

    def _on_paint(self, event: Any) -> None:
        """Tell the labels what napari's own tools have written into their array."""
        labels = self._target.labels
        for atom in event.value:
            box = atom_box(atom, labels.shape)
            if box is not None:
                # Those before come back with Ctrl+Z, which napari does not tell.
                old = getattr(atom, "old_values", None)
                new = getattr(atom, "new_value", None)
                both = atom[1] if old is None else old, atom[2] if new is None else new
                ids = {i for part in both for i in present_ids(np.atleast_1d(part))}
                labels.note(box, sorted(ids))


def _look(labels: Any) -> Generator[Progress, None, tuple[int, float]]:
    """Return the next free id; 0 if there is more to look through, and how much."""
    yield Progress("free id", 0, 1)
    if isinstance(labels, StoredLabels):
        until = time.perf_counter() + _SLICE_S
        for step in labels.iter_look():
            if time.perf_counter() > until:
                return 0, step.done / max(step.total, 1)
            yield step
    return next_free_id(labels), 1.0
