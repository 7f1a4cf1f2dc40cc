"""What long jobs yield, and how a script drains them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")

Labels = NDArray[np.int32]
"""Instance ids of shape (plane, row, column) or (row, column); 0 is background."""

Probabilities = NDArray[np.float32]
"""Class probabilities in 0..1, class axis first: (K, [plane,] row, column)."""


@dataclass(frozen=True)
class Region:
    """A finished piece of a labels array.

    Parameters
    ----------
    index : tuple of slice or int
        Where the piece belongs in the full labels array.
    labels : ndarray of int32
        The piece itself, of the shape that `index` selects.
    """

    index: tuple[slice | int, ...]
    labels: Labels


@dataclass(frozen=True)
class Progress:
    """One step of a long job.

    Parameters
    ----------
    stage : str
        What is being done, e.g. ``"predict"``.
    done, total : int
        Finished and planned units of this stage.
    region : Region, optional
        A piece of the result that is already final enough to be shown.
    message : str, optional
        One line for the user.
    """

    stage: str
    done: int
    total: int
    region: Region | None = None
    message: str = ""

    @property
    def fraction(self) -> float:
        """Finished share of the stage, 0..1."""
        return self.done / self.total if self.total else 1.0


def run(generator: Generator[Progress, None, Result]) -> Result:
    """Drain a long job and return its result.

    Parameters
    ----------
    generator : generator of Progress
        A job of the core, e.g. ``iter_segment(...)``.

    Returns
    -------
    object
        What the generator returns.
    """
    while True:
        try:
            next(generator)
        except StopIteration as stop:
            result: Result = stop.value
            return result
