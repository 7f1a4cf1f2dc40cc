"""Multiscale labels, corrected at their full resolution.

napari paints on no multiscale labels. So the finest level is opened as a layer of its
own; the coarser ones are brought up to date behind it, where something was changed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.errors import LabelsError
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.weights.changes import LabelsWatch
from napari_seg.imaging.levels import renew_level
from napari_seg.imaging.slabs import Box
from napari_seg.types import Progress, run

SUFFIX = ": full resolution"
"""Of the name of the layer, and of what the list of labels offers."""

_AFTER_S = 0.5
_TURN_S = 0.1
"""Strokes come in between turns of so long."""

_PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


@dataclass(eq=False)
class _Opened:
    """A multiscale layer, and the layer of its finest level."""

    whole: Labels
    layer: Labels
    levels: list[Any]
    watch: LabelsWatch
    boxes: list[Box] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)


class FullResolution:
    """Opens multiscale labels at full resolution, and keeps their levels true.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layers.
    jobs : Jobs
        For writing the coarser levels.
    on_error : callable
        Takes an exception.
    """

    def __init__(
        self, viewer: ViewerModel, jobs: Jobs, on_error: Callable[[BaseException], None]
    ) -> None:
        self._viewer = viewer
        self._jobs = jobs
        self._on_error = on_error
        self._opened: list[_Opened] = []
        self._removed: list[_Opened] = []
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Write what is left, and let go of the viewer."""
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for each in self._opened:
            each.watch.close()
        for each in (*self._opened, *self._removed):
            try:
                run(_iter_write(each, math.inf))
            except (OSError, ValueError) as error:
                self._on_error(error)
        self._opened, self._removed = [], []

    def open_or_tell(self, layer: Labels) -> str:
        """Open a layer; return the name of the new one, empty if it cannot be."""
        try:
            return self.open(layer).name
        except LabelsError as error:
            self._on_error(error)
            return ""

    def open(self, layer: Labels) -> Labels:
        """Open a multiscale layer at full resolution, instead of the layer.

        Raises
        ------
        LabelsError
            If its levels cannot be written.
        """
        known = next((each for each in self._opened if each.whole is layer), None)
        if known is not None:
            return known.layer
        levels = writable_levels(layer)
        made = Labels(
            levels[0],
            name=f"{layer.name}{SUFFIX}",
            opacity=layer.opacity,
            metadata=dict(layer.metadata),
            **{name: getattr(layer, name) for name in _PLACE},
        )
        place = self._viewer.layers.index(layer) + 1
        self._viewer.layers.insert(place, made)
        layer.visible = False
        if any(hasattr(array, "dask") for array in layer.data):
            layer.data = levels  # napari keeps what it has read through dask
        boxes: list[Box] = []
        watch = LabelsWatch(
            made,
            on_box=lambda _: None,
            on_step=lambda found: self._note(boxes, found),
            on_doubt=lambda: None,
        )
        self._opened.append(_Opened(layer, made, levels, watch, boxes))
        return made

    def _note(self, boxes: list[Box], found: list[Box]) -> None:
        boxes += found
        self._jobs.later("levels", _AFTER_S, self._write)

    def _write(self) -> None:
        each = next((each for each in self._opened if each.boxes), None)
        if each is None:
            return

        def done(_: None) -> None:
            if not each.boxes and each.whole.visible:
                each.whole.refresh()
            self._jobs.later("levels", 0.0, self._write)

        steps = _iter_write(each, _TURN_S)
        self._jobs.start(Job(steps, on_done=done, on_error=self._on_error))

    def _on_removed(self, event: Any) -> None:
        for each in [x for x in self._opened if x.layer is event.value]:
            each.watch.close()
            self._opened.remove(each)
            self._removed.append(each)
            self._jobs.start(
                Job(
                    _iter_write(each, math.inf),
                    on_done=partial(self._show_again, each),
                    on_error=partial(self._fail, each),
                )
            )

    def _show_again(self, each: _Opened, _: None) -> None:
        """Show all levels of labels whose full resolution was closed."""
        if not each.boxes and each in self._removed:
            self._removed.remove(each)
        is_open = any(other.whole is each.whole for other in self._opened)
        if each.whole in self._viewer.layers and not is_open:
            each.whole.visible = True

    def _fail(self, each: _Opened, error: BaseException) -> None:
        """Show them nevertheless; what was not written is tried again at closing."""
        self._show_again(each, None)
        self._on_error(error)


def _iter_write(each: _Opened, seconds: float) -> Generator[Progress, None, None]:
    """Bring coarser levels up to date, for a while."""
    until = time.perf_counter() + seconds
    while each.boxes and time.perf_counter() < until:
        yield Progress("levels", 0, len(each.boxes))
        with each.lock:  # at closing the window writes what the thread is at, too
            if each.boxes:
                # Written before it is given up: what fails is tried again.
                renew_levels(each.levels, each.boxes[0])
                del each.boxes[0]


def renew_levels(levels: Sequence[Any], box: Box) -> None:
    """Bring all coarser levels up to date after a change to the finest."""
    for finer, coarser in pairwise(levels):
        box = renew_level(finer, coarser, box)
        if any(part.start >= part.stop for part in box):
            return


def writable_levels(layer: Labels) -> list[Any]:
    """Return the arrays of a multiscale layer, ready to be written.

    Raises
    ------
    LabelsError
        If they are not, e.g. because they are computed.
    """
    levels = [_writable(array) for array in layer.data]
    if any(array is None for array in levels):
        kinds = ", ".join(sorted({type(array).__name__ for array in layer.data}))
        raise LabelsError(
            "The levels of these labels cannot be written",
            kinds,
            "Open them from a Zarr folder that you may write to.",
        )
    return levels


def _writable(array: Any) -> Any:
    if isinstance(array, np.ndarray):
        return array if array.flags.writeable else None
    if hasattr(array, "dask"):
        array = _under(array)
    store = getattr(array, "store", None)
    if store is None:
        return array if hasattr(array, "__setitem__") else None
    if not store.read_only:
        return array
    import zarr

    try:
        store = store.with_read_only(False)
        return zarr.open_array(store, path=array.path, mode="r+")
    except (NotImplementedError, ValueError, OSError):
        return None


def _under(array: Any) -> Any:
    """Return the zarr array that a dask array reads and does nothing else to."""
    import zarr

    layers = array.dask.layers.values()
    found = [x for part in layers for x in dict(part).values()]
    stored = [x for x in found if isinstance(x, zarr.Array)]
    is_plain = len(stored) == 1 and len(layers) == 2
    return stored[0] if is_plain and stored[0].shape == array.shape else None
