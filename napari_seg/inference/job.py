"""One image on its way through the network."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import napari_seg
from napari_seg.imaging.axes import (
    Piece,
    PlaneIndex,
    axis_size,
    spatial_axes,
    spatial_shape,
)
from napari_seg.imaging.instances import InstanceParams
from napari_seg.imaging.linking import UnionFind
from napari_seg.imaging.rescale import snap_zoom, zoomed_size
from napari_seg.inference.assembly import CORE_PX, Assembler
from napari_seg.inference.planes import order_planes, part_of, plane_of, region_of
from napari_seg.inference.result import Segmentation
from napari_seg.inference.room import make_room
from napari_seg.types import Progress

if TYPE_CHECKING:  # torch must not be loaded by opening a panel
    from numpy.typing import NDArray

    from napari_seg.imaging.stitching import Block
    from napari_seg.inference.decoding import Decoded, Decoder, Findings
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.reader import ImageReader
    from napari_seg.inference.resident import Resident
    from napari_seg.models.card import Card
    from napari_seg.models.checkpoint import Checkpoint


Spot = tuple[float, ...]
"""A place in network pixels: (row, column), of a frame with the plane before."""


class Job(ABC):
    """One image on its way through a network, whatever its kind.

    Parameters
    ----------
    reader : ImageReader
        The image.
    predictor : Resident
        The network, where it runs.
    checkpoint : Checkpoint
        What the network is.
    params : SegmentParams
    diameter : float
        Of the objects, in image pixels.

    Attributes
    ----------
    labels : ndarray of int32
        The result, filled plane by plane.
    groups : UnionFind
        Ids in it that are parts of one object.
    scores : dict of int to float
        Of its objects, by id, if the network gives any.
    findings : Findings or None
        The objects before they were painted, if the network finds objects.
    """

    def __init__(
        self,
        reader: ImageReader,
        predictor: Resident,
        checkpoint: Checkpoint,
        params: SegmentParams,
        diameter: float,
    ) -> None:
        card = checkpoint.card
        self.reader = reader
        self.predictor = predictor
        self.checkpoint = checkpoint
        self.params = params
        self.diameter = diameter
        self.zoom = snap_zoom(card.object_diameter_px / diameter)
        self.axes = spatial_axes(reader.axes)
        self.labels = np.zeros(spatial_shape(reader.axes, reader.image.shape), np.int32)
        self.groups = UnionFind()
        self.scores: dict[int, float] = {}
        self.findings: Findings | None = None
        self.core = CORE_PX
        self.halo = min(128, max(32, math.ceil(2 * card.object_diameter_px) + 8))
        self.instances = instance_params(card, params, self.zoom)
        self.shape: tuple[int, ...] = tuple(
            zoomed_size(n, self.zoom) for n in reader.plane_shape
        )
        count = len(card.object_classes)
        self.kept = self._allocate(count) if params.keep_probabilities else None
        self.stuff: NDArray[np.float32] | None = None
        self._next_id = 1
        self._done = {"predict": 0, "instances": 0}
        self._focus = self._place_focus()
        self.pieces = self._pieces(self._focus and self._focus[0])

    @property
    def piece_shape(self) -> tuple[int, ...]:
        """Shape in which a piece becomes objects: rows and columns of the network."""
        return self.shape

    def _pieces(self, nearest: PlaneIndex | None) -> Sequence[Piece]:
        """Return what is segmented one after the other, the nearest first."""
        return order_planes(self.axes, self.labels.shape, nearest)

    def iter_pieces(self) -> Generator[Progress, None, None]:
        """Predict and decode all planes or frames, those near the focus first."""
        for plane in self.pieces:
            spot = self._spot(plane)
            assembler = Assembler(
                plane_of(self.labels, self.axes, plane),
                self.piece_shape,
                self._decoder(plane),
                threshold=self.instances.threshold,
                halo_px=self.halo,
                core_px=self.core,
                first_id=self._next_id,
                groups=self.groups,
            )
            yield from self._iter_piece(plane, assembler, spot)
            self._next_id = assembler.next_id
            self.scores |= assembler.scores

    @abstractmethod
    def _decoder(self, plane: Piece) -> Decoder:
        """Return what turns the blocks of a plane into labels."""

    @abstractmethod
    def _iter_piece(
        self, plane: Piece, assembler: Assembler, spot: Spot | None
    ) -> Generator[Progress, None, None]:
        """Run the network over a plane, and add each block that is complete.

        `spot` is the place in network pixels that comes first.
        """

    def _add(
        self,
        plane: Piece,
        assembler: Assembler,
        block: Block,
        probabilities: NDArray[np.float32],
        decoded: Decoded | None = None,
    ) -> Progress:
        window = assembler.add(block, probabilities, decoded)
        region = region_of(self.labels, self.axes, plane, window) if window else None
        step = self._progress("instances", len(assembler.blocks), 1)
        return dataclasses.replace(step, region=region)

    def _progress(self, stage: str, per_plane: int, done: int) -> Progress:
        self._done[stage] += done
        return Progress(stage, self._done[stage], per_plane * len(self.pieces))

    def _spot(self, piece: Piece) -> Spot | None:
        """Return the place of the focus in a plane, or in a frame, if it is there."""
        if self._focus is None:
            return None
        plane, (y, x) = self._focus
        if isinstance(piece, PlaneIndex):
            return (y, x) if piece == plane else None
        return (plane.z, y, x) if piece.t == plane.t else None

    def _place_focus(self) -> tuple[PlaneIndex, tuple[float, float]] | None:
        """Return the focus as a plane and a place in network pixels."""
        if self.params.focus is None:
            return None
        at = dict(zip(self.axes, self.params.focus, strict=True))
        sizes = dict(zip(self.axes, self.labels.shape, strict=True))
        inside = {a: min(max(v, 0), sizes[a] - 1) for a, v in at.items()}
        plane = PlaneIndex(round(inside.get("T", 0)), round(inside.get("Z", 0)))
        return plane, (inside["Y"] * self.zoom, inside["X"] * self.zoom)

    def _allocate(self, count: int) -> NDArray[np.float32] | None:
        """Room for the probabilities of so many classes."""
        shape = self.reader.image.shape
        leading = [
            axis_size(self.reader.axes, shape, a) for a in "TZ" if a in self.axes
        ]
        room = make_room((count, *leading, *self.shape))
        if room is None:
            self.reader.notes.append("probabilities were not kept: no room on disk")
        return room

    def _part_of(
        self, kept: NDArray[np.float32] | None, plane: Piece
    ) -> NDArray[np.float32] | None:
        return None if kept is None else part_of(kept, self.axes, plane)

    @abstractmethod
    def _tiling(self) -> dict[str, Any]:
        """Return what the provenance keeps of how the plane was cut up."""

    def result(self, origin: str, seconds: float) -> Segmentation:
        """Return the finished segmentation with its provenance."""
        card = self.checkpoint.card
        path = self.checkpoint.path
        provenance = {
            "model": card.name,
            "checkpoint": None if path is None else str(path),
            "sha256": self.checkpoint.sha256,
            "software": f"napari-seg {napari_seg.__version__}",
            "parameters": dataclasses.asdict(self.params),
            "axes": self.reader.axes,
            "diameter_px": self.diameter,
            "diameter_origin": origin,
            "zoom": self.zoom,
            **self._tiling(),
            "instances": dataclasses.asdict(self.instances),
            "device": self.predictor.device.name,
            "device_reason": self.predictor.device.reason,
            "precision": str(self.predictor.half or "torch.float32").split(".")[1],
            "seconds": round(seconds, 3),
            "notes": list(self.reader.notes),
        }
        return Segmentation(
            self.labels,
            card.object_classes,
            self.axes,
            self.diameter,
            provenance,
            self.kept,
            self.zoom,
            self.halo,
            card.ndim,
            card.smallest_px,
            self.reader,
            self.findings,
            self.scores,
            card.stuff,
            self.stuff,
        )


def instance_params(card: Card, params: SegmentParams, zoom: float) -> InstanceParams:
    """Return how probabilities become objects, sizes in network pixels."""
    seeds = params.seed_threshold
    return InstanceParams(
        card.threshold if params.threshold is None else params.threshold,
        card.seed_threshold if seeds is None else seeds,
        max(params.min_size_px * zoom**2, card.smallest_px),
    )


def distance(window: tuple[slice, ...], spot: Spot) -> float:
    """Return how far a place lies outside a window, then from its middle."""
    outside = [
        max(s.start - p, p - s.stop, 0.0) for s, p in zip(window, spot, strict=True)
    ]
    centre = [
        abs((s.start + s.stop) / 2 - p) for s, p in zip(window, spot, strict=True)
    ]
    return max(outside) + 1e-6 * max(centre)


def by_distance(blocks: list[Block], spot: Spot | None) -> list[Block]:
    """Return blocks, those nearest a spot first."""
    if spot is None:
        return list(blocks)
    return sorted(blocks, key=lambda b: distance(b.core, spot))
