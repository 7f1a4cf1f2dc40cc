"""Autosave: follows what is edited, and offers what a crash left behind."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.notifications import show_warning

from napari_seg.data.autosaves import Unsaved, autosave_dir, find_unsaved, purge
from napari_seg.data.recovery import Recovered, count_edits, recover
from napari_seg.gui.autosave.follower import Follower, can_follow
from napari_seg.gui.faults import explained, notify
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.layer_watch import LayerWatch
from napari_seg.gui.own_layers import is_labels
from napari_seg.state import Remembered
from napari_seg.types import Progress

_REMEMBERED = "autosave"
_EVERY_S = 1.0
"""An edit waits at most so long before it is written."""


class AutosaveController:
    """Keeps a journal of each labels layer from its first edit on.

    Parameters
    ----------
    viewer : ViewerModel
        All its labels in memory are followed.
    panel : RecoverStrip
        Or anything with its signals and setters.
    jobs : Jobs
        Its own: writing must not wait for a network.
    remembered : Remembered
        Whether it is on.
    root : Path, optional
        Folder of the journals.
    warn : callable, optional
        Takes a sentence for the user.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        panel: Any,
        jobs: Jobs,
        remembered: Remembered,
        root: Path | None = None,
        warn: Callable[[str], None] = show_warning,
    ) -> None:
        self.root = root or autosave_dir()
        self.followers: list[Follower] = []
        self.is_on = remembered.part(_REMEMBERED).get("is_on", True) is not False
        self._viewer = viewer
        self._panel = panel
        self._jobs = jobs
        self._remembered = remembered
        self._warn = warn
        self._leaving: list[Follower] = []
        self._has_warned = False
        self._is_writing = False
        self._is_closed = False
        self._left: list[Unsaved] = []
        self._watch = LayerWatch(viewer, is_labels)
        self._connect()
        self._follow()
        self._jobs.start(Job(_iter_left(self.root), on_done=self._offer))

    def _connect(self) -> None:
        self._watch.changed.connect(self._follow)
        self._panel.recover_requested.connect(self._recover)
        self._panel.discard_requested.connect(self._discard)
        self._panel.on_requested.connect(self._turn)
        self._panel.set_on(self.is_on, str(self.root))
        self._panel.set_offer("")

    def close(self) -> None:
        """Write what is left, and let go of the viewer."""
        if self._is_closed:
            return
        self._is_closed = True
        self._watch.changed.disconnect(self._follow)
        self._watch.close()
        self._jobs.close()
        for follower in self.followers:
            follower.close()
        for follower in (*self._leaving, *self.followers):
            self._write_last(follower)
        self._remembered.keep_part(_REMEMBERED, {"is_on": self.is_on})

    def part_with(self, layer: Labels) -> Follower | None:
        """Stop following a layer that is being saved elsewhere.

        Returns what `discard` takes once that is done; until then the journal stays.
        """
        follower = next((f for f in self.followers if f.layer is layer), None)
        if follower is not None:
            follower.close()
            self.followers.remove(follower)
            self._part(follower)
        return follower

    def discard(self, follower: Follower) -> None:
        """Delete the journal of labels that were saved: nobody need recover them."""
        self._leaving = [f for f in self._leaving if f is not follower]
        # Behind the writing of it, in the same thread.
        self._jobs.start(Job(_iter_forget(follower), on_done=lambda _: None))

    def _part(self, follower: Follower) -> None:
        if follower.is_behind:
            self._leaving = [f for f in self._leaving if f.is_behind] + [follower]
            self._write([follower])

    def _follow(self) -> None:
        found = self._watch.layers() if self.is_on else []
        layers = [layer for layer in found if can_follow(layer)]
        for follower in [f for f in self.followers if f.layer not in layers]:
            follower.close()
            self.followers.remove(follower)
            self._part(follower)
            if follower.layer not in found and follower.has_edits:
                job = Job(_iter_removed(follower, self.root), on_done=self._on_removed)
                self._jobs.start(job)
        known = [follower.layer for follower in self.followers]
        for layer in [x for x in layers if x not in known]:
            self.followers.append(Follower(layer, self._write_soon))

    def _write_soon(self) -> None:
        if not self._is_writing:
            self._is_writing = True
            self._jobs.later("autosave", _EVERY_S, self._write_all)

    def _write_all(self) -> None:
        self._write(self.followers)

    def _write(self, followers: list[Follower]) -> None:
        job = Job(
            _iter_write(list(followers), self.root),
            on_done=lambda _: self._on_written(),
            on_error=self._on_error,
        )
        self._jobs.start(job)

    def _on_written(self) -> None:
        self._is_writing = False
        if any(follower.is_behind for follower in self.followers):
            self._write_soon()

    def _on_error(self, error: BaseException) -> None:
        """Tell once; the labels are in memory, and the next edit tries again."""
        self._is_writing = False
        if not isinstance(error, OSError):
            notify(error)
        elif not self._has_warned:
            self._has_warned = True
            reason = error.strerror or str(error)
            self._warn(
                f"Corrections cannot be saved automatically in {self.root}: {reason}. "
                "Save your labels yourself (File > Save Selected Layers)."
            )

    def _write_last(self, follower: Follower) -> None:
        if not follower.is_behind:
            return
        try:
            for _ in follower.iter_write(self.root):
                pass
        except OSError as error:
            self._on_error(error)

    def _turn(self, is_on: bool) -> None:
        self.is_on = is_on
        self._follow()
        self._panel.set_on(is_on, str(self.root))

    def _on_removed(self, one: Unsaved | None) -> None:
        """Offer labels that were removed: it may have been a slip."""
        if one is not None:
            self._offer([one, *self._left])

    # What a crash left behind.

    def _offer(self, left: list[Unsaved]) -> None:
        self._left = left
        self._panel.set_offer(_offer_text(left))

    def _recover(self) -> None:
        if self._left:
            job = Job(
                _iter_recover(self._left[0].folder),
                on_done=self._on_recovered,
                on_error=self._on_unreadable,
            )
            self._jobs.start(job)

    def _on_recovered(self, found: Recovered) -> None:
        one = self._left.pop(0)
        layer = Labels(
            found.labels,
            name=f"{found.about.name} (recovered)",
            **found.about.placed,
        )
        self._viewer.add_layer(layer)
        self._offer(self._left)
        follower = next((f for f in self.followers if f.layer is layer), None)
        if follower is not None:
            follower.take_all()
            job = Job(
                _iter_replace(one, follower, self.root),
                on_done=lambda _: None,
                on_error=self._on_error,
            )
            self._jobs.start(job)

    def _on_unreadable(self, error: BaseException) -> None:
        message, _ = explained(error)
        self._warn(message)
        self._left.pop(0)
        self._offer(self._left)

    def _discard(self) -> None:
        if self._left:
            one = self._left.pop(0)
            self._jobs.start(Job(_iter_remove(one), on_done=lambda _: None))
            self._offer(self._left)


def _offer_text(left: list[Unsaved]) -> str:
    if not left:
        return ""
    more = f" ({len(left) - 1} more)" if len(left) > 1 else ""
    when = "Just removed" if left[0].about.is_written else "From last time"
    return f"{when}: {left[0]}{more}."


def _iter_left(root: Path) -> Generator[Progress, None, list[Unsaved]]:
    yield Progress("autosave", 0, 1)
    purge(root)
    return find_unsaved(root)


def _iter_write(
    followers: list[Follower], root: Path
) -> Generator[Progress, None, None]:
    for follower in followers:
        if follower.is_behind:
            yield from follower.iter_write(root)


def _iter_recover(folder: Path) -> Generator[Progress, None, Recovered]:
    yield Progress("autosave", 0, 1)
    return recover(folder)


def _iter_replace(
    old: Unsaved, follower: Follower, root: Path
) -> Generator[Progress, None, None]:
    """Delete a journal once what was in it is safe in another."""
    yield from follower.iter_write(root)
    old.discard()


def _iter_removed(
    follower: Follower, root: Path
) -> Generator[Progress, None, Unsaved | None]:
    yield from follower.iter_write(root)
    journal = follower.journal
    if journal is None:
        return None
    edits, changed = count_edits(journal.folder)
    return Unsaved(journal.folder, journal.about, edits, changed) if edits else None


def _iter_forget(follower: Follower) -> Generator[Progress, None, None]:
    yield Progress("autosave", 0, 1)
    if follower.journal is not None:
        follower.journal.discard()


def _iter_remove(one: Unsaved) -> Generator[Progress, None, None]:
    yield Progress("autosave", 0, 1)
    one.discard()
