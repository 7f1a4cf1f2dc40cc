"""A robot that corrects one object by clicking where the largest error is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from edt import edt
from scipy import ndimage

from napari_seg.refine.strokes import disc

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CLICKS = 20
RADIUS_PX = 2.0

Tool = Callable[["NDArray[np.intp]", bool], "NDArray[np.bool_]"]
"""Takes a click and whether it is positive, returns the mask so far."""


@dataclass(frozen=True)
class Trial:
    """Clicks on one object.

    Parameters
    ----------
    scores : tuple of float
        IoU after each click, up to the first that reaches the last quality.
    seconds : float
        Mean time of a click.
    """

    scores: tuple[float, ...]
    seconds: float

    def clicks(self, quality: float) -> int:
        """Return the clicks needed to reach an IoU, `MOST_CLICKS` where never."""
        reached = [i for i, s in enumerate(self.scores, 1) if s >= quality]
        return reached[0] if reached else MOST_CLICKS

    def failed(self, quality: float) -> bool:
        """Tell whether the IoU was never reached."""
        return max(self.scores) < quality


def next_click(
    mask: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    clicked: NDArray[np.bool_],
    spacing: Sequence[float],
) -> tuple[NDArray[np.intp], bool]:
    """Return the middle of the largest error, and whether it is missing object."""
    best: tuple[int, NDArray[np.bool_], bool] | None = None
    for error, positive in ((truth & ~mask, True), (mask & ~truth, False)):
        parts, count = ndimage.label(error)
        if count:
            sizes = np.bincount(parts.ravel())[1:]
            size = int(sizes.max())
            if best is None or size > best[0]:
                best = size, parts == 1 + sizes.argmax(), positive
    assert best is not None
    _, region, positive = best
    depth = edt(region, anisotropy=tuple(spacing), black_border=True)
    depth[clicked] = 0
    return np.array(np.unravel_index(depth.argmax(), depth.shape)), positive


def play(
    tool: Tool,
    truth: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    spacing: Sequence[float],
    quality: float = 0.9,
) -> Trial:
    """Click until the mask has the quality, or patience ends."""
    clicked = np.zeros(truth.shape, bool)
    scores: list[float] = []
    seconds = 0.0
    while len(scores) < MOST_CLICKS and (not scores or scores[-1] < quality):
        click, positive = next_click(mask, truth, clicked, spacing)
        clicked[tuple(click)] = True
        started = time.perf_counter()
        mask = tool(click, positive)
        seconds += time.perf_counter() - started
        scores.append(float((mask & truth).sum() / (mask | truth).sum()))
    return Trial(tuple(scores), seconds / len(scores))


def brushed(
    click: NDArray[np.intp], side: NDArray[np.bool_], spacing: Sequence[float]
) -> tuple[Any, ...]:
    """Return the index of the pixels under the robot's brush.

    The robot never paints over the true outline: `side` is what may be painted. Tools
    that take every seed for certain would fail otherwise; all get the same pixels.
    """
    points = disc(click, RADIUS_PX, spacing)
    inside = ((points >= 0) & (points < np.asarray(side.shape))).all(axis=1)
    index = tuple(points[inside].T)
    return tuple(axis[side[index]] for axis in index)
