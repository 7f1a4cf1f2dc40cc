"""The tool that splits an object between strokes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial

import numpy as np

from napari_seg.gui.correction.desk import Desk
from napari_seg.gui.correction.elsewhere import Elsewhere
from napari_seg.gui.correction.gesture import Gesture
from napari_seg.gui.correction.ink import Ink
from napari_seg.gui.correction.pigments import part_stroke
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.imaging.deltas import LabelEdit
from napari_seg.refine.split import solve_split, split_between
from napari_seg.types import Progress


class SplitHand:
    """Splits an object between strokes, one for each part.

    Parameters
    ----------
    desk : Desk
        The labels.
    ink : Ink
        Shows strokes and parts.
    jobs : Jobs
        Waits for the cut.
    elsewhere : Elsewhere
        Makes the cut.
    on_change : callable
        Called when something waits for Enter, or no longer does.
    """

    def __init__(
        self,
        desk: Desk,
        ink: Ink,
        jobs: Jobs,
        elsewhere: Elsewhere,
        on_change: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._ink = ink
        self._jobs = jobs
        self._solve = partial(elsewhere.run, solve_split)
        self._on_change = on_change
        self._strokes: list[np.ndarray] = []
        self._is_drawing = False
        self._job: Job | None = None
        self._edit: LabelEdit | None = None
        self._is_wanted = False

    @property
    def has_pending(self) -> bool:
        """Whether strokes wait for Enter."""
        return bool(self._strokes)

    def draw(self, gesture: Gesture) -> None:
        """Take a stroke; from the second on the split is shown."""
        if not self._is_drawing:
            if not self._strokes:
                self._desk.place()
            self._strokes.append(gesture.points)
            self._on_change()
        self._strokes[-1] = gesture.points
        self._is_drawing = not gesture.is_final
        self._show_strokes()
        if gesture.is_final and len(self._strokes) > 1:
            self._cut()
        elif gesture.is_final:
            self._desk.told.emit("Now a stroke over another part of the same object.")

    def commit(self) -> None:
        """Write the split; one that is still being cut, as soon as it is there."""
        if len(self._strokes) < 2:
            self._desk.told.emit("A split needs a stroke on each part.")
        elif self._edit is None:
            self._is_wanted = True
        else:
            edit, count = self._edit, len(self._strokes)
            self.cancel()
            self._desk.apply([edit], f"Split into {count} parts.")

    def cancel(self) -> None:
        """Drop the strokes."""
        if self._job is not None:
            self._job.drop()
        self._job = self._edit = None
        self._strokes = []
        self._is_drawing = self._is_wanted = False
        self._ink.clear()
        self._on_change()

    def undo(self) -> None:
        """Take the last stroke back."""
        if self._is_drawing:
            return
        left = self._strokes[:-1]
        self.cancel()
        if not left:
            return
        self._strokes = left
        self._show_strokes()
        self._on_change()
        if len(left) > 1:
            self._cut()

    def _show_strokes(self) -> None:
        self._ink.set_strokes(
            [(points, part_stroke(i)) for i, points in enumerate(self._strokes)]
        )

    def _cut(self) -> None:
        desk, session = self._desk, self._desk.session
        if self._job is not None:
            self._job.drop()
        self._edit = None
        steps = _splitting(
            partial(
                split_between,
                session.image,
                session.labels,
                [desk.target.to_grid(points) for points in self._strokes],
                network=session.network,
                spacing=desk.target.spacing,
                within=session.within,
                locked=frozenset(session.locked),
                solve=self._solve,
            )
        )
        self._job = self._jobs.start(
            Job(steps, on_done=self._take, on_error=self._fail, poll_s=0.02)
        )

    def _take(self, edit: LabelEdit) -> None:
        self._job, self._edit = None, edit
        self._ink.set_preview(self._desk.shown(edit))
        if self._is_wanted:
            self.commit()

    def _fail(self, error: BaseException) -> None:
        self.cancel()
        self._desk.fail(error)


def _splitting(
    make: Callable[[], LabelEdit],
) -> Generator[Progress, None, LabelEdit]:
    yield Progress("split", 0, 1)
    return make()
