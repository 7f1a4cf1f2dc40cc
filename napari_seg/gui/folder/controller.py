"""The one place that knows folder, panel, layers and jobs of folder work.

No Qt: the panel is anything with its signals and setters.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from psygnal import Signal

from napari_seg.data.folder import FolderImage, ImageFolder, ImageState
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.folder.ahead import Ahead, Prediction
from napari_seg.gui.folder.bench import Bench
from napari_seg.gui.folder.listing import Listing
from napari_seg.gui.folder.memory import FolderMemory
from napari_seg.gui.folder.opener import Opener
from napari_seg.gui.folder.prepared import Prepared
from napari_seg.gui.folder.saver import Saver, of_prediction
from napari_seg.gui.folder.view import FolderView
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.proposal import Proposal
from napari_seg.state import Remembered

_NO_LABELS = (
    "There are no labels to call correct. For an image without objects make new labels "
    "on the Correct tab."
)


class FolderController:
    """Wires a Folder panel to a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer; nothing is shared with other viewers.
    panel : FolderPanel
        Or anything with its signals and setters.
    segmenter : SegmentController
        Runs the network that is chosen.
    corrector : CorrectController
        Has the labels in hand.
    autosaver : AutosaveController
        Its journals go once the labels are saved.
    jobs, picture_jobs : Jobs
        For reading and writing images, and for small pictures of them.
    remembered : Remembered
        Settings of the last session.
    report : callable, optional
        Takes an exception that is a fault of the program.
    """

    saved = Signal(object)
    """Layers are on their way to the disk, or there; carries them."""

    def __init__(
        self,
        viewer: ViewerModel,
        panel: Any,
        segmenter: Any,
        corrector: Any,
        autosaver: Any,
        jobs: Jobs,
        picture_jobs: Jobs,
        remembered: Remembered,
        report: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.memory = FolderMemory(remembered)
        self.folder: ImageFolder | None = None
        self.bench: Bench | None = None
        self.view = FolderView(panel, picture_jobs)
        self._viewer = viewer
        self._panel = panel
        self._segmenter = segmenter
        self._corrector = corrector
        self._autosaver = autosaver
        self._jobs = jobs
        self._report = report or notify
        self._opener = Opener(jobs)
        self._note = ""
        failed = partial(self._tell, what="The labels cannot be saved")
        self._saver = Saver(jobs, self._on_saved, failed)
        self._is_closed = False
        self.ahead = Ahead(segmenter, self._on_ready, self._on_ahead, self._tell)
        self._connect()
        panel.set_ahead(self.memory.ahead)
        panel.set_resume(Path(self.memory.folder).name)

    def _connect(self) -> None:
        panel = self._panel
        panel.open_requested.connect(self.open)
        panel.resume_requested.connect(self.resume)
        panel.out_requested.connect(self.save_to)
        panel.select_requested.connect(self.go)
        panel.step_requested.connect(self.step)
        panel.verify_requested.connect(self.verify)
        panel.ahead_requested.connect(self.set_ahead)
        panel.filter_requested.connect(self.view.show_only)
        panel.stop_requested.connect(self.ahead.cancel)
        self._corrector.desk_changed.connect(self._on_desk)
        self._segmenter.run_ended.connect(self._on_desk)
        self._viewer.layers.events.removed.connect(self._on_removed)

    @property
    def listing(self) -> Listing:
        """The images of the folder."""
        return self.view.listing

    def close(self) -> None:
        """Save what is open, and let go of the others."""
        if self._is_closed:
            return
        self._is_closed = True
        self.ahead.cancel()
        self.save_now()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._corrector.desk_changed.disconnect(self._on_desk)
        self._segmenter.run_ended.disconnect(self._on_desk)
        self.view.close()
        self._jobs.close()

    # Folders.

    def open(self, folder: str, out: str = "") -> None:
        """Open a folder, where it was left last time."""
        self.leave()
        self._panel.set_status("Opening the folder…")
        out = out or self.memory.out_of(str(Path(folder).absolute()))
        failed = partial(self._tell, what="The folder cannot be opened")
        self._opener.open_folder(folder, out, self._on_folder, failed)

    def resume(self) -> None:
        """Open the folder of last time."""
        if self.memory.folder:
            self.open(self.memory.folder)

    def save_to(self, out: str) -> None:
        """Let the labels go to another data set."""
        if self.folder is not None:
            self.open(str(self.folder.folder), out)

    def _on_folder(self, folder: ImageFolder) -> None:
        self.ahead.forget()
        self.folder = folder
        self.view.show_folder(folder)
        self._panel.set_status("")
        self.go(self.listing.start(self.memory.image_in(str(folder.folder))))

    # From image to image.

    def step(self, way: int) -> None:
        """Go on (1) or back (-1) in what the list shows."""
        name = self.listing.step(way)
        if name:
            self.go(name)
        elif self.folder is not None:
            end = "last" if way > 0 else "first"
            self._panel.set_status(f"This is the {end} image of the list.")

    def verify(self) -> None:
        """Call the image correct as a whole, and go on."""
        if self.bench is None:
            return
        self._corrector.commit()
        if self.bench.labels is None:
            self._panel.set_status(_NO_LABELS)
            return
        following = self.listing.next_unverified()
        if following:
            self.go(following, is_verified=True)
        else:
            self.leave(is_verified=True)
            self._panel.set_status("That was the last image that was not verified.")

    def go(self, name: str, is_verified: bool = False) -> None:
        """Save what is open, and open an image."""
        if self.folder is None or (name == self.listing.at and self.bench is not None):
            return
        self.memory.keep(str(self.folder.folder), str(self.folder.out), name)
        self._opener.drop()
        leaving = self._iter_leave(is_verified)
        next(leaving, None)
        self.view.go(name)
        # A layer a turn: together they would hold up the window.
        self._jobs.spread(leaving, lambda: self._open_image(name))

    def _open_image(self, name: str) -> None:
        if name != self.listing.at or self.folder is None or self.bench is not None:
            return  # she has gone on
        known = self.ahead.take(name)
        if known is not None:
            self._show(known.prepared, known)
            return
        self._panel.set_status(f"Opening {name}…")
        self._opener.open_image(self.folder, name, self._show, self._on_unreadable)

    def _on_unreadable(self, error: BaseException) -> None:
        self._tell(error)
        self._predict_ahead()

    def _show(self, prepared: Prepared, prediction: Prediction | None = None) -> None:
        self._panel.set_status(self._note)
        self._note = ""
        self.bench = bench = Bench(self._viewer, prepared)
        self._viewer.reset_view()

        def show_labels() -> None:
            if self.bench is not bench:
                return
            bench.show_labels()
            if prediction is not None and bench.labels is None:
                self._show_prediction(bench, prediction)
            self._predict_ahead()

        # In a turn of their own: image and labels together hold up the window.
        self._jobs.later("labels", 0.0, show_labels)

    def _show_prediction(self, bench: Bench, prediction: Prediction) -> None:
        def shown(proposal: Proposal) -> None:
            if self.bench is bench:
                self._segmenter.adopt(proposal)
                self._corrector.look_again()

        bench.show_prediction(prediction, self._jobs, shown)

    def leave(self, is_verified: bool = False) -> None:
        """Save the labels of the image that is open, and take it out."""
        for _ in self._iter_leave(is_verified):
            pass

    def _iter_leave(self, is_verified: bool = False) -> Generator[None, None, None]:
        """Do what `leave` does: at the first step all but the layers, one a step."""
        bench, folder = self.bench, self.folder
        if bench is None or folder is None:
            return
        self._corrector.commit()
        saving = bench.take(is_verified)
        journal = None
        if bench.labels is not None:
            journal = self._autosaver.part_with(bench.labels)
            self.saved.emit([bench.labels])
        self.bench = None
        others = ", ".join(layer.name for layer in bench.others())
        if others:
            self._note = f"{others} stayed open: it is not saved with {bench.name}."
        if saving is not None:
            then = partial(self._autosaver.discard, journal) if journal else _nothing
            self._saver.save(folder, saving, then)
        yield
        yield from bench.iter_close()

    def save_now(self) -> None:
        """Save what is open and what is on its way, before this returns."""
        bench, folder = self.bench, self.folder
        more = []
        if bench is not None and folder is not None:
            self._corrector.commit()
            saving = bench.take()
            more += [] if saving is None else [(folder, saving)]
        if self._saver.save_now(*more) and more and bench is not None:
            self.saved.emit([bench.labels])

    def _on_saved(self, folder: ImageFolder, image: FolderImage) -> None:
        if folder is self.folder:
            self.view.show_image(image)

    # Predictions.

    def set_ahead(self, is_on: bool) -> None:
        """Predict ahead, or not."""
        self.memory.ahead = is_on
        self.memory.write()
        self._panel.set_ahead(is_on)
        if is_on:
            self._predict_ahead()
        else:
            self.ahead.cancel()

    def _predict_ahead(self) -> None:
        """Predict this image and the next one, where nobody has begun with them."""
        if self.folder is not None and self.memory.ahead:
            bench = self.bench
            is_empty = bench is not None and bench.labels is None
            names = self.listing.to_predict(self.ahead.ready, is_empty)
            self.ahead.want(self.folder, names)

    def _on_ready(self, prediction: Prediction) -> None:
        name, bench, folder = prediction.opened.name, self.bench, self.folder
        if bench is not None and bench.name == name:
            self.ahead.take(name)
            if bench.labels is not None:
                return  # she has begun without it
            self._show_prediction(bench, prediction)
        images = self.listing.images
        if folder is not None and images[name].state is ImageState.UNTOUCHED:
            self._saver.save(folder, of_prediction(prediction), _nothing)

    def _on_ahead(self, name: str, share: float | None) -> None:
        self._panel.set_ahead_progress(name, share)

    # What happens in the viewer.

    def _on_desk(self) -> None:
        """Follow the labels that are corrected on this image."""
        desk, bench = self._corrector.desk, self.bench
        if desk is None or bench is None:
            return
        if bench.image in desk.target.images:
            bench.follow(desk.target.layer)

    def _on_removed(self, event: Any) -> None:
        bench = self.bench
        if bench is not None and event.value is bench.image:
            self.leave()
            self._panel.set_status(f"{bench.name} was closed; its labels are saved.")

    def _tell(
        self, error: BaseException, what: str = "The image cannot be read"
    ) -> None:
        text, is_fault = explained(error)
        if isinstance(error, OSError):
            text, is_fault = f"{what}: {error}", False
        self._panel.set_status(f"⚠ {text}")
        if is_fault:
            self._report(error)


def _nothing() -> None:
    """Do nothing."""
