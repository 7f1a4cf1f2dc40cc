"""How what a network says of a block becomes labels, for dense nets and detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

from napari_seg.imaging.detections import Detections, foreground_map, join, paint
from napari_seg.imaging.instances import (
    InstanceParams,
    probabilities_to_labels,
    remove_small,
)
from napari_seg.imaging.stitching import Block, plan_blocks

if TYPE_CHECKING:
    from napari_seg.imaging.axes import PlaneIndex
    from napari_seg.imaging.stitching import Window

Probabilities = NDArray[np.float32]
Labels = NDArray[np.int32]
Scores = NDArray[np.float32]
Decoded = tuple[Labels, Scores | None]
"""Labels 1..N of a block and, if there are any, their scores."""


class Decoder(Protocol):
    """Turns what is known of a block into labels."""

    def decode(self, block: Block, probabilities: Probabilities) -> Decoded:
        """Return labels 1..N of ``block.read`` and, if there are any, their scores."""
        ...

    def foreground(self, block: Block, probabilities: Probabilities) -> Probabilities:
        """Return the foreground probability (rows, columns) of ``block.read``."""
        ...


@dataclass(frozen=True)
class DenseDecoder:
    """Labels from the class probabilities of pixels."""

    classes: Sequence[str]
    params: InstanceParams

    def decode(self, block: Block, probabilities: Probabilities) -> Decoded:
        """Separate objects by a watershed."""
        labels = probabilities_to_labels(probabilities, self.classes, self.params)
        return labels, None

    def foreground(self, block: Block, probabilities: Probabilities) -> Probabilities:
        """Return what is not background."""
        return 1 - probabilities[0]


@dataclass(frozen=True)
class DetectionDecoder:
    """Labels from the objects that were found in each block.

    Parameters
    ----------
    found : mapping of int to Detections
        By the index of the block, in pixels of ``block.read``.
    params : InstanceParams
        See `paint`.
    is_refined : bool
        Whether the probabilities say more than the objects, and outlines follow them.
    """

    found: Mapping[int, Detections]
    params: InstanceParams
    is_refined: bool = False

    def decode(self, block: Block, probabilities: Probabilities) -> Decoded:
        """Paint the objects by score."""
        painted, scores = paint(self._of(block), _shape(block.read), self.params)
        if self.is_refined:
            painted = grow_into(painted, 1 - probabilities[0], self.params)
        return painted, scores

    def foreground(self, block: Block, probabilities: Probabilities) -> Probabilities:
        """Return the largest mask probability of each pixel."""
        if self.is_refined:
            return 1 - probabilities[0]
        seeds = self.params.seed_threshold
        return foreground_map(self._of(block), _shape(block.read), seeds)

    def _of(self, block: Block) -> Detections:
        return self.found.get(block.index, Detections.none())


def grow_into(
    painted: Labels, foreground: Probabilities, params: InstanceParams
) -> Labels:
    """Give objects the outlines of a foreground that was refined afterwards.

    Parameters
    ----------
    painted : ndarray of int32, shape (rows, columns)
    foreground : ndarray of float32, same shape
        Probability.
    params : InstanceParams

    Returns
    -------
    ndarray of int32
        Of each object what is still foreground, grown into the foreground that
        hangs together with it. Ids are kept; one that is no foreground is gone.
    """
    inside = foreground > params.threshold
    grown = watershed(-foreground, np.where(inside, painted, 0), mask=inside)
    sizes = np.bincount(grown.ravel(), minlength=1)
    return np.where(sizes[grown] >= params.min_size_px, grown, 0).astype(np.int32)


@dataclass(frozen=True)
class Findings:
    """All objects that a detector found in an image, ready to be painted again."""

    core_px: int
    """Longest side of a block's core, in network pixels."""
    halo_px: int
    """What a block sees beyond its core, in network pixels."""
    planes: dict[PlaneIndex, dict[int, Detections]]
    """By plane and index of the block, in pixels of ``block.read``."""

    def in_window(
        self, plane: PlaneIndex, shape: Sequence[int], window: Window
    ) -> Detections:
        """Return the objects with their middle in a window, each once.

        Parameters
        ----------
        plane : PlaneIndex
        shape : sequence of int
            Rows and columns of the plane in the resolution of the network.
        window : tuple of slice
            Rows and columns; the boxes returned count from its corner.
        """
        parts = []
        for block in plan_blocks(shape, self.core_px, self.halo_px):
            found = self.planes[plane].get(block.index, Detections.none())
            found = found.moved(block.read[0].start, block.read[1].start)
            mine = _have_middle_in(found, block.core) & _have_middle_in(found, window)
            parts.append(found.of(mine))
        return join(parts).moved(-window[0].start, -window[1].start)


def decode_window(
    findings: Findings,
    plane: PlaneIndex,
    shape: Sequence[int],
    window: Window,
    foreground: Probabilities,
    params: InstanceParams,
) -> Labels:
    """Labels of any window, with outlines that follow a foreground probability."""
    found = findings.in_window(plane, shape, window)
    painted, _ = paint(found, foreground.shape, params)
    return remove_small(grow_into(painted, foreground, params), 0)


def _have_middle_in(found: Detections, window: Window) -> NDArray[np.bool_]:
    inside = np.ones(len(found), bool)
    for axis, part in enumerate(window):
        middle = (found.boxes[:, axis] + found.boxes[:, axis + 2]) / 2
        inside &= (middle >= part.start) & (middle < part.stop)
    return inside


def _shape(window: Window) -> tuple[int, int]:
    rows, columns = window
    return rows.stop - rows.start, columns.stop - columns.start
