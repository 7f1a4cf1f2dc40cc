"""What is read beside the run: lists of images, small pictures, pairs to look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_seg.gui.batch.rows import BatchList, BatchRow
from napari_seg.gui.batch.steps import (
    Pair,
    Place,
    iter_list,
    iter_pair,
    iter_pictures,
)
from napari_seg.gui.folder.thumbnails import Thumbnail
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.types import Progress

_SOON_S = 0.02


class BatchReader:
    """Reads in a thread; of lists only the last one asked for is delivered.

    Parameters
    ----------
    jobs : Jobs
        The thread.
    on_picture : callable
        Takes the name of an image and a small picture.
    on_error : callable
        Takes the exception.
    """

    def __init__(
        self,
        jobs: Jobs,
        on_picture: Callable[[str, Any], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._jobs = jobs
        self._on_picture = on_picture
        self._on_error = on_error
        self._listing: Job | None = None
        self._pictures: Job | None = None

    @property
    def is_listing(self) -> bool:
        """Whether images are being looked for."""
        return self._listing is not None

    def close(self) -> None:
        """Read no more."""
        self._jobs.close()

    def look(self, place: Place, on_done: Callable[[BatchList], None]) -> None:
        """Look for images, then draw small pictures of them."""
        for job in (self._listing, self._pictures):
            if job is not None:
                job.drop()

        def done(batch: BatchList) -> None:
            self._listing = None
            on_done(batch)
            self._draw(list(batch.rows.values()))

        self._listing = self._start(iter_list(place), done)

    def open(self, row: BatchRow, on_done: Callable[[Pair], None]) -> None:
        """Read an image and its labels."""
        self._start(iter_pair(row), on_done)

    def _draw(self, rows: list[BatchRow]) -> None:
        drawing = Job(
            iter_pictures(rows),
            on_done=lambda _: None,
            on_progress=self._on_thumbnail,
            poll_s=0.2,
        )
        self._pictures = self._jobs.start(drawing)

    def _on_thumbnail(self, progress: Progress) -> None:
        if isinstance(progress, Thumbnail) and progress.picture is not None:
            self._on_picture(progress.name, progress.picture)

    def _start(self, steps: Any, on_done: Callable[[Any], None]) -> Job:
        job = Job(steps, on_done=on_done, on_error=self._fail, poll_s=_SOON_S)
        return self._jobs.start(job)

    def _fail(self, error: BaseException) -> None:
        self._listing = None
        self._on_error(error)
