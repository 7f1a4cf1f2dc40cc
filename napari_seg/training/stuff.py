"""Classes beside the objects, e.g. myelin around axons: from files into labels.

Between reading and the loss they lie in the labels array, as ids below -1: so they are
cropped, turned and deformed with the objects, and need no second array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.errors import DatasetError
from napari_seg.training.checked import IGNORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_FIRST = IGNORED - 1


@dataclass(frozen=True)
class StuffClass:
    """A class whose regions are not counted one by one."""

    name: str
    """Name on the card."""
    value: int
    """Its pixels in the files of ``semantic/``."""

    @classmethod
    def parse(cls, text: str) -> StuffClass:
        """Read ``NAME=VALUE``, or raise DatasetError."""
        name, _, value = text.partition("=")
        if not name.strip() or not value.strip().isdigit():
            raise DatasetError(
                "A class beside the objects needs a name and a value",
                repr(text),
                "Write it as myelin=1: its name, and its pixels in semantic/.",
            )
        return cls(name.strip(), int(value))


def put_stuff(
    ids: NDArray[np.int32], semantic: NDArray[np.integer], classes: Sequence[StuffClass]
) -> None:
    """Write classes into the background of labels, in place.

    Parameters
    ----------
    ids : ndarray of int32, shape (Y, X)
        Objects keep their pixels, and so does what does not count (-1).
    semantic : ndarray of int, shape (Y, X)
        Values of the classes.
    classes : sequence of StuffClass
        The first becomes -2, the next -3, ...
    """
    for number, one in enumerate(classes):
        ids[(ids == 0) & (semantic == one.value)] = _FIRST - number


def stuff_numbers(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return 1, 2, ... where the first, second, ... class lies, and 0 elsewhere."""
    return np.where(labels <= _FIRST, _FIRST + 1 - labels, 0).astype(np.int64)


def without_stuff(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return labels in which the classes are background again."""
    return np.where(labels <= _FIRST, 0, labels).astype(np.int32, copy=False)
