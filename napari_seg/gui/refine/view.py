"""What of a labels layer is in view, as the refinement wants it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_seg.errors import NapariSegError
from napari_seg.gui.correction.target import Target, labels_axes, make_target
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.own_layers import is_own
from napari_seg.gui.view import displayed_axes, seen_corners
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.inference.relabel import Outlines

MOST_PX = 1024
"""Longest side of a preview; of a larger field only the middle is refined."""
_MARGIN = 0.1
"""What is refined beyond each side of the field, so that a small pan needs nothing."""


@dataclass(frozen=True)
class Field:
    """The part of a plane that the user sees."""

    plane: PlaneIndex
    """Which plane."""
    seen: tuple[slice, slice]
    """Rows and columns on the canvas."""
    window: tuple[slice, slice]
    """Rows and columns to refine."""

    def covers(self, other: Field) -> bool:
        """Whether what is refined here is all that is seen there."""
        return self.plane == other.plane and all(
            mine.start <= theirs.start and theirs.stop <= mine.stop
            for mine, theirs in zip(self.window, other.seen, strict=True)
        )


def refinable_layer(viewer: ViewerModel) -> Labels | None:
    """Return the labels in hand, else the topmost, that have their probabilities."""
    active = viewer.layers.selection.active
    for layer in (active, *reversed(viewer.layers)):
        if isinstance(layer, Labels) and not is_own(layer):
            kept = layer.metadata.get(METADATA_KEY, {}).get("segmentation")
            if getattr(kept, "network_probabilities", None) is not None:
                return layer
    return None


def target_of(viewer: ViewerModel, layer: Labels) -> Target:
    """Return the layer as the tools see it, or say why it cannot be refined."""
    name = layer.metadata[METADATA_KEY].get("image")
    images = [x for x in viewer.layers if isinstance(x, Image) and x.name == name]
    target = make_target(layer, images)
    kept = layer.metadata[METADATA_KEY]["segmentation"]
    if kept.labels.shape != target.labels.shape or kept.axes != target.axes:
        raise NapariSegError(
            "The labels have another shape than their network's result",
            remedy="Run the network again.",
        )
    return target


def field_in_view(viewer: ViewerModel, target: Target) -> Field:
    """Return what the user sees of the labels.

    Raises
    ------
    NapariSegError
        If no plane of rows and columns is in view.
    """
    layer = target.layer
    letters = labels_axes(layer)
    shown = {letters[axis] for axis in displayed_axes(viewer, layer)}
    if viewer.dims.ndisplay != 2 or shown != {"Y", "X"}:
        raise NapariSegError(
            "Refined outlines are shown in planes of rows and columns",
            remedy="Switch to 2D, with Y and X on the canvas.",
        )
    here = dict(zip(target.axes, target.here(viewer), strict=True))
    corners = seen_corners(viewer, layer)
    seen, window = [], []
    for letter in "YX":
        axis = letters.index(letter)
        size = int(layer.data.shape[axis])
        low, high = (int(v) for v in np.clip(corners[:, axis], 0, size - 1))
        seen.append(slice(low, high + 1))
        window.append(_widened(low, high + 1, size))
    plane = PlaneIndex(here.get("T", 0), here.get("Z", 0))
    return Field(plane, (seen[0], seen[1]), (window[0], window[1]))


def in_layer(target: Target, outlines: Outlines) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return refined labels with all axes of the layer, and their first pixel."""
    index = list(outlines.index)
    shape = [1 if isinstance(p, int) else p.stop - p.start for p in index]
    start = [p if isinstance(p, int) else p.start for p in index]
    data = outlines.after.reshape(shape)
    if target.repeated is not None:
        count = target.layer.data.shape[target.repeated]
        data = np.repeat(np.expand_dims(data, target.repeated), count, target.repeated)
        start.insert(target.repeated, 0)
    return data, tuple(start)


def _widened(low: int, high: int, size: int) -> slice:
    """Return a side with a margin, or the middle of one that is too long."""
    margin = int((high - low) * _MARGIN)
    low, high = max(0, low - margin), min(size, high + margin)
    if high - low > MOST_PX:
        low = (low + high - MOST_PX) // 2
        high = low + MOST_PX
    return slice(low, high)
