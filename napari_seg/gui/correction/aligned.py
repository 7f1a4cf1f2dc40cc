"""An image read on the pixel grid of a labels layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Labels

from napari_seg.errors import ImageError
from napari_seg.gui.layers import default_axes
from napari_seg.gui.view import full_data
from napari_seg.imaging.deltas import Box
from napari_seg.refine.volume import Volume

_TOLERANCE = 1e-3
"""Pixels by which two grids may differ before one is read between its pixels."""


@dataclass(frozen=True)
class Placement:
    """Which image pixel lies under a labels pixel, along one axis of the image.

    Parameters
    ----------
    axis : int
        Of the labels grid.
    step, start : float
        Image pixel = step * labels pixel + start.
    size : int
        Length of the image's axis.
    """

    axis: int
    step: float
    start: float
    size: int

    def pixels(self, part: slice) -> np.ndarray:
        """Return the nearest image pixels, those beyond the border at the border."""
        exact = self.step * np.arange(part.start, part.stop) + self.start
        return np.clip(np.round(exact).astype(int), 0, self.size - 1)


class AlignedImage(Volume):
    """Some image layers, read where a labels layer is.

    Parameters
    ----------
    layers : sequence of Image
        Their channels are put one after the other.
    labels : Labels
        The layer whose grid is read on.
    shape : tuple of int
        Of the grid: the labels layer's without an axis that only repeats.
    kept : sequence of int
        Which axis of the layer's data each axis of the grid is.
    """

    def __init__(
        self,
        layers: Sequence[Image],
        labels: Labels,
        shape: tuple[int, ...],
        kept: Sequence[int],
    ) -> None:
        self.shape = shape
        self.channel_axis = None
        self._parts = [_Part(layer, labels, kept) for layer in layers]

    def read(self, box: Box) -> np.ndarray:
        """Return the piece in a box as float32, shape (C, *box), without NaN."""
        pieces = [part.read(box) for part in self._parts]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class _Part:
    """One image layer: its data, and how its axes lie on the grid."""

    def __init__(self, image: Image, labels: Labels, kept: Sequence[int]) -> None:
        self._data: Any = full_data(image)
        axes = default_axes(image)
        self._channel = axes.index("C") if "C" in axes else None
        if image.rgb:
            self._channel = len(self._data.shape) - 1
        self._places = placements(image, labels, kept, self._channel)

    def read(self, box: Box) -> np.ndarray:
        picks = {a: p.pixels(box[p.axis]) for a, p in self._places.items()}
        index = tuple(
            slice(int(picks[a].min()), int(picks[a].max()) + 1)
            if a in picks
            else slice(None)
            for a in range(len(self._data.shape))
        )
        piece = np.asarray(self._data[index])
        for axis, pixels in picks.items():
            wanted = pixels - pixels.min()
            if len(wanted) != piece.shape[axis] or (np.diff(wanted) != 1).any():
                piece = piece.take(wanted, axis)
        channels = (
            piece[None] if self._channel is None else _first(piece, self._channel)
        )
        return np.nan_to_num(self._on_grid(channels, box).astype(np.float32, order="C"))

    def _on_grid(self, channels: np.ndarray, box: Box) -> np.ndarray:
        """Put the image's axes in the order of the grid, and add what it lacks."""
        owners = [p.axis for a, p in sorted(self._places.items())]
        ordered = channels.transpose(0, *(1 + int(i) for i in np.argsort(owners)))
        lacking = tuple(1 + a for a in range(len(box)) if a not in owners)
        full = np.expand_dims(ordered, lacking) if lacking else ordered
        sizes = [part.stop - part.start for part in box]
        return np.broadcast_to(full, (len(channels), *sizes))


def _first(piece: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(piece, axis, 0)


def placements(
    image: Image, labels: Labels, kept: Sequence[int], channel: int | None
) -> dict[int, Placement]:
    """Return for each axis of the image but the channels how it lies on the grid.

    Raises
    ------
    ImageError
        If the two layers are turned against each other, do not overlap, or the
        image has an axis that the labels lack.
    """
    matrix, start = _labels_to_image(image, labels)
    found: dict[int, Placement] = {}
    for axis, size in enumerate(full_data(image).shape[: image.ndim]):
        if axis == channel:
            continue
        owner = axis - image.ndim + labels.ndim
        if owner not in kept:
            raise ImageError(
                "The labels lack an axis that the image has",
                f"labels {labels.data.shape}, image {full_data(image).shape}",
                "Choose labels of the same stack, or another image.",
            )
        others = np.delete(matrix[axis], owner)
        if np.abs(others).max(initial=0) > _TOLERANCE or not matrix[axis, owner]:
            raise ImageError(
                "Labels and image are turned against each other",
                f"layers {labels.name!r} and {image.name!r}",
                "Give both the same rotation and shear.",
            )
        place = Placement(
            list(kept).index(owner), matrix[axis, owner], start[axis], int(size)
        )
        _check_overlap(place, labels.data.shape[owner], image, labels)
        found[axis] = place
    return found


def _check_overlap(place: Placement, length: int, image: Image, labels: Labels) -> None:
    ends = np.array([0, length - 1]) * place.step + place.start
    if ends.max() < -0.5 or ends.min() > place.size - 0.5:
        raise ImageError(
            "The labels lie beside the image",
            f"layers {labels.name!r} and {image.name!r}",
            "Choose the image that the labels belong to.",
        )


def _labels_to_image(image: Image, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Return matrix and start of image pixel = matrix @ labels pixel + start."""

    def carried(pixel: np.ndarray) -> np.ndarray:
        world = np.asarray(labels.data_to_world(pixel), float)
        missing = max(image.ndim - len(world), 0)
        return np.asarray(image.world_to_data([*[0.0] * missing, *world]), float)

    zero = np.zeros(labels.ndim)
    start = carried(zero)
    columns = [carried(unit) - start for unit in np.eye(labels.ndim)]
    matrix = np.round(np.stack(columns, axis=1), 6)
    return matrix, np.round(start, 6)
