"""The dense CRF as the window uses it: in the thread of a job, in other processes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_seg.gui.engine import import_torch
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.imaging.deltas import LabelEdit, make_edit
from napari_seg.inference.crf import PRELOAD, CrfSolver
from napari_seg.inference.planes import order_planes, plane_of
from napari_seg.inference.relabel import Outlines, Place, iter_relabel
from napari_seg.refine.crf import CrfParams
from napari_seg.refine.crf_solver import INSTALL, is_installed
from napari_seg.state import RefineScope, SegmentRequest
from napari_seg.types import Progress
from napari_seg.workers import Workers

_EDIT_PX = 512
"""Side of the pieces in which labels are written: each a few milliseconds."""


@dataclass(frozen=True, eq=False)
class RefineTask:
    """What is refined, as it was when it was asked for."""

    segmentation: Any
    """The `Segmentation` the labels were made from."""
    labels: Any
    """The labels as they are now; read by the job."""
    params: CrfParams
    """Of the CRF."""
    request: SegmentRequest
    """Thresholds, and the device."""
    place: Place
    """Where; for a whole stack the plane that comes first."""


class RefineEngine:
    """All that the Refine section asks of the core."""

    def __init__(self) -> None:
        self._workers = Workers(preload=PRELOAD)
        self._derived: tuple[Any, Any] | None = None

    @property
    def is_native(self) -> bool:
        """Whether pydensecrf is there; otherwise PyTorch does the same."""
        return is_installed()

    @property
    def install_line(self) -> str:
        """What to type to get pydensecrf."""
        return INSTALL

    def start(self) -> None:
        """Start the helper processes, so that the first preview need not wait."""
        if self.is_native:
            self._workers.start()

    def close(self) -> None:
        """End the helper processes."""
        self._workers.close()

    def iter_preview(self, task: RefineTask) -> Generator[Progress, None, Outlines]:
        """Refine one place; the next call for it only has the CRF to do."""
        solver = yield from self._iter_solver(task)
        place, request = task.place, task.request
        key = task.segmentation, place.plane, place.window, request.tunables()
        known = None
        if self._derived is not None and _is_same(self._derived[0], key):
            known = self._derived[1]
        found = yield from _iter_relabel(task, solver, place, derived=known)
        self._derived = key, found.derived
        return found

    def iter_apply(
        self, task: RefineTask, scope: RefineScope
    ) -> Generator[Progress, None, list[LabelEdit]]:
        """Refine whole planes; returns edits that belong together.

        A new object of one plane must not get the id of one in another, so ids that
        were given are counted.
        """
        solver = yield from self._iter_solver(task)
        edits: list[LabelEdit] = []
        planes = self._planes(task, scope)
        highest = 0
        for done, plane in enumerate(planes):
            place = Place(plane, _whole(task), task.place.locked, task.place.only)
            steps = _iter_relabel(task, solver, place, highest + 1)
            found = None
            while found is None:
                try:
                    step = next(steps)
                except StopIteration as stop:
                    found = stop.value
                else:
                    total = step.total * len(planes)
                    yield Progress("refine", done * step.total + step.done, total)
            highest = max(highest, int(found.after.max(initial=0)))
            edits += edits_of(found)
        return edits

    def _planes(self, task: RefineTask, scope: RefineScope) -> list[PlaneIndex]:
        if scope is RefineScope.PLANE:
            return [task.place.plane]
        planes = order_planes(task.segmentation.axes, task.labels.shape, None)
        if scope is RefineScope.STACK or task.place.only is None:
            return planes
        return [p for p in planes if (_plane(task, p) == task.place.only).any()]

    def _iter_solver(self, task: RefineTask) -> Generator[Progress, None, CrfSolver]:
        if not self.is_native:
            yield from import_torch()
        device = task.request.device
        return CrfSolver(task.params, device=device, workers=self._workers)


def edits_of(outlines: Outlines) -> list[LabelEdit]:
    """Return the change as edits small enough to be written one a turn."""
    starts = [p if isinstance(p, int) else p.start for p in outlines.index]
    shape = [1 if isinstance(p, int) else p.stop - p.start for p in outlines.index]
    before, after = (a.reshape(shape) for a in (outlines.before, outlines.after))
    edits = []
    blocks = [range(0, size, _EDIT_PX) for size in shape]
    for corner in np.ndindex(*[len(b) for b in blocks]):
        low = [c * _EDIT_PX for c in corner]
        part = tuple(slice(a, a + _EDIT_PX) for a in low)
        edit = make_edit(
            "refine",
            [a + b for a, b in zip(starts, low, strict=True)],
            before[part],
            after[part],
        )
        if not edit.is_empty:
            edits.append(edit)
    return edits


def _iter_relabel(
    task: RefineTask,
    solver: CrfSolver,
    place: Place,
    least_id: int = 1,
    derived: Any = None,
) -> Generator[Progress, None, Outlines]:
    request = task.request
    instances = task.segmentation.instance_params(
        threshold=request.threshold,
        seed_threshold=request.advanced.seed_threshold,
        min_size_px=request.min_size_px,
    )
    return (
        yield from iter_relabel(
            task.segmentation, task.labels, solver, instances, place, least_id, derived
        )
    )


def _is_same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    """Whether both are of the same segmentation, and equal otherwise."""
    return first[0] is second[0] and first[1:] == second[1:]


def _whole(task: RefineTask) -> tuple[slice, slice]:
    sizes = dict(zip(task.segmentation.axes, task.labels.shape, strict=True))
    return slice(0, sizes["Y"]), slice(0, sizes["X"])


def _plane(task: RefineTask, plane: PlaneIndex) -> np.ndarray:
    return plane_of(task.labels, task.segmentation.axes, plane)
