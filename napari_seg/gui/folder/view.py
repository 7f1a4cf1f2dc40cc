"""What the Folder panel shows of a folder."""

from __future__ import annotations

from typing import Any

from napari_seg.data.folder import FolderImage, ImageFolder, ImageState
from napari_seg.gui.folder.listing import Listing
from napari_seg.gui.folder.thumbnails import Thumbnail, iter_thumbnails
from napari_seg.gui.folder.words import place_text, progress_text
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.types import Progress


class FolderView:
    """The list of images, and where the user is in it.

    Parameters
    ----------
    panel : FolderPanel
        Or anything with its setters.
    jobs : Jobs
        Draws small pictures of the images.
    """

    def __init__(self, panel: Any, jobs: Jobs) -> None:
        self.listing = Listing()
        self._panel = panel
        self._jobs = jobs
        self._job: Job | None = None
        panel.set_folder("", "")
        self._show_place()

    def close(self) -> None:
        """Draw no more."""
        self._jobs.close()

    def show_folder(self, folder: ImageFolder) -> None:
        """Show another folder."""
        self.listing = Listing(folder.images)
        self._panel.set_folder(str(folder.folder), str(folder.out))
        self._panel.set_resume("")
        self._show_list()
        if self._job is not None:
            self._job.drop()
        self._job = self._jobs.start(
            Job(
                iter_thumbnails(folder.images),
                on_done=lambda _: None,
                on_progress=self._on_thumbnail,
                poll_s=0.2,
            )
        )

    def show_only(self, state: ImageState | None) -> None:
        """List only images of one state, or all."""
        self.listing.filter = state
        self._show_list()

    def show_image(self, image: FolderImage) -> None:
        """Show how far an image is now."""
        self.listing.images[image.name] = image
        self._panel.set_image(image)
        self._show_place()

    def go(self, name: str) -> None:
        """Show which image is open."""
        self.listing.at = name
        self._show_place()

    def _show_list(self) -> None:
        self._panel.set_images(self.listing.shown())
        self._show_place()

    def _show_place(self) -> None:
        self._panel.set_progress(progress_text(self.listing.images.values()))
        self._panel.set_current(self.listing.at, place_text(self.listing))

    def _on_thumbnail(self, progress: Progress) -> None:
        if isinstance(progress, Thumbnail) and progress.picture is not None:
            self._panel.set_thumbnail(progress.name, progress.picture)
