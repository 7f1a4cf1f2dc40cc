"""Windows of feature maps: which part a level must give, and which it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Range = tuple[int, int]
"""Half-open range of pixels along one axis."""


@dataclass(frozen=True)
class Window:
    """What one level of a decoder works on, in the pixels of that level."""

    needed: list[Range]
    """What the next finer level will read of its output."""
    seen: list[Range]
    """What it reads itself to get that right."""


def take(x: Tensor, have: Sequence[Range], want: Sequence[Range]) -> Tensor:
    """Narrow the spatial axes of `x`, which starts at `have`, to the window `want`."""
    for axis, ((start, _), (low, high)) in enumerate(
        zip(have, want, strict=True), start=2
    ):
        x = x.narrow(axis, low - start, high - low)
    return x


def grow(window: Sequence[Range], by: int, size: Sequence[int]) -> list[Range]:
    """Widen a window by some pixels on every side, within a map of `size`."""
    return [
        (max(low - by, 0), min(high + by, length))
        for (low, high), length in zip(window, size, strict=True)
    ]
