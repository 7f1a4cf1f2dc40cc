"""From single steps of a job to one bar that only moves forward."""

from __future__ import annotations

import time
from collections.abc import Callable

from napari_seg.types import Progress

# Shares of a whole run, measured on a CPU; on a GPU the bar is a little uneven.
_SHARES = {"load": 0.05, "size": 0.05, "predict": 0.75, "instances": 0.1, "link": 0.05}
_PREPARATION = ("load", "size")
_TEXTS = {
    "load": "Loading the network",
    "size": "Estimating the object size",
    "predict": "Segmenting",
    "instances": "Separating objects",
    "link": "Linking planes",
}
_UNITS = {"predict": " tiles"}
_MIN_SECONDS = 1.0


class ProgressMeter:
    """Turns `Progress` into a fraction and a line of text with the time left.

    Parameters
    ----------
    clock : callable
        Returns seconds; a test brings its own.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began: dict[str, float] = {}
        self._done: dict[str, float] = {}
        self.text = "Starting"

    @property
    def fraction(self) -> float:
        """Finished share of the whole run, 0..1; it never goes back.

        Stages may take turns, plane by plane, so each counts on its own; one that
        comes before a stage that has begun is over, or was left out.
        """
        names = list(_SHARES)
        begun = [names.index(stage) for stage in self._done if stage in _SHARES]
        over = names[: max(begun, default=0)]
        done = {name: 1.0 for name in over if name in _PREPARATION} | self._done
        return sum(share * done.get(name, 0.0) for name, share in _SHARES.items())

    def update(self, progress: Progress) -> None:
        """Take in one step."""
        stage = progress.stage
        self._began.setdefault(stage, self._clock())
        self._done[stage] = max(self._done.get(stage, 0.0), progress.fraction)
        self.text = progress.message or _TEXTS.get(stage, stage.capitalize())
        if progress.total > 1:
            unit = _UNITS.get(stage, "")
            self.text += f" · {progress.done} of {progress.total}{unit}"
            self.text += self._time_left(progress)

    def _time_left(self, progress: Progress) -> str:
        spent = self._clock() - self._began[progress.stage]
        left = progress.total - progress.done
        if spent < _MIN_SECONDS or not progress.done or not left:
            return ""
        return f" · {format_seconds(spent / progress.done * left)} left"


def format_seconds(seconds: float) -> str:
    """Write a duration as people say it.

    Examples
    --------
    >>> format_seconds(7.2), format_seconds(130), format_seconds(8000)
    ('8 s', '3 min', '2 h 14 min')
    """
    if seconds <= 60:
        return f"{max(1, int(seconds + 0.999))} s"
    minutes = int(seconds / 60 + 0.999)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
