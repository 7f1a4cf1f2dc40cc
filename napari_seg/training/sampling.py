"""Random training patches: any index gives the same patch again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from napari_seg.errors import DatasetError
from napari_seg.imaging.tiling import mirror_index
from napari_seg.training.augmentation import (
    fold,
    sampling_grid,
    vary_intensity,
    warp,
)
from napari_seg.training.objectives import DenseObjective, Objective
from napari_seg.training.pairs import TrainingPair, TrainingPlane, median_diameter
from napari_seg.training.patch import Patch
from napari_seg.training.resize import resize_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.training.params import TrainParams

OBJECT_SHARE = 0.85
"""Share of patches centred on an object; the rest fall on background."""
COARSE = 1.3
"""Data this many times finer than wanted is shrunk: sparse reading would alias."""
HISTOGRAM_PATCHES = 32
"""Patches from which class frequencies are counted."""


class PatchDataset(Dataset[Patch]):
    """An endless sequence of augmented patches.

    Parameters
    ----------
    pairs : sequence of TrainingPlane
        Images with labels, in memory or read patch by patch.
    params : TrainParams
        Patch size, augmentation, weights, seed.
    diameter_px : float
        Median object diameter to which every image is brought before the random
        magnification.
    length : int
        Number of patches.
    stream : int
        Another number gives other patches from the same seed.
    objective : Objective, optional
        What is learnt of the labels; by default classes of pixels.

    Notes
    -----
    Patch `i` depends on the seed, the stream and `i` alone, not on the thread that
    makes it, so a resumed run goes on with the patches it would have seen.
    """

    def __init__(
        self,
        pairs: Sequence[TrainingPlane],
        params: TrainParams,
        diameter_px: float,
        length: int,
        *,
        stream: int = 0,
        objective: Objective | None = None,
    ) -> None:
        usable = [pair for pair in pairs if pair.diameter_px > 0]
        if not usable:
            raise DatasetError(
                "There is nothing to learn from", "no objects in the training labels"
            )
        self.pairs = [_near_size(pair, diameter_px) for pair in usable]
        self.diameter_px = diameter_px
        self.params = params
        self.length = length
        self.stream = stream
        self.objective = objective or DenseObjective(params)
        self.chances = _chances(self.pairs, diameter_px, params.hard_images)
        self.class_weights: NDArray[np.float32] | None = None
        if params.balance_classes and self.objective.has_classes:
            self.class_weights = median_frequency_weights(
                self[i] for i in range(min(HISTOGRAM_PATCHES, length))
            )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Patch:
        """Patch `index`: image (C, [Z,] Y, X), classes and weights ([Z,] Y, X)."""
        params = self.params
        rng = np.random.default_rng((params.seed, index, self.stream))
        pair = self.pairs[rng.choice(len(self.pairs), p=self.chances)]
        scale = pair.diameter_px / self.diameter_px
        *planes, y, x = _centre(pair, rng)
        grid = sampling_grid(
            (params.patch_px, params.patch_px),
            (y, x),
            params.augmentation,
            rng,
            scale=scale,
        )
        slab = _slab(planes[0], params, pair.shape[0], rng) if planes else None
        image, labels = _read_warped(pair, grid, scale, slab)
        image = vary_intensity(image, params.augmentation, rng)
        classes, weights = self.objective.targets(labels)
        if self.class_weights is not None:
            weights = weights * self.class_weights[classes]
        return (
            torch.from_numpy(image),
            torch.from_numpy(classes),
            torch.from_numpy(weights),
        )

    def batch(self, first: int, count: int) -> Patch:
        """Patches `first` to ``first + count - 1``, stacked."""
        patches = [self[first + i] for i in range(count)]
        image, classes, weights = (
            torch.stack(parts) for parts in zip(*patches, strict=True)
        )
        return image, classes, weights


def median_frequency_weights(patches: Iterable[Patch]) -> NDArray[np.float32]:
    """Weight of each class: the median of the frequencies over its own.

    Parameters
    ----------
    patches : iterable of Patch
        Pixels of weight 0 are not counted.

    Returns
    -------
    ndarray of float32, shape (K,)
        For as many classes as there are; 1 for one that never occurs (Eigen and
        Fergus, arXiv:1411.4734, section 6.3.2).
    """
    counts = np.zeros(1, np.int64)
    for _, classes, weights in patches:
        seen = classes[weights > 0].numpy()
        here = np.bincount(seen.ravel(), minlength=len(counts))
        here[: len(counts)] += counts
        counts = here
    present = counts > 0
    median = np.median(counts[present]) if present.any() else 1.0
    return np.where(present, median / np.maximum(counts, 1), 1).astype(np.float32)


def _chances(
    pairs: Sequence[TrainingPlane], diameter_px: float, hard: Sequence[str]
) -> NDArray[np.float64]:
    """How often each plane is drawn; hard ones twice (DeepLab v3, 1706.05587)."""
    # Large images hold more, but neighbouring cells are alike: the square root
    # lets neither the one large image nor the many small ones rule.
    area = [np.prod(p.shape) * (diameter_px / p.diameter_px) ** 2 for p in pairs]
    chances = np.sqrt(area) * [2.0 if pair.name in hard else 1.0 for pair in pairs]
    result: NDArray[np.float64] = chances / chances.sum()
    return result


def _slab(
    z: float, params: TrainParams, depth: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw the planes of a patch: neighbours of one, perhaps upside down.

    Few planes are mirrored; of many a patch sees only true ones.
    """
    count = params.patch_planes
    if depth > count:
        first = round(z) - int(rng.integers(count))
        first = min(max(first, 0), depth - count)
    else:
        first = -int(rng.integers(count - depth + 1))
    index = mirror_index(first, first + count, depth)
    return index[::-1] if params.augmentation.rotate and rng.random() < 0.5 else index


def _read_warped(
    pair: TrainingPlane,
    grid: NDArray[np.float32],
    scale: float,
    planes: NDArray[np.intp] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Read only the box that the grid looks at, and warp it; planes one by one."""
    grid = fold(grid, pair.shape[-2:])
    low = np.floor(grid.min(axis=(1, 2))).astype(int)
    high = np.ceil(grid.max(axis=(1, 2))).astype(int) + 1
    window = tuple(map(slice, low, high))
    if planes is not None:
        window = (slice(int(planes.min()), int(planes.max()) + 1), *window)
    image, labels = pair.read(window)
    grid = grid - low[:, None, None].astype(np.float32)
    if scale > COARSE and not isinstance(pair, TrainingPair):
        image, labels = resize_pair(image, labels, 1 / scale)
        size = np.subtract(high, low)
        zoom = np.array(labels.shape[-2:], np.float32) / size.astype(np.float32)
        grid = (grid + 0.5) * zoom[:, None, None] - 0.5
    if planes is None:
        return warp(image, labels, grid)
    each = [warp(image[:, z], labels[z], grid) for z in planes - planes.min()]
    return np.stack([one for one, _ in each], 1), np.stack([ids for _, ids in each])


def _near_size(pair: TrainingPlane, diameter_px: float) -> TrainingPlane:
    """Shrink far too large images in memory once; others are shrunk as read."""
    zoom = diameter_px / pair.diameter_px
    if zoom > 1 / COARSE or not isinstance(pair, TrainingPair):
        return pair
    image, labels = resize_pair(pair.image, pair.labels, zoom)
    diameter = median_diameter(labels) or diameter_px
    return replace(pair, image=image, labels=labels, diameter_px=diameter)


def _centre(pair: TrainingPlane, rng: np.random.Generator) -> tuple[float, ...]:
    spots = pair.spots
    on_object = rng.random() < OBJECT_SHARE
    places = spots.objects if on_object else spots.background
    if not len(places):
        places = spots.objects if len(spots.objects) else spots.background
    return tuple(map(float, places[rng.integers(len(places))]))
