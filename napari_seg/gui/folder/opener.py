"""Folders and images read in a thread; only the last one asked for is delivered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_seg.data.folder import ImageFolder
from napari_seg.gui.folder.prepared import Prepared, prepare
from napari_seg.gui.jobs import Job, JobGenerator, Jobs
from napari_seg.types import Progress


class Opener:
    """Reads what the user asked for last.

    Parameters
    ----------
    jobs : Jobs
        The thread; behind labels that are being saved.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._job: Job | None = None

    def drop(self) -> None:
        """Deliver nothing of what was asked for so far."""
        if self._job is not None:
            self._job.drop()
            self._job = None

    def open_folder(
        self,
        folder: str,
        out: str,
        on_done: Callable[[ImageFolder], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """List a folder."""
        self._start(_iter_folder(folder, out), on_done, on_error)

    def open_image(
        self,
        folder: ImageFolder,
        name: str,
        on_done: Callable[[Prepared], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Read an image, and prepare it to be shown."""
        self._start(_iter_image(folder, name), on_done, on_error)

    def _start(
        self,
        steps: JobGenerator,
        on_done: Callable[[Any], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.drop()
        self._job = self._jobs.start(
            Job(steps, on_done=on_done, on_error=on_error, poll_s=0.02)
        )


def _iter_folder(folder: str, out: str) -> JobGenerator:
    yield Progress("folder", 0, 1)
    return ImageFolder(folder, out or None)


def _iter_image(folder: ImageFolder, name: str) -> JobGenerator:
    yield Progress("open", 0, 1)
    return prepare(folder.open(name))
