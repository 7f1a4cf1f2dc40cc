"""Strokes, and what an edit would change, drawn over a labels layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import NDArray

from napari_seg.gui.correction.boxes import (
    around_all,
    box_of,
    holds,
    within,
)
from napari_seg.gui.correction.pigments import change_pigments, part_of, part_pigments
from napari_seg.gui.correction.sheet import Sheet
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.view import displayed_axes
from napari_seg.imaging.deltas import Box, LabelEdit
from napari_seg.imaging.slabs import common_box

_AROUND_PX, _AROUND_VOLUME_PX = 64, 8
"""How far around an edit the outline of its object is drawn, in a plane or in many."""

_PREPARE_S = 0.05
"""Before each step: it takes 100 ms without a graphics card."""

Stroke = tuple[NDArray[np.intp], int]
"""Pixels of the labels, shape (N, ndim), and the pigment to draw them with."""


class Ink:
    """Draws over a labels layer, on a layer of its own.

    Parameters
    ----------
    viewer : ViewerModel
        Gets one more layer at the first stroke, or by `prepare`.
    layer : Labels
        What is drawn over.
    """

    def __init__(self, viewer: ViewerModel, layer: Labels) -> None:
        self._viewer = viewer
        self._layer = layer
        self._sheet = Sheet(viewer, layer)
        self._strokes: list[tuple[Stroke, Box]] = []
        self._preview: tuple[NDArray[np.uint8], Box] | None = None
        self._is_blank = True
        self._is_closed = False
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)

    def prepare(self) -> bool:
        """Do a part of what the first stroke would have to wait for.

        Returns
        -------
        bool
            Whether there is more to do; the window may be painted before.
        """
        if self._is_closed:
            return False
        if self._sheet.layer is None:
            self._sheet.place(self._needed(), self._paint)
            return True
        self._sheet.show()
        return False

    def close(self) -> None:
        """Remove the layer and let go of the viewer; a second time does nothing."""
        self._is_closed = True
        self._viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        self._sheet.close()

    def set_strokes(self, strokes: Sequence[Stroke]) -> None:
        """Show these strokes and no others, later ones on top.

        Parameters
        ----------
        strokes : sequence of (points, pigment)
            Arrays that were there before, with the same pigment, are not drawn again.
        """
        before = {(id(p), pigment): box for (p, pigment), box in self._strokes}
        after = []
        for stroke in strokes:
            key = (id(stroke[0]), stroke[1])
            after.append((stroke, before.get(key) or box_of(stroke[0])))
        kept = {(id(p), pigment) for (p, pigment), _ in after}
        new = [box for (p, pigment), box in after if (id(p), pigment) not in before]
        gone = [box for key, box in before.items() if key not in kept]
        self._strokes = after
        # A stroke that grows is another array, around the old one.
        self._draw([*(b for b in gone if not any(holds(n, b) for n in new)), *new])

    def set_preview(self, edit: LabelEdit | None, object_id: int | None = None) -> None:
        """Show what an edit would change; None shows nothing.

        Parameters
        ----------
        edit : LabelEdit, optional
            Not applied yet.
        object_id : int, optional
            The object it is about: what it gains is green, what it loses is striped
            red, and its new outline is drawn. Without it every id has a colour, that
            of the strokes of `part_stroke` on it if there are any.
        """
        if edit is None or edit.is_empty:
            self._show(None)
        elif object_id is None:
            pigments = part_pigments(edit.after, edit.mask, self._parts(edit))
            self._show((pigments, edit.box))
        else:
            box = self._around(edit.box)
            before = np.asarray(self._layer.data[box]) == object_id
            after = before.copy()
            after[within(edit.box, box)][edit.mask] = edit.after == object_id
            self._show((change_pigments(before, after, self._axes()), box))

    def clear(self) -> None:
        """Take away strokes and preview."""
        self.set_strokes(())
        self.set_preview(None)

    def _parts(self, edit: LabelEdit) -> dict[int, int]:
        """Return which part every new id is: that of the strokes on its pixels."""
        after = np.zeros(edit.shape, edit.dtype)
        after[edit.mask] = edit.after
        parts: dict[int, int] = {}
        for (points, pigment), _ in self._strokes:
            part = part_of(pigment)
            own = points - [s.start for s in edit.box]
            inside = ((own >= 0) & (own < after.shape)).all(axis=1)
            ids, counts = np.unique(after[tuple(own[inside].T)], return_counts=True)
            if part is not None and len(ids) and ids[counts.argmax()]:
                parts[int(ids[counts.argmax()])] = part
        return parts

    def _axes(self) -> tuple[int, int]:
        """Return the axes that stripes and outlines lie in: rows and columns."""
        shown = displayed_axes(self._viewer, self._layer)
        last = self._layer.ndim - 1
        return (shown[-2], shown[-1]) if len(shown) > 1 else (last - 1, last)

    def _around(self, box: Box) -> Box:
        axes, shape = self._axes(), self._layer.data.shape
        depth = max(
            (s.stop - s.start for i, s in enumerate(box) if i not in axes), default=1
        )
        reach = _AROUND_PX if depth == 1 else _AROUND_VOLUME_PX
        return tuple(
            slice(max(0, s.start - reach), min(shape[i], s.stop + reach))
            if i in axes
            else s
            for i, s in enumerate(box)
        )

    def _show(self, preview: tuple[NDArray[np.uint8], Box] | None) -> None:
        boxes = [p[1] for p in (self._preview, preview) if p is not None]
        self._preview = preview
        self._draw(boxes)

    def _draw(self, boxes: Sequence[Box]) -> None:
        """Draw what lies in these boxes of the labels anew."""
        drawn = self._drawn()
        # A blank sheet may begin anew: a long stroke has left a large one behind.
        suits = self._sheet.suits if self._is_blank else self._sheet.holds
        self._is_blank = not drawn
        if not all(suits(box) for box in drawn):
            self._sheet.place(self._needed(), self._paint)
            self._sheet.show()
            return
        if drawn:
            self._sheet.show()
        for box in boxes:
            # What is taken away may have gone with its sheet.
            if all(s.stop > s.start for s in box) and self._sheet.holds(box):
                self._sheet.write(box, self._picture(box))

    def _drawn(self) -> list[Box]:
        boxes = [box for (points, _), box in self._strokes if len(points)]
        return boxes if self._preview is None else [*boxes, self._preview[1]]

    def _needed(self) -> Box | None:
        boxes = self._drawn()
        return around_all(boxes) if boxes else None

    def _paint(self, data: NDArray[np.uint8], place: Box) -> None:
        """Draw everything on an empty sheet; pages without ink stay untouched."""
        for box in self._drawn():
            common = common_box(box, place)
            if common is not None:
                data[within(common, place)] = self._picture(common)

    def _picture(self, box: Box) -> NDArray[np.uint8]:
        """Return the pigments in a box of the labels."""
        picture = np.zeros([s.stop - s.start for s in box], np.uint8)
        if self._preview is not None:
            pigments, place = self._preview
            common = common_box(place, box)
            if common is not None:
                picture[within(common, box)] = pigments[within(common, place)]
        low, size = np.array([s.start for s in box]), np.array(picture.shape)
        for (points, pigment), place in self._strokes:
            if common_box(place, box) is not None:
                own = points - low
                inside = ((own >= 0) & (own < size)).all(axis=1)
                picture[tuple(own[inside].T)] = pigment
        return picture

    def _on_ndisplay(self, event: Any = None) -> None:
        if self._sheet.layer is not None:
            self._sheet.place(self._needed(), self._paint)


def prepare_soon(ink: Ink, jobs: Jobs) -> None:
    """Prepare once the window shows that a tool is on, and let it paint in between."""

    def prepare() -> None:
        if ink.prepare():
            prepare_soon(ink, jobs)

    jobs.later("prepare ink", _PREPARE_S, prepare)
