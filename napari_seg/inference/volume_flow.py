"""The blocks of a volume, handed out until all are done or cannot be."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg.data.volume_store import open_level
from napari_seg.inference.block_queue import DECODE, MATCH, PREDICT, BlockQueue, Task
from napari_seg.inference.block_worker import BlockWorker
from napari_seg.inference.device import choose_device
from napari_seg.inference.pool import FULL, Here
from napari_seg.inference.pyramid import labels_shape, level_counts, preview_steps
from napari_seg.inference.seam_file import number_volume
from napari_seg.types import Progress, Region

if TYPE_CHECKING:
    from napari_seg.inference.cluster import Connection
    from napari_seg.inference.pool import Outcome, Pool
    from napari_seg.inference.volume_begin import Source
    from napari_seg.inference.volume_plan import VolumePlan
    from napari_seg.models.checkpoint import Checkpoint


class VolumeFlow:
    """Hands out the tasks of a plan, and notes what became of them."""

    def __init__(
        self,
        plan: VolumePlan,
        source: Source,
        checkpoint: Checkpoint,
        connection: Connection | None,
        preview_px: int = 0,
    ) -> None:
        self.plan = plan
        self.errors: list[str] = []
        self.objects = 0
        self.failed = 0
        self._source = source
        self._checkpoint = checkpoint
        self._connection = connection
        self._preview_px = preview_px
        self._is_full = False

    def iter_all(self) -> Generator[Progress, None, None]:
        """Do what is not done yet."""
        yield Progress("load", 1, 1)
        with closing(self._open_pool()) as pool:
            yield from self._iter_blocks(pool)
            if self._is_full:
                return
            yield Progress("join", 0, 1)
            self.objects = number_volume(self.plan)
            yield Progress("join", 1, 1)
            yield from self._iter_write(pool)

    def _open_pool(self) -> Pool:
        plan = self.plan
        if self._connection is not None:
            from napari_seg.inference.cluster import Cluster

            return Cluster(self._connection, plan)
        image = None if self._source.is_file else self._source.image
        device = choose_device(plan.params.device)
        return Here(BlockWorker(plan, self._checkpoint, device, image))

    def _iter_blocks(self, pool: Pool) -> Generator[Progress, None, None]:
        plan, run, count = self.plan, self.plan.run, self.plan.grid.count
        done = {stage: run.done(stage, count) for stage in (PREDICT, DECODE, MATCH)}
        if not done[MATCH].all():
            # Before the first new pair: a kill must not leave numbers that are old.
            run.forget("write")
        queue = BlockQueue(plan.grid, done, predicts=not plan.finds_objects)
        stages = (DECODE,) if plan.finds_objects else (PREDICT, DECODE)

        def progress(shown: int | None = None) -> Progress:
            have = queue.done[DECODE]
            reached = have.sum() if plan.finds_objects else (
                have.sum() + (have | queue.done[PREDICT]).sum()
            )  # fmt: skip
            text = f"{int(have.sum()):,} of {count:,} blocks".replace(",", "\u2009")
            message = f"{text}; {pool.message}" if pool.message else text
            region = None if shown is None else self._region(shown)
            total = len(stages) * count
            return Progress("blocks", int(reached), total, region, message)

        if self._preview_px:
            for block in np.flatnonzero(done[DECODE]):
                yield progress(int(block))
        for outcome in self._iter_pool(pool, iter(queue.take, object())):
            shown = None
            if outcome is not None:
                self._note(queue, outcome)
                if outcome.task.stage == DECODE and not outcome.error:
                    shown = outcome.task.block if self._preview_px else None
            yield progress(shown)
        if not self._is_full:
            for outcome in self._iter_pool(pool, iter(queue.left())):
                if outcome is not None:
                    self._note(queue, outcome)
        self.failed = int((~queue.done[DECODE]).sum())

    def _note(self, queue: BlockQueue, outcome: Outcome) -> None:
        task = outcome.task
        if outcome.error:
            queue.fail(task)
            self._fail(outcome)
            return
        for block in queue.finish(task):
            self.plan.run.drop(PREDICT, block)

    def _fail(self, outcome: Outcome) -> None:
        where = f"block {outcome.task.block} ({self._place(outcome.task.block)})"
        text = outcome.error
        if outcome.kind == FULL:
            text = f"the disk is full ({text}); make room and go on with --resume"
        self.errors.append(f"{where}: {text}")
        self._is_full |= outcome.kind == FULL

    def _place(self, block: int) -> str:
        """Say where a block lies in the labels."""
        grid = self.plan.grid
        cells = grid.cells_of(block)
        first, last = grid.core(cells[0]), grid.core(cells[-1])
        sides = [
            f"{axis} {a.start}-{b.stop}"
            for axis, a, b in zip("ZYX", first, last, strict=True)
            if axis in self.plan.axes
        ]
        return ", ".join([f"T {cells[0][0]}"] * ("T" in self.plan.axes) + sides)

    def _region(self, block: int) -> Region:
        """Return every n-th voxel of a decoded block."""
        plan, grid = self.plan, self.plan.grid
        cells = grid.cells_of(block)
        first, last = grid.core(cells[0]), grid.core(cells[-1])
        box = [slice(a.start, b.stop) for a, b in zip(first, last, strict=True)]
        shape = labels_shape(plan)
        steps = preview_steps(shape, plan.label_axes, self._preview_px)
        index = tuple(
            slice(part, part + 1)
            if isinstance(part, int)
            else slice(-(-part.start // step) * step, part.stop, step)
            for part, step in zip(
                plan.index(cells[0][0], (box[0], box[1], box[2])), steps, strict=True
            )
        )
        return Region(index, np.asarray(open_level(Path(plan.out))[index]))

    def _iter_write(self, pool: Pool) -> Generator[Progress, None, None]:
        """Write the final numbers, then level after level."""
        run, count = self.plan.run, self.plan.grid.count
        todo = np.flatnonzero(~run.done("write", count))
        levels = level_counts(self.plan)
        total = len(todo) + sum(levels)
        done = 0
        stages = [[Task("write", int(block)) for block in todo]]
        for level, parts in enumerate(levels, start=1):
            stages.append([Task(f"level {level}", part) for part in range(parts)])
        for tasks in stages:
            for outcome in self._iter_pool(pool, iter(tasks)):
                if outcome is not None:
                    done += 1
                    if outcome.error:
                        self._is_full |= outcome.kind == FULL
                        where = f"{outcome.task.stage} {outcome.task.block}"
                        self.errors.append(f"{where}: {outcome.error}")
                yield Progress("write", done, total)
            if self._is_full:
                return

    def _iter_pool(self, pool: Pool, tasks: Iterator[Any]) -> Iterator[Outcome | None]:
        """Keep the pool filled; yields outcomes, and None while nothing ends."""
        while True:
            while pool.has_room and not self._is_full:
                task = next(tasks, None)
                if task is None:
                    break
                pool.start(task)
            if not pool.is_busy:
                return
            waiting = pool.iter_wait()
            try:
                while True:
                    next(waiting)
                    yield None
            except StopIteration as stop:
                yield from stop.value
