"""Labels on their way to the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np

from napari_seg.data.folder import (
    FolderImage,
    ImageFolder,
    Opened,
    Work,
    changed_ids,
)
from napari_seg.data.provenance import Provenance
from napari_seg.errors import DatasetError, NapariSegError
from napari_seg.gui.folder.ahead import Prediction
from napari_seg.gui.jobs import Job, JobGenerator, Jobs
from napari_seg.types import Progress


@dataclass(frozen=True)
class Saving:
    """Labels that nobody edits any more."""

    opened: Opened
    labels: Any
    base: np.ndarray | None
    """As they were read or predicted; None if they are the user's alone."""
    work: Work
    """All about them; its own labels are not looked at."""
    is_new: bool = True
    """Whether they must be written even if nothing has changed."""
    segmentation: Any = None
    """The `Segmentation` they were made from, if it is at hand."""


class Saver:
    """Writes labels in a thread, one after the other; none is lost at the end.

    Parameters
    ----------
    jobs : Jobs
        The thread.
    on_saved : callable
        Takes the folder and how far the image is now.
    on_error : callable
        Takes the exception.
    """

    def __init__(
        self,
        jobs: Jobs,
        on_saved: Callable[[ImageFolder, FolderImage], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._jobs = jobs
        self._on_saved = on_saved
        self._on_error = on_error
        self._waiting: list[_Order] = []

    def save(
        self, folder: ImageFolder, saving: Saving, then: Callable[[], None]
    ) -> None:
        """Write labels; `then` is called once they are on disk."""
        one = _Order(folder, saving)
        self._waiting.append(one)

        def done(image: FolderImage | None) -> None:
            self._waiting = [x for x in self._waiting if x is not one]
            if image is not None:
                self._on_saved(folder, image)
            then()

        def failed(error: BaseException) -> None:
            self._waiting = [x for x in self._waiting if x is not one]
            self._on_error(error)

        self._jobs.start(Job(_iter_write(one), on_done=done, on_error=failed))

    def save_now(self, *more: tuple[ImageFolder, Saving]) -> bool:
        """Write these, and all that still waits, before this returns.

        Returns
        -------
        bool
            Whether all of it is on disk.
        """
        waiting = [*self._waiting, *(_Order(*one) for one in more)]
        self._waiting = []
        is_safe = True
        for one in waiting:
            try:
                image = one.write()
                if image is not None:
                    self._on_saved(one.folder, image)
            except (NapariSegError, OSError) as error:
                is_safe = False
                self._on_error(error)
        return is_safe


@dataclass(eq=False)
class _Order:
    """Labels to be written once: by the thread, or by whoever cannot wait for it."""

    folder: ImageFolder
    saving: Saving
    is_over: bool = False
    is_written: bool = False
    lock: Lock = field(default_factory=Lock)

    def write(self) -> FolderImage | None:
        """Write them, after whoever is at it; None if that is done or needless."""
        with self.lock:
            if self.is_over:
                if self.is_written:
                    return None
                raise DatasetError(
                    f"the labels of {self.saving.opened.name} are not on disk",
                    "writing them has failed",
                    "Make room, or choose another folder; autosave still has them.",
                )
            # Even if it fails: who comes later has newer labels.
            self.is_over = True
            image = write(self.folder, self.saving)
            self.is_written = True
            return image


def write(folder: ImageFolder, saving: Saving) -> FolderImage | None:
    """Write labels into the data set, unless they are as they were there."""
    labels, base, work = np.array(saving.labels), saving.base, saving.work
    if base is None:
        edited = frozenset(np.unique(labels[labels > 0]).tolist())
    else:
        edited = changed_ids(base, labels)
    if not saving.is_new and not edited:
        return None
    from napari_seg.inference.ranking import uncertainties

    unsure = uncertainties(saving.segmentation, labels) or work.uncertainties
    work = replace(
        work, labels=labels, edited=work.edited | edited, uncertainties=unsure
    )
    return folder.save(saving.opened.name, saving.opened.data, work)


def of_prediction(prediction: Prediction) -> Saving:
    """Return what is saved of a prediction that nobody has looked at."""
    made = prediction.segmentation
    provenance = Provenance.of_run(
        getattr(made, "provenance", None), str(prediction.opened.path)
    )
    work = Work(
        prediction.base, scores=getattr(made, "scores", {}), provenance=provenance
    )
    base = prediction.base
    return Saving(prediction.opened, base, base, work, segmentation=made)


def _iter_write(order: _Order) -> JobGenerator:
    yield Progress("save", 0, 1)
    return order.write()
