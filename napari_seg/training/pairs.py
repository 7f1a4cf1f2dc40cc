"""Planes and volumes to learn from: images with labels, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_seg.training.stuff import stuff_numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

Window = tuple[slice, ...]
"""([Planes,] rows, columns), with start and stop."""

MAX_SPOTS = 4096
"""Positions remembered of each kind in a plane, to centre patches on."""


class TrainingPlane(Protocol):
    """One plane, or one volume, with its labels, in memory or read as needed."""

    @property
    def name(self) -> str:
        """File stem or layer, and the plane's number for stacks."""

    @property
    def source(self) -> str:
        """What it came from: planes of one source never part company in a split."""

    @property
    def diameter_px(self) -> float:
        """Median object diameter within planes; 0 without objects."""

    @property
    def z_aspect(self) -> float | None:
        """Distance of planes over that of pixels; None if it is not known."""

    @property
    def shape(self) -> tuple[int, ...]:
        """([Planes,] rows, columns)."""

    @property
    def channels(self) -> int:
        """Channels of the image."""

    @property
    def spots(self) -> Spots:
        """Where patches may be centred."""

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Image (C, [planes,] rows, columns) and ids ([planes,] rows, columns).

        -1 does not count; below lie classes beside the objects (`stuff_numbers`).
        """


@dataclass(frozen=True)
class Spots:
    """Positions ([plane,] row, column), at most `MAX_SPOTS` of each kind."""

    objects: NDArray[np.int32]
    """On objects, shape (N, 2) or (N, 3)."""
    background: NDArray[np.int32]
    """On background that counts."""

    @classmethod
    def of(cls, labels: NDArray[np.integer]) -> Spots:
        """Find them in labels of shape ([Z,] Y, X)."""
        background = (labels == 0) | (stuff_numbers(labels) > 0)
        return cls(_some(labels > 0), _some(background))


def _some(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    found = np.flatnonzero(mask)
    if len(found) > MAX_SPOTS:
        # Drawn, not every n-th: a regular step would hit the same columns again.
        found = np.random.default_rng(0).choice(found, MAX_SPOTS, replace=False)
        found.sort()
    return np.stack(np.unravel_index(found, mask.shape), axis=1).astype(np.int32)


@dataclass(frozen=True)
class TrainingPair:
    """One plane, or one volume, with its labels, in memory."""

    name: str
    """File stem or layer, and the plane's number for stacks."""
    image: NDArray[np.float32]
    """Normalised, shape (C, [Z,] Y, X)."""
    labels: NDArray[np.int32]
    """Instance ids, shape ([Z,] Y, X); -1 where they do not count, below -1 classes
    beside the objects (`stuff_numbers`)."""
    diameter_px: float
    """Median object diameter; 0 without objects."""
    source: str = ""
    """What it came from: planes of one source never part company in a split."""
    z_aspect: float | None = None
    """Distance of planes over that of pixels; None if it is not known."""

    @property
    def shape(self) -> tuple[int, ...]:
        """([Planes,] rows, columns)."""
        return self.labels.shape

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return int(self.image.shape[0])

    @cached_property
    def spots(self) -> Spots:
        """Where patches may be centred."""
        return Spots.of(self.labels)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.image.nbytes + self.labels.nbytes

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Image (C, ...) and ids of a window."""
        return self.image[(slice(None), *window)], self.labels[window]


def areas_of(labels: NDArray[np.integer]) -> NDArray[np.intp]:
    """Areas (pixels) of the objects of a plane, or of all planes of a volume."""
    if labels.ndim == 3:
        return np.concatenate([areas_of(plane) for plane in labels])
    positive = labels[labels > 0]
    if not positive.size:
        return np.zeros(0, np.intp)
    return np.unique(positive, return_counts=True)[1]


def diameter_of(areas: NDArray[np.intp]) -> float:
    """Median equivalent diameter (px) of objects with these areas; 0 without any."""
    return float(2 * np.sqrt(np.median(areas) / np.pi)) if areas.size else 0.0


def median_diameter(labels: NDArray[np.integer]) -> float:
    """Median equivalent diameter (px) of the objects within planes; 0 without any."""
    return diameter_of(areas_of(labels))


def dense_ids(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Renumber ids 1..N in their order; 0 and what is negative stay."""
    ids, dense = np.unique(np.maximum(labels, 0), return_inverse=True)
    shift = 0 if ids.size and ids[0] == 0 else 1
    packed = (dense.reshape(labels.shape) + shift).astype(np.int32)
    np.copyto(packed, labels, where=labels < 0, casting="unsafe")
    return packed


def memory_report(planes: Sequence[TrainingPlane]) -> str:
    """One line on what training data takes, for the user."""
    held = [plane for plane in planes if isinstance(plane, TrainingPair)]
    lazy = len(planes) - len(held)
    size = sum(pair.nbytes for pair in held) / 2**20
    kind = "volumes" if any(len(plane.shape) == 3 for plane in planes) else "planes"
    parts = []
    if held:
        parts.append(f"{len(held)} {kind} in memory ({size:.0f} MB)")
    if lazy:
        parts.append(f"{lazy} {kind} read patch by patch")
    return ", ".join(parts) or "no planes"
