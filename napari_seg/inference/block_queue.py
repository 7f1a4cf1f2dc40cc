"""Which block is to be done next, and what waits for what."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_seg.inference.grid import Grid

PREDICT, DECODE, MATCH = "predict", "decode", "match"
STAGES = (PREDICT, DECODE, MATCH)


@dataclass(frozen=True)
class Task:
    """One stage of one block."""

    stage: str
    """``predict``, ``decode``, ``match``, ``write`` or ``level N``."""
    block: int
    """Number of the block in raster order."""


class BlockQueue:
    """Hands out tasks whose inputs are there; what frees room comes first.

    The graph is never built: neighbours are known by arithmetic, and of a block one
    byte is kept for each stage.

    Parameters
    ----------
    grid : Grid
    done : mapping of str to ndarray of bool, shape (blocks,)
        What is on disk already, by stage.
    predicts : bool
        Whether there is a stage before decoding.
    """

    def __init__(
        self, grid: Grid, done: Mapping[str, NDArray[np.bool_]], *, predicts: bool
    ) -> None:
        self.grid = grid
        self.done = {stage: done[stage].copy() for stage in STAGES}
        self.failed = {stage: np.zeros(grid.count, bool) for stage in STAGES}
        self._given = {stage: done[stage].copy() for stage in STAGES}
        self._predicts = predicts
        if not predicts:
            self.done[PREDICT][:] = True
        self._ready: deque[Task] = deque()
        self._cursor = 0
        if not predicts or any(stage.any() for stage in done.values()):
            for block in range(grid.count):
                self._offer_decode(block)
                self._offer_match(block)

    def take(self) -> Task | None:
        """Return a task that can be done now, or None."""
        if self._ready:
            return self._ready.popleft()
        while self._cursor < self.grid.count:
            block = self._cursor
            self._cursor += 1
            if self._predicts and self._is_to_be_predicted(block):
                self._given[PREDICT][block] = True
                return Task(PREDICT, block)
        return None

    def finish(self, task: Task) -> list[int]:
        """Note that a task is done.

        Returns
        -------
        list of int
            Blocks whose predictions nobody needs any more.
        """
        self.done[task.stage][task.block] = True
        if task.stage == PREDICT:
            for user in self.grid.users(task.block):
                self._offer_decode(user)
            return []
        if task.stage == DECODE:
            self._offer_match(task.block)
            for before in self.grid.following(task.block, -1):
                self._offer_match(before)
            if self._predicts:
                return [b for b in self.grid.sources(task.block) if self._is_free(b)]
        return []

    def fail(self, task: Task) -> None:
        """Note that a task cannot be done."""
        self.failed[task.stage][task.block] = True

    def left(self) -> list[Task]:
        """Return comparisons of decoded blocks that wait for blocks that failed."""
        waiting = self.done[DECODE] & ~self._given[MATCH]
        return [Task(MATCH, int(block)) for block in np.flatnonzero(waiting)]

    def _is_to_be_predicted(self, block: int) -> bool:
        if self._given[PREDICT][block]:
            return False
        return any(not self.done[DECODE][user] for user in self.grid.users(block))

    def _is_free(self, block: int) -> bool:
        return all(self.done[DECODE][user] for user in self.grid.users(block))

    def _offer_decode(self, block: int) -> None:
        if self._given[DECODE][block]:
            return
        if all(self.done[PREDICT][source] for source in self.grid.sources(block)):
            self._given[DECODE][block] = True
            self._ready.append(Task(DECODE, block))

    def _offer_match(self, block: int) -> None:
        if self._given[MATCH][block] or not self.done[DECODE][block]:
            return
        if all(self.done[DECODE][other] for other in self.grid.following(block)):
            self._given[MATCH][block] = True
            self._ready.append(Task(MATCH, block))
