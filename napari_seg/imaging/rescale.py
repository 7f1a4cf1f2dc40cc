"""Anti-aliased resampling in which a part alone equals the part of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

SNAP = 0.1
"""Zooms within this fraction of 1 are taken as 1: resampling costs sharpness."""
MAX_ZOOM = 4.0
MIN_ZOOM = 1 / 64


def snap_zoom(zoom: float) -> float:
    """Return a usable zoom: exactly 1 when close to it, never absurd.

    Parameters
    ----------
    zoom : float
        Network pixels per image pixel.

    Returns
    -------
    float
        `zoom`, or 1.0 within about 10 %, clipped to 1/64..4.
    """
    if not np.isfinite(zoom) or zoom <= 0:
        return 1.0
    if 1 / (1 + SNAP) <= zoom <= 1 + SNAP:
        return 1.0
    return float(min(max(zoom, MIN_ZOOM), MAX_ZOOM))


def zoomed_size(size: int, zoom: float) -> int:
    """Return the length of an axis after resampling, at least 1."""
    return max(1, round(size * zoom))


@dataclass(frozen=True)
class Axis:
    """How one axis is resampled.

    Parameters
    ----------
    source, target : int
        Length before and after. Pixel centres are aligned as areas: the first and
        last pixel edges coincide.
    """

    source: int
    target: int

    @property
    def step(self) -> float:
        """Source pixels per target pixel."""
        return self.source / self.target

    def source_span(self, start: int, stop: int) -> tuple[int, int]:
        """Return the half-open source range that targets start..stop depend on."""
        if self.source == self.target:
            return start, stop
        reach = max(1.0, self.step)
        low = int(np.floor((start + 0.5) * self.step - 0.5 - reach))
        high = int(np.ceil((stop - 0.5) * self.step - 0.5 + reach)) + 1
        return max(0, low), min(self.source, high)

    def weights(self, start: int, stop: int) -> sparse.csr_array:
        """Weights of the source pixels in `source_span` for targets start..stop.

        A triangle as wide as the coarser of the two pixels: linear interpolation
        when enlarging, anti-aliased when shrinking. Computed from absolute
        coordinates, so no seam can come from where a block starts.

        Returns
        -------
        scipy.sparse.csr_array
            Shape (stop - start, span), rows sum to 1.
        """
        low, high = self.source_span(start, stop)
        reach = max(1.0, self.step)
        centres = (np.arange(start, stop) + 0.5) * self.step - 0.5
        taps = int(np.ceil(2 * reach)) + 1
        first = np.floor(centres - reach).astype(np.int64)
        columns = first[:, None] + np.arange(taps)
        values = 1 - np.abs(columns - centres[:, None]) / reach
        values[(columns < 0) | (columns >= self.source)] = 0
        values = np.clip(values, 0, None)
        values /= values.sum(axis=1, keepdims=True)
        rows = np.broadcast_to(np.arange(stop - start)[:, None], columns.shape)
        keep = values > 0
        entries = (
            values[keep].astype(np.float32),
            (rows[keep], columns[keep] - low),
        )
        return sparse.csr_array(entries, shape=(stop - start, high - low))

    def nearest(self, start: int, stop: int) -> NDArray[np.int64]:
        """Return the source pixel that holds the centre of each target pixel."""
        centres = (np.arange(start, stop) + 0.5) * self.step
        return np.clip(centres.astype(np.int64), 0, self.source - 1)


def plan_axes(shape: Sequence[int], target: Sequence[int]) -> tuple[Axis, Axis]:
    """Return the row and column resampling from one plane shape to another."""
    return Axis(int(shape[0]), int(target[0])), Axis(int(shape[1]), int(target[1]))


def resample(
    block: NDArray[np.float32],
    axes: tuple[Axis, Axis],
    window: Sequence[slice],
) -> NDArray[np.float32]:
    """Resample the last two axes of a block.

    Parameters
    ----------
    block : ndarray of float32, shape (..., rows, columns)
        The source pixels of `source_span` of the window, no more and no less.
    axes : tuple of Axis
        Row and column resampling of the whole plane.
    window : tuple of slice
        Wanted target rows and columns, with start and stop.

    Returns
    -------
    ndarray of float32, shape (..., *window)
    """
    rows, columns = axes
    if rows.source == rows.target and columns.source == columns.target:
        return np.asarray(block, np.float32)
    by_row = rows.weights(window[0].start, window[0].stop)
    by_column = columns.weights(window[1].start, window[1].stop)
    flat = block.reshape(-1, *block.shape[-2:])
    out = np.empty((len(flat), by_row.shape[0], by_column.shape[0]), np.float32)
    for i, plane in enumerate(flat):
        # The sparse factor stays on the left: that product runs along memory.
        out[i] = (by_column @ np.ascontiguousarray((by_row @ plane).T)).T
    return out.reshape(*block.shape[:-2], *out.shape[1:])


def resample_first(
    block: NDArray[np.float32], axis: Axis, window: slice
) -> NDArray[np.float32]:
    """Resample the first axis of a block.

    Parameters
    ----------
    block : ndarray of float32, shape (planes, ...)
        The source planes of `source_span` of the window, no more and no less.
    axis : Axis
        Resampling of all planes.
    window : slice
        Wanted target planes, with start and stop.

    Returns
    -------
    ndarray of float32, shape (window, ...)
    """
    if axis.source == axis.target:
        return block
    flat = axis.weights(window.start, window.stop) @ block.reshape(len(block), -1)
    return np.asarray(flat, np.float32).reshape(-1, *block.shape[1:])


def resample_plane(
    plane: NDArray[np.float32], target: Sequence[int]
) -> NDArray[np.float32]:
    """Resample the last two axes of a whole array to `target` (rows, columns)."""
    axes = plan_axes(plane.shape[-2:], target)
    return resample(plane, axes, (slice(0, int(target[0])), slice(0, int(target[1]))))


def resample_labels(
    labels: NDArray[np.int32],
    foreground: NDArray[np.float32],
    axes: tuple[Axis, Axis],
    window: Sequence[slice],
    *,
    threshold: float,
) -> NDArray[np.int32]:
    """Bring a piece of labels from the resolution of the network to the image's.

    Shrinking takes the nearest label. Enlarging would show the pixels of the network
    as steps, so there the outline is where the interpolated foreground probability
    crosses the threshold, and the labels, grown a little, say only which object.

    Parameters
    ----------
    labels, foreground : ndarray, shape (rows, columns)
        Ids and foreground probability over the `source_span` of the window.
    axes : tuple of Axis
        From the network's plane to the image's.
    window : tuple of slice
        Wanted image rows and columns, with start and stop.
    threshold : float
        Foreground probability of the outline.

    Returns
    -------
    ndarray of int32
        Shape of `window`.
    """
    spans = [a.source_span(w.start, w.stop) for a, w in zip(axes, window, strict=True)]
    index = np.ix_(
        *(
            a.nearest(w.start, w.stop) - span[0]
            for a, w, span in zip(axes, window, spans, strict=True)
        )
    )
    if all(a.target <= a.source for a in axes):
        return labels[index]
    grown = _grow(labels)
    # Filled holes and dropped objects: where the labels disagree with the
    # probabilities, the labels are right.
    margin = np.float32(1e-3)
    agreed = np.where(
        labels > 0,
        np.maximum(foreground, threshold + margin),
        np.minimum(foreground, threshold - margin),
    ).astype(np.float32)
    gate = resample(agreed, axes, window) > threshold
    return np.where(gate, grown[index], 0).astype(np.int32, copy=False)


def _grow(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Fill background within about one pixel with the largest id beside it."""
    around = ndimage.maximum_filter(labels, size=3)
    return np.where(labels > 0, labels, around)
