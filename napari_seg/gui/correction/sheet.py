"""The layer that ink is on: its place over the labels, and what reaches the screen."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_seg.gui.correction.boxes import box_at, empty_box, holds, shifted
from napari_seg.gui.correction.pigments import pigment_colormap
from napari_seg.gui.own_layers import OWN_KEY, add_unselected
from napari_seg.gui.repaint import repaint, swap_data
from napari_seg.gui.view import displayed_axes
from napari_seg.imaging.deltas import Box, bounding_box

LAYER_NAME = "correction preview"
_MARGIN_PX = 160
"""At least so far the sheet goes on around what is drawn, to move seldom."""
_STEP_PX = 128
"""Its sides are multiples of this: a texture of the same size need not be remade."""
_WHOLE_BYTES = 512 * 2**20
"""Of a sheet over all planes. What was never drawn on takes no memory."""


class Sheet:
    """A labels layer of pigments over a labels layer of objects.

    It lies only around what is drawn, for every pixel of a layer costs time in every
    frame, whether it shows anything or not. Only pixels that change are sent to the
    screen, which takes about a millisecond; moving the sheet takes five. So it has a
    margin that grows with what is drawn, and a long stroke moves it a few times.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layer when the sheet is first placed.
    labels : Labels
        What it lies on, and follows when that is moved.
    """

    def __init__(self, viewer: ViewerModel, labels: Labels) -> None:
        self._viewer = viewer
        self._labels = labels
        self.layer: Labels | None = None
        self._start = np.zeros(labels.ndim, np.intp)
        self._was_shown = False
        viewer.layers.events.removed.connect(self._on_removed)
        self._place_events = [
            getattr(labels.events, name)
            for name in ("scale", "translate", "rotate", "shear", "affine", "units")
        ]
        for event in self._place_events:
            event.connect(self._on_labels_moved)

    def close(self) -> None:
        """Remove the layer and let go of the viewer; a second time does nothing."""
        for event in self._place_events:
            event.disconnect(self._on_labels_moved)
        self._place_events = []
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        if self.layer is not None:
            self._viewer.layers.remove(self.layer)
            self.layer = None

    def holds(self, box: Box) -> bool:
        """Whether a box of the labels is on the sheet."""
        if self.layer is None:
            return False
        return holds(box_at(self._start, self.layer.data.shape), box)

    def show(self) -> None:
        """Let a new sheet be seen; later on the user may hide it.

        The first frame with it takes 60 ms longer, and so does adding it: apart, they
        stall the window less.
        """
        if self.layer is not None and not self._was_shown:
            self._was_shown = True
            self.layer.visible = True

    def suits(self, box: Box) -> bool:
        """Whether a box is on the sheet, which is no larger than a new one would be."""
        if self.layer is None or not self.holds(box):
            return False
        planned = tuple(s.stop - s.start for s in self._plan(box))
        return bool(self.layer.data.shape == planned)

    def write(self, box: Box, pigments: NDArray[np.uint8]) -> None:
        """Show other pigments in a box of the labels that is on the sheet."""
        assert self.layer is not None
        own = shifted(box, -self._start)
        there = self.layer.data[own]
        changed = bounding_box(pigments != there)
        if changed[0].stop > changed[0].start:
            there[changed] = pigments[changed]
            with self._unlisted():
                repaint(self.layer, shifted(changed, [s.start for s in own]))

    def place(self, needed: Box | None, paint: Callable[[NDArray, Box], None]) -> None:
        """Let the sheet cover a box of the labels.

        Parameters
        ----------
        needed : tuple of slice, optional
            What must be on it; None if nothing.
        paint : callable
            Takes an empty array and the box of the labels it is for, and draws.
        """
        box = self._plan(needed)
        data = _untouched([s.stop - s.start for s in box])
        paint(data, box)
        self._start = np.array([s.start for s in box], np.intp)
        if self.layer is None:
            self._add(data)
        else:
            with self._unlisted():
                swap_data(self.layer, data, self._transform()["translate"])

    def _plan(self, needed: Box | None) -> Box:
        """Return where the sheet should be, so that it seldom has to move."""
        shape = self._labels.data.shape
        place = list(needed or empty_box(len(shape)))
        if self._viewer.dims.ndisplay == 3:
            # There all of the sheet is rendered, so the less the better.
            return tuple(place)
        shown = displayed_axes(self._viewer, self._labels)
        for axis in shown:
            place[axis] = _with_margin(place[axis], shape[axis])
        for axis in (i for i in reversed(range(len(shape))) if i not in shown):
            whole = [*place[:axis], slice(0, shape[axis]), *place[axis + 1 :]]
            if np.prod([float(s.stop - s.start) for s in whole]) <= _WHOLE_BYTES:
                place = whole
        return tuple(place)

    def _add(self, data: NDArray[np.uint8]) -> None:
        sheet = Labels(
            data,
            name=LAYER_NAME,
            metadata={OWN_KEY: "ink"},
            colormap=pigment_colormap(),
            opacity=1.0,
            visible=False,
            units=self._labels.units,
            axis_labels=self._labels.axis_labels,
            **self._transform(),
        )
        # What a brush changed here would be nobody's.
        sheet.editable = False
        add_unselected(self._viewer, sheet)
        self.layer, self._was_shown = sheet, False

    def _unlisted(self) -> AbstractContextManager[None]:
        """Return a context in which the list of layers hears of no event of a layer.

        It would paint itself anew for each, though it shows nothing of this one.
        """
        return self._viewer.layers.events.blocker_all()

    def _transform(self) -> dict[str, Any]:
        """Return what puts the sheet where it belongs on the labels."""
        labels = self._labels
        to_world = Affine(scale=labels.scale, rotate=labels.rotate, shear=labels.shear)
        offset = to_world.linear_matrix @ self._start
        return {
            "scale": labels.scale,
            "rotate": labels.rotate,
            "shear": labels.shear,
            "affine": labels.affine,
            "translate": np.asarray(labels.translate) + offset,
        }

    def _on_labels_moved(self, event: Any = None) -> None:
        if self.layer is not None:
            for name, value in self._transform().items():
                setattr(self.layer, name, value)
            self.layer.units = self._labels.units

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None


def _with_margin(part: slice, size: int) -> slice:
    """Return one side of a sheet around one side of a box, within the labels."""
    length = part.stop - part.start
    wanted = length + 2 * max(_MARGIN_PX, length // 2)
    side = min(size, -(-wanted // _STEP_PX) * _STEP_PX)
    low = min(max(0, (part.start + part.stop - side) // 2), size - side)
    return slice(low, low + side)


def _untouched(shape: Sequence[int]) -> NDArray[np.uint8]:
    """Return zeros that take memory, and time, only where they are written.

    Not `np.zeros`: Linux gives that huge pages, and clears all two megabytes of one
    for a single pixel. A preview through forty planes took 70 ms for that.
    """
    buffer = mmap.mmap(-1, int(np.prod(shape)))
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        buffer.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(buffer, np.uint8).reshape(shape)
