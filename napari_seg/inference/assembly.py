"""From the probabilities of tiles to the labels of a plane or frame, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_seg.imaging.rescale import Axis, plan_axes, resample_labels
from napari_seg.imaging.stitching import Block, Stitcher, Window, plan_blocks

if TYPE_CHECKING:
    from napari_seg.imaging.linking import UnionFind
    from napari_seg.imaging.tiling import Tile
    from napari_seg.inference.decoding import Decoded, Decoder

Probabilities = NDArray[np.float32]
Labels = NDArray[np.int32]
CORE_PX = 320
"""Longest side of a block's core, in network pixels."""
VOLUME_CORE = (48, 192, 192)
"""The same for planes, rows and columns of a volume."""
VOLUME_HALO = 16
"""Planes that a block of a volume sees beyond its core."""


class TileStore:
    """Holds the probabilities of tiles until every block that needs them is decoded.

    Parameters
    ----------
    tiles : list of Tile
        The plan of a plane.
    blocks : list of Block
        The blocks of the same plane.
    kept : ndarray of float32, shape (K, rows, columns), optional
        Where all probabilities are to remain. Without it memory stays bounded.
    """

    def __init__(
        self, tiles: list[Tile], blocks: list[Block], kept: Probabilities | None = None
    ) -> None:
        self._tiles = tiles
        self._kept = kept
        self._pieces: dict[int, Probabilities] = {}
        self._is_done = np.zeros(len(tiles), bool)
        self.needs = _intersections(tiles, blocks)
        self._waiting = np.zeros(len(tiles), np.int64)
        for needed in self.needs:
            self._waiting[needed] += 1

    def put(self, index: int, probabilities: Probabilities) -> None:
        """Take the probabilities of ``tile.write``."""
        if self._kept is None:
            self._pieces[index] = probabilities.copy()
        else:
            self._kept[(slice(None), *self._tiles[index].write)] = probabilities
        self._is_done[index] = True

    def is_ready(self, block: Block) -> bool:
        """Whether all tiles under a block have come."""
        return bool(self._is_done[self.needs[block.index]].all())

    def take(self, block: Block) -> Probabilities:
        """Return the probabilities of ``block.read``; may be asked once per block."""
        if self._kept is not None:
            return self._kept[(slice(None), *block.read)]
        needed = self.needs[block.index]
        shape = [s.stop - s.start for s in block.read]
        first = self._pieces[int(needed[0])]
        window = np.empty((len(first), *shape), np.float32)
        for i in needed.tolist():
            into, out = _common(self._tiles[i].write, block.read)
            window[(slice(None), *into)] = self._pieces[i][(slice(None), *out)]
        self._waiting[needed] -= 1
        for i in needed[self._waiting[needed] == 0].tolist():
            del self._pieces[i]
        return window


def _intersections(tiles: list[Tile], blocks: list[Block]) -> list[NDArray[np.intp]]:
    """Return for each block the indices of the tiles that write into it."""
    bounds = np.array([[(s.start, s.stop) for s in t.write] for t in tiles])
    found = []
    for block in blocks:
        is_hit = np.ones(len(tiles), bool)
        for axis, read in enumerate(block.read):
            is_hit &= bounds[:, axis, 0] < read.stop
            is_hit &= bounds[:, axis, 1] > read.start
        found.append(np.flatnonzero(is_hit))
    return found


def _common(
    write: Sequence[slice], read: Window
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where two windows meet, in coordinates of the second and the first."""
    into, out = [], []
    for w, r in zip(write, read, strict=True):
        low, high = max(w.start, r.start), min(w.stop, r.stop)
        into.append(slice(low - r.start, high - r.start))
        out.append(slice(low - w.start, high - w.start))
    return tuple(into), tuple(out)


class Assembler:
    """Decodes the blocks of a plane or frame and writes labels at image resolution.

    Parameters
    ----------
    labels : ndarray of int32, shape ([planes,] rows, columns)
        That part of the result, written in place; zero at the start.
    network_shape : tuple of int
        The same with rows and columns in the resolution of the network.
    decoder : Decoder
        Turns what is known of a block into labels.
    threshold : float
        Foreground probability of an outline.
    halo_px : int
        What a block sees beyond its core, in network pixels.
    core_px : int, optional
        Longest side of a plane's core, in network pixels.
    first_id : int, optional
        Smallest id to give.
    groups : UnionFind, optional
        Receives ids that are parts of one object.

    Attributes
    ----------
    scores : dict of int to float
        Of the objects painted so far, where the decoder gives scores; the best of
        the parts of an object.
    """

    def __init__(
        self,
        labels: Labels,
        network_shape: tuple[int, ...],
        decoder: Decoder,
        *,
        threshold: float,
        halo_px: int,
        core_px: int = CORE_PX,
        first_id: int = 1,
        groups: UnionFind | None = None,
    ) -> None:
        self.blocks = _plan(network_shape, core_px, halo_px)
        self._labels = labels
        self._decoder = decoder
        self.scores: dict[int, float] = {}
        self._threshold = threshold
        self._axes = plan_axes(network_shape[-2:], labels.shape[-2:])
        self._is_direct = labels.shape == tuple(network_shape)
        own = labels if self._is_direct else np.zeros(network_shape, np.int32)
        self._stitcher = Stitcher(own, self.blocks, first_id, groups)

    @property
    def next_id(self) -> int:
        """One above the largest id given so far."""
        return self._stitcher.next_id

    def decode(self, block: Block, probabilities: Probabilities) -> Decoded:
        """Decode a block, as `add` does; from several threads at once, if need be."""
        return self._decoder.decode(block, probabilities)

    def add(
        self, block: Block, probabilities: Probabilities, decoded: Decoded | None = None
    ) -> Window | None:
        """Decode a block, and paint what belongs to it.

        Parameters
        ----------
        block : Block
            One of `blocks`.
        probabilities : ndarray of float32, shape (K, [planes,] rows, columns)
            For ``block.read``.
        decoded : tuple, optional
            What `decode` made of it, if it was asked before.

        Returns
        -------
        tuple of slice or None
            ([Planes,] rows, columns) of the labels that changed, at image resolution.
        """
        local, scores = decoded or self.decode(block, probabilities)
        changed = self._stitcher.add(block, local)
        if scores is not None:
            self._keep_scores(scores.tolist())
        if changed is None or self._is_direct:
            return changed
        planes, window = changed[:-2], self._image_window(changed, block)
        foreground = self._decoder.foreground(block, probabilities)
        labels, network = self._labels, self._stitcher.labels
        if not planes:
            self._resample(labels, network, foreground, window, block)
            return window
        first = block.read[0].start
        for z in range(planes[0].start, planes[0].stop):
            part = foreground[z - first]
            self._resample(labels[z], network[z], part, window, block)
        return (*planes, *window)

    def _resample(
        self,
        labels: Labels,
        network: Labels,
        foreground: Probabilities,
        window: tuple[slice, slice],
        block: Block,
    ) -> None:
        """Bring a window of one plane to the resolution of the image."""
        spans = [
            slice(*a.source_span(w.start, w.stop))
            for a, w in zip(self._axes, window, strict=True)
        ]
        rows, columns = (
            slice(s.start - r.start, s.stop - r.start)
            for s, r in zip(spans, block.read[-2:], strict=True)
        )
        labels[window] = resample_labels(
            network[tuple(spans)],
            foreground[rows, columns],
            self._axes,
            window,
            threshold=self._threshold,
        )

    def _keep_scores(self, scores: list[float]) -> None:
        # Objects that vanished after they were scored may be missing at the end.
        for name, score in zip(self._stitcher.given.tolist(), scores, strict=False):
            if name:
                self.scores[name] = max(score, self.scores.get(name, 0.0))

    def _image_window(self, changed: Window, block: Block) -> tuple[slice, slice]:
        parts = zip(self._axes, changed[-2:], block.read[-2:], strict=True)
        rows, columns = (_covering(*part) for part in parts)
        return rows, columns


def _plan(shape: tuple[int, ...], core_px: int, halo_px: int) -> list[Block]:
    if len(shape) == 2:
        return plan_blocks(shape, max(core_px, 2 * halo_px), halo_px)
    halo = (VOLUME_HALO, halo_px, halo_px)
    core = [max(c, 2 * h) for c, h in zip(VOLUME_CORE, halo, strict=True)]
    return plan_blocks(shape, core, halo)


def _covering(axis: Axis, part: slice, read: slice) -> slice:
    """Return the image pixels a changed network part shows in, as far as known."""
    grown = 2  # labels grow by one pixel, interpolation reaches one further
    start = int(max(0, part.start - grown) / axis.step)
    stop = -int(-min(axis.source, part.stop + grown) // axis.step)
    start, stop = max(0, start), min(axis.target, stop)
    while start < stop - 1 and axis.source_span(start, start + 1)[0] < read.start:
        start += 1
    while stop > start + 1 and axis.source_span(stop - 1, stop)[1] > read.stop:
        stop -= 1
    return slice(start, stop)
