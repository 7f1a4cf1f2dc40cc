"""What a segmentation returns, and labels again from what it kept."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg.errors import ImageError
from napari_seg.imaging.axes import Piece, PlaneIndex, iter_planes, plane_selection
from napari_seg.imaging.instances import InstanceParams, probabilities_to_labels
from napari_seg.imaging.linking import UnionFind
from napari_seg.imaging.panoptic import Panoptic, join_panoptic
from napari_seg.imaging.rescale import plan_axes, resample, resample_plane
from napari_seg.imaging.stuff import OBJECT, most_likely_class
from napari_seg.inference.assembly import CORE_PX, Assembler
from napari_seg.inference.decoding import (
    Decoder,
    DenseDecoder,
    DetectionDecoder,
    Findings,
    decode_window,
)
from napari_seg.inference.numbering import iter_number, renumber_scores
from napari_seg.inference.planes import (
    is_transposed,
    order_frames,
    order_planes,
    part_of,
    plane_of,
    region_of,
)
from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.imaging.deltas import Box
    from napari_seg.imaging.stitching import Window
    from napari_seg.imaging.tracks import Tracks
    from napari_seg.inference.reader import ImageReader

Labels = NDArray[np.int32]


@dataclass
class Segmentation:
    """Labels of an image and what they were made from."""

    labels: Labels
    """Ids 1..N, 0 is background; the image's shape without channels."""
    classes: tuple[str, ...]
    """Names of the K classes that make objects; the first is background."""
    axes: str
    """Axes of the labels, a string of T Z Y X in the order of the array."""
    diameter_px: float
    """Object diameter in image pixels that decided on the zoom."""
    provenance: dict[str, Any]
    """Model, checkpoint hash, parameters, version, device: all a record needs."""
    network_probabilities: NDArray[np.float32] | None
    """Shape (K, [T,] [Z,] rows, columns) in the resolution of the network, or None
    if they were not kept."""
    zoom: float = 1.0
    """Network pixels per image pixel."""
    halo_px: int = 64
    """What a block of the decoder sees beyond its own part, in network pixels."""
    ndim: int = 2
    """Whether planes (2) or whole frames of a stack (3) became objects at once."""
    smallest_px: float = 0.0
    """Smaller finds are dirt to this model; area in network pixels."""
    reader: ImageReader | None = None
    """The image as the network saw it, for what looks at both; None if not at hand."""
    findings: Findings | None = None
    """The objects that a detector found, of which labels are made; None otherwise."""
    scores: dict[int, float] = field(default_factory=dict)
    """How sure a detector is of each object, 0..1, by the id that the run gave it;
    empty otherwise. See `iter_derive_scored` for labels made again."""
    stuff: tuple[str, ...] = ()
    """Names of the classes beside the objects."""
    stuff_probabilities: NDArray[np.float32] | None = None
    """Of these, shape (number of names, [T,] [Z,] rows, columns) in the resolution of
    the network; they are part of the background in `network_probabilities`."""
    tracks: Tracks | None = None
    """The objects of a film followed through time, if that was asked for."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the numbers in `semantic`."""
        return (self.classes[0], OBJECT, *self.stuff)

    @cached_property
    def semantic(self) -> NDArray[np.uint8]:
        """Class of each pixel in the shape of the labels; see `class_names`."""
        stuff = self.stuff_probabilities
        result = np.zeros(self.labels.shape, np.uint8)
        for plane in iter_planes(self.axes, self.labels.shape):
            objects = self.probabilities_of(plane)
            parts = [objects[:1], *([] if stuff is None else [self._of(stuff, plane)])]
            target = plane_of(result, self.axes, plane)
            both = resample_plane(np.concatenate(parts), target.shape)
            target[...] = most_likely_class(both[:1], both[1:])
        return result

    def panoptic(self) -> Panoptic:
        """Join objects and classes; the numbers are those of `class_names`."""
        return join_panoptic(self.labels, self.semantic)

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Class probabilities (K, *labels.shape), computed anew at each access."""
        kept = self.kept()
        result = np.empty((len(kept), *self.labels.shape), np.float32)
        for plane in iter_planes(self.axes, self.labels.shape):
            index = (slice(None), *plane_selection(self.axes, plane))
            target = result[index]
            if is_transposed(self.axes):
                target = target.transpose(0, 2, 1)
            target[...] = resample_plane(self.probabilities_of(plane), target.shape[1:])
        return result

    def probability_in(self, box: Box, index: int = 0) -> NDArray[np.float32]:
        """Return one class's probability in a box of the labels.

        Parameters
        ----------
        box : tuple of slice
            With start and stop, one for each axis of the labels.
        index : int, optional
            Number of the class; 0 is background.

        Returns
        -------
        ndarray of float32, shape of the box
        """
        sides = dict(zip(self.axes, box, strict=True))
        sizes = dict(zip(self.axes, self.labels.shape, strict=True))
        leading = [axis for axis in "TZ" if axis in sides]
        parts: tuple[Any, ...] = (index, *(sides[axis] for axis in leading))
        kept = self.kept()[parts]
        axes = plan_axes(kept.shape[-2:], (sizes["Y"], sizes["X"]))
        window = sides["Y"], sides["X"]
        rows, columns = (
            slice(*a.source_span(w.start, w.stop))
            for a, w in zip(axes, window, strict=True)
        )
        found = resample(kept[..., rows, columns], axes, window)
        order = [*leading, "Y", "X"]
        return found.transpose([order.index(axis) for axis in self.axes])

    def probabilities_of(self, plane: PlaneIndex) -> NDArray[np.float32]:
        """Return (K, rows, columns) of one plane in the resolution of the network."""
        return self._of(self.kept(), plane)

    def _of(
        self, probabilities: NDArray[np.float32], plane: PlaneIndex
    ) -> NDArray[np.float32]:
        return part_of(probabilities, self.axes, plane)

    def instance_params(
        self,
        *,
        threshold: float,
        seed_threshold: float,
        min_size_px: float = 0.0,
        fill_holes: bool = True,
    ) -> InstanceParams:
        """Return decoder parameters from sizes in image pixels.

        Parameters
        ----------
        threshold, seed_threshold : float
            Foreground and interior probability; of a detector mask probability and
            score.
        min_size_px : float, optional
            Smallest area in image pixels.
        fill_holes : bool, optional
            Whether holes inside objects are filled.
        """
        smallest = max(min_size_px * self.zoom**2, self.smallest_px)
        return InstanceParams(threshold, seed_threshold, smallest, fill_holes)

    @property
    def is_refined(self) -> bool:
        """Whether the probabilities were changed after the network gave them."""
        return "crf" in self.provenance

    def pieces(self, focus: PlaneIndex | None) -> Sequence[Piece]:
        """Return what becomes objects at once: planes or frames, the nearest first."""
        order = order_planes if self.ndim == 2 else order_frames
        return order(self.axes, self.labels.shape, focus)

    def decoder(self, plane: Piece, instances: InstanceParams) -> Decoder:
        """Return what turns the blocks of a plane or frame into labels."""
        if self.findings is None or not isinstance(plane, PlaneIndex):
            return DenseDecoder(self.classes, instances)
        found = self.findings.planes[plane]
        return DetectionDecoder(found, instances, self.is_refined)

    def decode_window(
        self,
        plane: PlaneIndex,
        window: Window,
        probabilities: NDArray[np.float32],
        instances: InstanceParams,
    ) -> Labels:
        """Make labels of a window from probabilities that may have been refined.

        Parameters
        ----------
        plane : PlaneIndex
        window : tuple of slice
            Rows and columns in the resolution of the network.
        probabilities : ndarray of float32, shape (K, rows, columns)
            Of the window.
        instances : InstanceParams
        """
        if self.findings is None:
            return probabilities_to_labels(probabilities, self.classes, instances)
        shape = self.probabilities_of(plane).shape[1:]
        foreground = 1 - probabilities[0]
        where = (plane, shape, window)
        return decode_window(self.findings, *where, foreground, instances)

    def kept(self) -> NDArray[np.float32]:
        """Return `network_probabilities`, or raise ImageError if there are none."""
        if self.network_probabilities is None:
            raise ImageError(
                "The probabilities of this segmentation were not kept",
                remedy="Run it again with keep_probabilities=True",
            )
        return self.network_probabilities


def iter_derive(
    segmentation: Segmentation,
    instance_params: InstanceParams,
    *,
    link_z: bool = True,
    focus: PlaneIndex | None = None,
) -> Generator[Progress, None, Labels]:
    """Make labels again from what was kept, without the network.

    Parameters
    ----------
    segmentation : Segmentation
        Not changed.
    instance_params : InstanceParams
        Sizes in network pixels; see `Segmentation.instance_params`.
    link_z : bool, optional
        Whether overlapping objects of neighbouring planes get the same id.
    focus : PlaneIndex, optional
        The plane that is made first.

    Yields
    ------
    Progress
        Stages ``"instances"`` and ``"link"``.

    Returns
    -------
    ndarray of int32
        Shape of ``segmentation.labels``.
    """
    derive = iter_derive_scored(
        segmentation, instance_params, link_z=link_z, focus=focus
    )
    labels, _ = yield from derive
    return labels


def iter_derive_scored(
    segmentation: Segmentation,
    instance_params: InstanceParams,
    *,
    link_z: bool = True,
    focus: PlaneIndex | None = None,
) -> Generator[Progress, None, tuple[Labels, dict[int, float]]]:
    """Make labels as `iter_derive` does, with the scores of a detector's objects."""
    axes = segmentation.axes
    labels = np.zeros(segmentation.labels.shape, np.int32)
    groups = UnionFind()
    scores: dict[int, float] = {}
    found = segmentation.findings
    planes = segmentation.pieces(focus)
    done, total, next_id = 0, 0, 1
    for plane in planes:
        probabilities = part_of(segmentation.kept(), axes, plane)
        assembler = Assembler(
            plane_of(labels, axes, plane),
            probabilities.shape[1:],
            segmentation.decoder(plane, instance_params),
            threshold=instance_params.threshold,
            halo_px=segmentation.halo_px,
            core_px=CORE_PX if found is None else found.core_px,
            first_id=next_id,
            groups=groups,
        )
        total = total or len(assembler.blocks) * len(planes)
        for block in assembler.blocks:
            part = probabilities[(slice(None), *block.read)]
            window = assembler.add(block, np.asarray(part))
            done += 1
            region = region_of(labels, axes, plane, window) if window else None
            yield Progress("instances", done, total, region)
        next_id = assembler.next_id
        scores |= assembler.scores
    link_z = link_z and segmentation.ndim == 2
    table = yield from iter_number(labels, axes, groups, link_z=link_z)
    return labels, renumber_scores(scores, table)
