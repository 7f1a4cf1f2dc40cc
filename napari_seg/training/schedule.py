"""How a run proceeds: its end, its learning rate, its running average."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from napari_seg.training.params import TrainParams
    from napari_seg.training.state import Progression

DEFAULT_MINUTES = 10.0
"""Length of a run that is given neither steps nor minutes."""
WARM_UP = 0.03
"""Share of the run in which the learning rate rises."""
MOST_STEPS_PER_MINUTE = 60_000
"""More than any machine makes; bounds a run that is limited by time alone."""


def most_steps(params: TrainParams) -> int:
    """Count the steps after which a run ends at the latest."""
    minutes = params.minutes or DEFAULT_MINUTES
    return params.steps or math.ceil(minutes * MOST_STEPS_PER_MINUTE)


def fraction_done(done: Progression, params: TrainParams) -> float:
    """Share of the run that is over, by steps or by time, whichever is further."""
    by_step = done.step / params.steps if params.steps else 0.0
    minutes = params.minutes or (None if params.steps else DEFAULT_MINUTES)
    by_time = done.elapsed_s / (60 * minutes) if minutes else 0.0
    return max(by_step, by_time)


def rate_factor(fraction: float) -> float:
    """Learning rate relative to its highest: linear warm-up, then half a cosine."""
    if fraction < WARM_UP:
        return max(fraction / WARM_UP, 0.01)
    cosine = math.cos(math.pi * min((fraction - WARM_UP) / (1 - WARM_UP), 1.0))
    return max(0.5 * (1 + cosine), 0.001)


def running_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential moving average that forgets the random start at first.

    Parameters
    ----------
    decay : float
        Weight of the old value once the run is under way.

    Returns
    -------
    callable
        ``avg_fn`` of `torch.optim.swa_utils.AveragedModel`.
    """

    def average(old: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        weight = max(1 - decay, 1 / (1 + float(count) / 3))
        return old + (new - old) * weight if old.is_floating_point() else new

    return average
