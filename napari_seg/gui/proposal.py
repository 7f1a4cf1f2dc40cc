"""A labels layer that a job fills and that then belongs to the user."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.gui.layers import (
    METADATA_KEY,
    Source,
    kept_dims,
    labels_kwargs,
    labels_name,
    labels_view,
)
from napari_seg.gui.repaint import repaint, repaint_thumbnail
from napari_seg.state import SegmentRequest
from napari_seg.types import Region

_BLOCK_PX = 512


class Proposal:
    """What one run of a model proposes for one part of one image.

    The layer is made when the first piece arrives, so that a run that fails at
    once leaves nothing behind.

    Parameters
    ----------
    source : Source
        The part of the image.
    request : SegmentRequest
        The settings of the run; its model is in the name of the layer.
    """

    def __init__(self, source: Source, request: SegmentRequest) -> None:
        self.source = source
        self.request = request
        self.model = request.model
        self.layer: Labels | None = None
        self.segmentation: Any = None
        self.is_edited = False
        self._labels: np.ndarray | None = None

    def is_same_place(self, other: Proposal) -> bool:
        """Whether both are of the same model and the same part of the same image."""
        mine, theirs = self.source, other.source
        return (
            mine.layer is theirs.layer
            and self.model == other.model
            and mine.index == theirs.index
            and mine.axes == theirs.axes
        )

    def is_in(self, viewer: ViewerModel) -> bool:
        """Whether the layer is there for the user to see."""
        return self.layer is not None and self.layer in viewer.layers

    def open(self, viewer: ViewerModel, previous: Proposal | None = None) -> None:
        """Make the layer, or take over that of a previous proposal.

        The layer stays hidden: making it and drawing it would together hold up
        the window for a fifth of a second. `show` is for the next turn.
        """
        self._labels = np.zeros(self.source.shape, np.int32)
        view = labels_view(self.source, self._labels)
        layer = previous.release(viewer) if previous is not None else None
        if layer is not None:
            layer.visible = False
            layer.data = view
        else:
            name = labels_name(self.source, self.model)
            kwargs = labels_kwargs(self.source)
            layer = Labels(view, name=name, visible=False, **kwargs)
            viewer.add_layer(layer)
        layer.metadata[METADATA_KEY] = {
            "image": self.source.layer.name,
            "axes": self.source.axes,
            "offset": self.source.offset,
        }
        layer.events.paint.connect(self._on_paint)
        self.layer = layer

    def show(self) -> None:
        """Draw the layer."""
        if self.layer is not None:
            self.layer.visible = True

    def release(self, viewer: ViewerModel) -> Labels | None:
        """Give the layer to another proposal, if it is still in the viewer."""
        layer, self.layer = self.layer, None
        if layer is None or layer not in viewer.layers:
            return None
        layer.events.paint.disconnect(self._on_paint)
        return layer

    def write(self, region: Region) -> None:
        """Put a finished piece into the layer and on the screen."""
        if self._labels is None or self.layer is None:
            return
        self._labels[region.index] = region.labels
        self._repaint(_with_bounds(region.index, self._labels.shape))

    def steps_to(self, labels: np.ndarray) -> Generator[None, None, None]:
        """Turn the layer into `labels`, one block a step.

        Parameters
        ----------
        labels : ndarray of int32, spatial axes of the source
            The new content.
        """
        for block in _blocks(self.source):
            if self._labels is None or self.layer is None:
                return
            if not np.array_equal(self._labels[block], labels[block]):
                self._labels[block] = labels[block]
                self._repaint(block)
            yield
        if self.layer is not None:
            repaint_thumbnail(self.layer)

    def tune(self, request: SegmentRequest, scores: Mapping[int, float]) -> None:
        """Remember the thresholds that the labels are made with now, and scores."""
        if self.segmentation is not None:
            self.segmentation.scores = dict(scores)
            self._show_scores()
        advanced = replace(
            self.request.advanced,
            seed_threshold=request.advanced.seed_threshold,
            link_z=request.advanced.link_z,
        )
        self.request = replace(
            self.request,
            threshold=request.threshold,
            min_size_px=request.min_size_px,
            advanced=advanced,
        )

    def keep(self, segmentation: Any) -> None:
        """Store the result beside the labels, for all that is tuned later.

        Parameters
        ----------
        segmentation : Segmentation
            Its labels become those of the layer: one copy is enough.
        """
        self.segmentation = segmentation
        segmentation.labels = self._labels
        if self.layer is not None:
            self.layer.metadata[METADATA_KEY] |= {
                "segmentation": segmentation,
                "provenance": segmentation.provenance,
            }
            self._show_scores()

    def _show_scores(self) -> None:
        """Put the scores of a detector where napari shows and saves them."""
        scores = getattr(self.segmentation, "scores", None)
        if scores and self.layer is not None:
            self.layer.features = {
                "index": list(scores), "score": list(scores.values()),
            }  # fmt: skip

    def _on_paint(self) -> None:
        self.is_edited = True

    def _repaint(self, box: tuple[slice, ...]) -> None:
        assert self.layer is not None
        parts = list(box)
        for i in kept_dims(self.source.layer, self.source.axes):
            if self.source.axes[i] == "C":
                parts.insert(i, slice(0, self.layer.data.shape[i]))
        repaint(self.layer, tuple(parts))


def _with_bounds(
    index: tuple[slice | int, ...], shape: tuple[int, ...]
) -> tuple[slice, ...]:
    """Return an index as slices that all have a start and a stop."""
    whole = [*index, *([slice(None)] * (len(shape) - len(index)))]
    return tuple(
        slice(*part.indices(size)[:2])
        if isinstance(part, slice)
        else slice(int(part), int(part) + 1)
        for part, size in zip(whole, shape, strict=True)
    )


def _blocks(source: Source) -> Iterator[tuple[slice, ...]]:
    """Cut the labels into squares of single planes, the plane in view first."""
    letters = source.axes.replace("C", "")
    ranges = []
    for letter, size, here in zip(letters, source.shape, source.focus, strict=True):
        if letter in "TZ":
            ranges.append([slice(i, i + 1) for i in _nearest_first(size, here)])
        else:
            starts = range(0, size, _BLOCK_PX)
            ranges.append([slice(i, min(i + _BLOCK_PX, size)) for i in starts])
    return product(*ranges)


def _nearest_first(size: int, here: float) -> list[int]:
    """Return 0..size-1, those around `here` first."""
    return sorted(range(size), key=lambda i: abs(i - here))
