"""Predictions of images that nobody has asked for yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from napari_seg.data.folder import ImageFolder, Opened
from napari_seg.gui.folder.prepared import Prepared, prepare
from napari_seg.gui.jobs import Job, JobGenerator
from napari_seg.state import SegmentRequest
from napari_seg.types import Progress


@dataclass(frozen=True)
class Prediction:
    """An image, and what the network proposes for it."""

    prepared: Prepared
    request: SegmentRequest
    segmentation: Any
    base: np.ndarray
    """The labels as they were predicted."""

    @property
    def opened(self) -> Opened:
        """The image."""
        return self.prepared.opened


class Ahead:
    """Predicts one image after the other in the thread of the network.

    Parameters
    ----------
    segmenter : SegmentController
        Knows the model that is chosen, and runs it.
    on_ready : callable
        Takes a `Prediction`.
    on_progress : callable
        Takes the name of the image and the share that is done; None when it is over.
    on_error : callable
        Takes the exception.
    """

    def __init__(
        self,
        segmenter: Any,
        on_ready: Callable[[Prediction], None],
        on_progress: Callable[[str, float | None], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.ready: dict[str, Prediction] = {}
        self._segmenter = segmenter
        self._on_ready = on_ready
        self._tell = on_progress
        self._on_error = on_error
        self._job: Job | None = None
        self._name = ""
        self._wanted: list[str] = []
        self._folder: ImageFolder | None = None

    def take(self, name: str) -> Prediction | None:
        """Give a prediction away, once: from then on the data set knows more."""
        self._wanted = [one for one in self._wanted if one != name]
        return self.ready.pop(name, None)

    def forget(self) -> None:
        """Stop, and forget what is ready: it is of another folder or data set."""
        self.cancel()
        self.ready.clear()

    def want(self, folder: ImageFolder, names: Sequence[str]) -> None:
        """Predict these from now on, the first one first, and nothing else."""
        self._folder = folder
        self._wanted = list(names)
        self.ready = {n: p for n, p in self.ready.items() if n in names}
        if self._job is not None and self._name not in names:
            self.cancel()
            self._wanted = list(names)
        self._go_on()

    def cancel(self) -> None:
        """Stop; what is ready stays so."""
        self._wanted = []
        if self._job is not None:
            self._job.drop()
            self._end()

    def _go_on(self) -> None:
        todo = [name for name in self._wanted if name not in self.ready]
        if self._job is not None or not todo or self._folder is None:
            return
        self._name = todo[0]
        self._tell(self._name, 0.0)
        self._job = self._segmenter.start_network_job(
            Job(
                _iter_predict(self._segmenter, self._folder, self._name),
                on_done=self._on_done,
                on_progress=partial(self._on_progress, self._name),
                on_error=self._fail,
            )
        )

    def _on_progress(self, name: str, progress: Progress) -> None:
        if progress.stage == "predict":
            self._tell(name, progress.fraction)

    def _on_done(self, prediction: Prediction) -> None:
        name = self._name
        self.ready[name] = prediction
        self._end()
        self._on_ready(prediction)
        self._go_on()

    def _fail(self, error: BaseException) -> None:
        # Not the same again and again; the next image may be another story.
        self._wanted = [name for name in self._wanted if name != self._name]
        self._end()
        self._on_error(error)
        self._go_on()

    def _end(self) -> None:
        name, self._name, self._job = self._name, "", None
        self._tell(name, None)


def _iter_predict(segmenter: Any, folder: ImageFolder, name: str) -> JobGenerator:
    yield Progress("load", 0, 1)
    opened = folder.open(name)
    found = yield from segmenter.iter_predict(opened.data)
    request, segmentation = found
    base = segmentation.labels.copy()
    return Prediction(prepare(opened), request, segmentation, base)
