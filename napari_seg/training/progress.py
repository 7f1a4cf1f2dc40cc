"""What a training run tells at each step. Needs no torch, so a window can read it."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from napari_seg.types import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_seg.imaging.metrics import Metrics

Result = TypeVar("Result")


@dataclass(frozen=True)
class Picture:
    """What the network makes of one validation image."""

    name: str
    """Name of the image."""
    image: NDArray[np.float32]
    """Normalised, shape (C, Y, X)."""
    labels: NDArray[np.int32]
    """Predicted ids, shape (Y, X)."""
    truth: NDArray[np.int32]
    """True ids, shape (Y, X); -1 where nobody looked."""


@dataclass(frozen=True)
class TrainProgress(Progress):
    """One training step."""

    loss: float = math.nan
    """Training loss of this step."""
    learning_rate: float = math.nan
    """Learning rate of this step."""
    metrics: Metrics | None = None
    """Validation metrics, at the steps that validate."""
    remaining_s: float = math.nan
    """Estimated seconds to the end."""
    picture: Picture | None = None
    """A validation image as the network sees it now, at the steps that validate."""

    @property
    def ap(self) -> float | None:
        """Validation AP at IoU 0.5, at the steps that validate."""
        return None if self.metrics is None else self.metrics.average_precision(0.5)


class Stopwatch:
    """Seconds that a generator has worked; while nobody advances it, it stands."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self._sum + running

    def go(self) -> None:
        """Start, or go on."""
        self._since = time.monotonic()

    def rest(self) -> None:
        """Stand still."""
        self._sum, self._since = self.seconds, None

    def time(
        self, job: Generator[Progress, None, Result]
    ) -> Generator[Progress, None, Result]:
        """Pass a job through, running only while it works: a pause costs nothing.

        Parameters
        ----------
        job : generator of Progress
            Closed, or thrown into, as this generator is.
        """
        error: BaseException | None = None
        while True:
            self.go()
            try:
                step = next(job) if error is None else job.throw(error)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            finally:
                self.rest()
            error = None
            try:
                yield step
            except GeneratorExit:
                job.close()
                raise
            except BaseException as thrown:  # noqa: BLE001 - handed on to the job
                error = thrown
