"""A robot that corrects one object by clicking where the largest error is.

It knows the truth; the tools it drives see only its clicks: pixels and a side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from edt import edt
from scipy import ndimage

from napari_seg.imaging.deltas import bounding_box
from napari_seg.refine.strokes import disc

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CLICKS = 20
RADIUS_PX = 2.0


class Rule(Enum):
    """Which pixels a click marks."""

    FITTED = "fitted"
    """A disc of 2 px, smaller where the error is narrower: no pixel of it is wrong, and
    it tells no more of the outline than the click itself."""
    PLAIN = "plain"
    """A disc of 2 px, which at thin rims marks pixels of the other side, too."""
    CLIPPED = "clipped"
    """The pixels of the plain disc on the clicked side of the true outline: tells the
    tools where the outline is, so it is here only to compare with."""
    POINT = "point"
    """One pixel."""


@dataclass(frozen=True)
class Click:
    """What the user tells a tool.

    Parameters
    ----------
    centre : ndarray of int, shape (ndim,)
        Clicked pixel.
    points : ndarray of int, shape (N, ndim)
        Pixels marked, the centre among them.
    positive : bool
        Whether they belong to the object.
    depth : float
        Distance from the centre to the border of the clicked error, in units of
        spacing: what a user of a plain brush would set its radius to.
    """

    centre: NDArray[np.intp]
    points: NDArray[np.intp]
    positive: bool
    depth: float


Tool = Callable[[Click], "NDArray[np.bool_]"]
"""Takes a click and returns the mask so far."""


@dataclass(frozen=True)
class Trial:
    """Clicks on one object.

    Parameters
    ----------
    scores : tuple of float
        IoU before the first click and after each one, up to the first that reaches
        the quality aimed at.
    seconds : tuple of float
        Time of each click.
    mask : ndarray of bool
        The object after the last click.
    """

    scores: tuple[float, ...]
    seconds: tuple[float, ...]
    mask: NDArray[np.bool_] = field(repr=False)

    def clicks(self, quality: float) -> int:
        """Return the clicks needed to reach an IoU, `MOST_CLICKS` where never."""
        reached = (i for i, score in enumerate(self.scores) if score >= quality)
        return next(reached, MOST_CLICKS)

    def failed(self, quality: float) -> bool:
        """Tell whether the IoU was never reached."""
        return max(self.scores) < quality

    def after(self, clicks: int, seconds: float, score: float) -> Trial:
        """Return the trial with some clicks of other tools before it."""
        scores = ((score,) * clicks + self.scores)[: MOST_CLICKS + 1]
        before = (seconds / clicks,) * clicks
        return Trial(scores, before + self.seconds, self.mask)


def next_click(
    mask: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    clicked: NDArray[np.bool_],
    spacing: Sequence[float],
    rule: Rule = Rule.FITTED,
) -> Click | None:
    """Return a click in the middle of the largest error.

    Parameters
    ----------
    mask, truth : ndarray of bool
        The object as it is, and as it should be.
    clicked : ndarray of bool
        Pixels clicked before, which are not clicked again.
    spacing : sequence of float
        Voxel size in units of its shortest side.
    rule : Rule, optional
        Which pixels the click marks.

    Returns
    -------
    Click or None
        None where nothing wrong is left that was not clicked before.
    """
    errors = []
    for wrong, positive in ((truth & ~mask, True), (mask & ~truth, False)):
        parts, count = ndimage.label(wrong)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        fresh = np.bincount(parts[~clicked], minlength=count + 1) > 0
        sizes[0], sizes[~fresh] = 0, 0
        if sizes.any():
            number = int(sizes.argmax())
            errors.append((int(sizes[number]), positive, parts, number))
    if not errors:
        return None
    # Of errors of one size the missing one comes first.
    _, positive, parts, number = max(errors, key=lambda error: error[:2])
    box = bounding_box(parts == number)
    depth = edt(parts[box] == number, anisotropy=tuple(spacing), black_border=True)
    depth[clicked[box]] = 0
    flat = int(depth.argmax())
    within = np.unravel_index(flat, depth.shape)
    centre = np.array([i + s.start for i, s in zip(within, box, strict=True)], np.intp)
    reach = float(depth.ravel()[flat])
    side = truth if positive else ~truth
    points = marked(centre, reach, side, spacing, rule)
    return Click(centre, points, positive, reach)


def marked(
    centre: NDArray[np.intp],
    depth: float,
    side: NDArray[np.bool_],
    spacing: Sequence[float],
    rule: Rule,
) -> NDArray[np.intp]:
    """Return the pixels that a click marks, shape (N, ndim).

    In a volume the disc lies in the plane clicked, for that is what a user sees.
    """
    radius = 0.0 if rule is Rule.POINT else RADIUS_PX
    if rule is Rule.FITTED:
        # The nearest pixel of the other side is `depth` away from the centre.
        radius = min(radius, np.nextafter(depth, 0))
    in_plane = disc(centre[-2:], radius, spacing[-2:])
    above = np.broadcast_to(centre[:-2], (len(in_plane), len(centre) - 2))
    points = np.concatenate([above, in_plane], axis=1)
    inside = ((points >= 0) & (points < side.shape)).all(axis=1)
    points = points[inside]
    if rule is Rule.CLIPPED:
        points = points[side[tuple(points.T)]]
    return points


def play(
    tool: Tool,
    truth: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    spacing: Sequence[float],
    *,
    rule: Rule = Rule.FITTED,
    quality: float = 0.9,
) -> Trial:
    """Click until the mask has the quality, or patience ends.

    Parameters
    ----------
    tool : callable
    truth : ndarray of bool
    mask : ndarray of bool
        The object at the beginning, empty for a new one.
    spacing : sequence of float
        Voxel size in units of its shortest side.
    rule : Rule, optional
    quality : float, optional
        IoU aimed at.
    """
    clicked = np.zeros(truth.shape, bool)
    scores = [iou(mask, truth)]
    seconds: list[float] = []
    while len(seconds) < MOST_CLICKS and scores[-1] < quality:
        click = next_click(mask, truth, clicked, spacing, rule)
        if click is None:
            break
        clicked[tuple(click.centre)] = True
        started = time.perf_counter()
        mask = tool(click)
        seconds.append(time.perf_counter() - started)
        scores.append(iou(mask, truth))
    return Trial(tuple(scores), tuple(seconds), mask)


def iou(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return the intersection over union of two masks, not both empty."""
    return float(np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth))
