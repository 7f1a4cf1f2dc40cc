"""From single steps of a job to one bar that only moves forward."""

from __future__ import annotations

import time
from collections.abc import Callable

from napari_seg.types import Progress

# Shares of a whole run, measured on a CPU; on a GPU the bar is a little uneven.
_SHARES = {"load": 0.05, "size": 0.05, "predict": 0.75, "instances": 0.1, "link": 0.05}
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
        self.fraction = 0.0
        self.text = "Starting"

    def update(self, progress: Progress) -> None:
        """Take in one step."""
        stage = progress.stage
        self._began.setdefault(stage, self._clock())
        # Stages may take turns, plane by plane; the bar never goes back.
        self.fraction = max(self.fraction, _start(stage) + _share(progress))
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


def _start(stage: str) -> float:
    names = list(_SHARES)
    before = names[: names.index(stage)] if stage in _SHARES else []
    return sum(_SHARES[name] for name in before)


def _share(progress: Progress) -> float:
    return _SHARES.get(progress.stage, 0.0) * progress.fraction


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
