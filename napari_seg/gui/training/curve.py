"""The loss curve as the panel draws it: never more points than a screen has."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

MOST_POINTS = 512


@dataclass
class LossCurve:
    """Losses of a training, thinned out as they grow, and scores at validations."""

    steps: list[float] = field(default_factory=list)
    """Middle step of each group."""
    losses: list[float] = field(default_factory=list)
    """Geometric mean of the losses of each group."""
    scores: list[tuple[int, float]] = field(default_factory=list)
    """Step and AP at IoU 0.5 of each validation."""
    stride: int = 1
    """Losses in a group."""
    _group: list[tuple[int, float]] = field(default_factory=list)

    def add(self, step: int, loss: float, ap: float | None = None) -> None:
        """Append a step; one that was there already is taken as done again."""
        if self.last_step >= step:
            self._cut(step)
        if math.isfinite(loss) and loss > 0:
            self._group.append((step, math.log(loss)))
        if len(self._group) >= self.stride:
            self._close_group()
        if ap is not None:
            self.scores.append((step, ap))

    @property
    def last_step(self) -> int:
        """Last step that is in the curve; 0 for an empty one."""
        last = self._group[-1][0] if self._group else 0
        return max(last, math.ceil(self.steps[-1]) if self.steps else 0)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.steps and not self.scores

    def smooth(self, weight: float = 0.9) -> list[float]:
        """Return the losses, each averaged with those before it."""
        found: list[float] = []
        mean, norm = 0.0, 0.0
        for loss in self.losses:
            mean = weight * mean + (1 - weight) * math.log(loss)
            norm = weight * norm + (1 - weight)
            found.append(math.exp(mean / norm))
        return found

    def best(self) -> tuple[int, float] | None:
        """Return step and AP of the best validation."""
        return max(self.scores, key=lambda score: score[1], default=None)

    def _close_group(self) -> None:
        count = len(self._group)
        self.steps.append(sum(step for step, _ in self._group) / count)
        self.losses.append(math.exp(sum(loss for _, loss in self._group) / count))
        self._group.clear()
        if len(self.steps) >= MOST_POINTS:
            self.stride *= 2
            self.steps = _pairwise(self.steps)
            logs = _pairwise([math.log(loss) for loss in self.losses])
            self.losses = [math.exp(value) for value in logs]

    def _cut(self, step: int) -> None:
        """Forget a step and all after it."""
        kept = sum(s < step for s in self.steps)
        del self.steps[kept:], self.losses[kept:]
        self._group = [(s, loss) for s, loss in self._group if s < step]
        self.scores = [(s, ap) for s, ap in self.scores if s < step]


def _pairwise(values: list[float]) -> list[float]:
    return [sum(values[i : i + 2]) / 2 for i in range(0, len(values) - 1, 2)]
