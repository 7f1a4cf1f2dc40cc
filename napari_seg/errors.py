"""Typed errors: what is wrong, what was found, what to do."""

from __future__ import annotations


class NapariSegError(Exception):
    """An error a user can understand and act on.

    Parameters
    ----------
    problem : str
        What is wrong, as one clause without a full stop.
    found : str, optional
        What was found instead of what was expected.
    remedy : str, optional
        What the user can do about it.
    """

    def __init__(self, problem: str, found: str = "", remedy: str = "") -> None:
        self.problem = problem
        self.found = found
        self.remedy = remedy
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        text = self.problem + (f" (found: {self.found})" if self.found else "")
        return f"{text}. {self.remedy}" if self.remedy else f"{text}."

    def __reduce__(
        self,
    ) -> tuple[type[NapariSegError], tuple[str, str, str]]:
        # The default rebuilds from `args`, which holds only the joined sentence;
        # errors must survive the trip back from a worker process.
        return type(self), (self.problem, self.found, self.remedy)


class ImageError(NapariSegError):
    """The image cannot be used: wrong dtype, shape or content."""


class AxesError(NapariSegError):
    """The axes string does not fit the image."""


class LabelsError(NapariSegError):
    """The labels cannot be used: wrong dtype or shape, negative ids."""


class CheckpointError(NapariSegError):
    """A checkpoint file is damaged, foreign or too new."""


class UnknownModelError(NapariSegError):
    """No model or architecture goes by that name."""


class DatasetError(NapariSegError):
    """A training or evaluation data set is incomplete or inconsistent."""


class DeviceError(NapariSegError):
    """The compute device asked for is not there or ran out of memory."""


class FormatError(NapariSegError):
    """A file is not in a format that can be read or written."""


class ClusterError(NapariSegError):
    """The workers or the scheduler of a cluster cannot be used, or are gone."""


class OffloadError(NapariSegError):
    """The helper process ended during a calculation, or could not be used."""


class OffloadCancelled(OffloadError):
    """Somebody stopped a calculation of the helper process: no fault of it."""


FAILURES = (NapariSegError, OSError, MemoryError, RuntimeError, ValueError)
"""What one of many images, films or blocks may fail with; the others are done."""
