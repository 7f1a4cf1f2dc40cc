"""The tiles that the weights of a large labels array are computed in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_seg.imaging.slabs import Box

Frame = tuple[int, ...]
"""Place of a plane or volume along the axes that it has not."""

_SIDES_PX = {2: (512, 512), 3: (32, 256, 256)}
"""Tiles take some 30 ms in a plane and seconds in a volume."""

FRAME_STEP = 1e6
"""A step to another plane is farther than any way within one."""


class Tiles:
    """A labels array in tiles, each within one plane or volume.

    Parameters
    ----------
    shape : sequence of int
        Of the labels.
    spatial : sequence of int
        Axes along which distances are measured, two or three. Along the others (time,
        channels, planes of a stack) each index is a frame of its own.
    """

    def __init__(self, shape: Sequence[int], spatial: Sequence[int]) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.spatial = tuple(spatial)
        self.others = tuple(a for a in range(len(self.shape)) if a not in self.spatial)
        sides = dict(zip(self.spatial, _SIDES_PX[len(self.spatial)], strict=True))
        cuts = [_cuts(n, sides.get(axis, 1)) for axis, n in enumerate(self.shape)]
        self.boxes: list[Box] = [tuple(parts) for parts in product(*cuts)]
        shown = (len(self.boxes), len(self.shape))
        self._low = np.array([[s.start for s in b] for b in self.boxes]).reshape(shown)
        self._high = np.array([[s.stop for s in b] for b in self.boxes]).reshape(shown)
        self._of_frame: dict[Frame, list[int]] = {}
        for number, box in enumerate(self.boxes):
            self._of_frame.setdefault(self.frame(box), []).append(number)

    def __len__(self) -> int:
        return len(self.boxes)

    def frame(self, box: Box) -> Frame:
        """Return the frame a box is in."""
        return tuple(int(box[a].start) for a in self.others)

    def of_frame(self, frame: Frame) -> list[int]:
        """Return the numbers of a frame's tiles."""
        return self._of_frame[frame]

    def frame_size(self) -> int:
        """Return how many pixels a frame has."""
        return math.prod(self.shape[a] for a in self.spatial)

    def touching(self, box: Box) -> list[int]:
        """Return the numbers of the tiles that share pixels with a box."""
        low, high = np.array([[s.start, s.stop] for s in box]).T
        shared = (self._low < high) & (self._high > low)
        return [int(i) for i in np.flatnonzero(shared.all(axis=1))]

    def distances(self, box: Box) -> NDArray[np.float64]:
        """Return how far each tile is from a box; those in its frames come first."""
        low, high = np.array([[s.start, s.stop] for s in box]).T
        apart = np.maximum(np.maximum(self._low - (high - 1), low - self._high + 1), 0)
        apart = apart.astype(float)
        apart[:, list(self.others)] *= FRAME_STEP
        # Among those that are seen, the middle first.
        middle = (self._low + self._high - low - high) / 2
        return apart.sum(axis=1) + 1e-6 * np.abs(middle[:, self.spatial]).sum(axis=1)

    def frames_in(self, box: Box) -> Iterator[Box]:
        """Cut a box into one for each frame."""
        ranges = [
            [slice(i, i + 1) for i in range(part.start, part.stop)]
            if axis in self.others
            else [part]
            for axis, part in enumerate(box)
        ]
        yield from (tuple(parts) for parts in product(*ranges))

    def grown(self, box: Box, margin: Sequence[int]) -> Box:
        """Return a box with a margin along the spatial axes, within the array."""
        wide = dict(zip(self.spatial, margin, strict=True))
        return tuple(
            slice(
                max(0, part.start - wide.get(axis, 0)),
                min(self.shape[axis], part.stop + wide.get(axis, 0)),
            )
            for axis, part in enumerate(box)
        )


def _cuts(length: int, side: int) -> list[slice]:
    """Cut an axis into even parts of about `side`."""
    count = max(1, round(length / side))
    edges = [length * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]
