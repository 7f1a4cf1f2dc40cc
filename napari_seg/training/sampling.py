"""Random training patches: any index gives the same patch again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from napari_seg.errors import DatasetError
from napari_seg.imaging.weightmap import border_weight_map
from napari_seg.training.augmentation import sampling_grid, vary_intensity, warp
from napari_seg.training.pairs import TrainingPair, median_diameter
from napari_seg.training.resize import resize_pair
from napari_seg.training.targets import interior_border_map, open_gaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.training.params import TrainParams

OBJECT_SHARE = 0.85
"""Share of patches centred on an object; the rest fall anywhere."""

Patch = tuple[Tensor, Tensor, Tensor]
"""Image (C, Y, X), classes (Y, X) and loss weights (Y, X)."""


class PatchDataset(Dataset[Patch]):
    """An endless sequence of augmented patches.

    Parameters
    ----------
    pairs : sequence of TrainingPair
        Images with labels.
    params : TrainParams
        Patch size, augmentation, weights, seed.
    diameter_px : float
        Median object diameter to which every image is brought before the random
        magnification.
    length : int
        Number of patches.

    Notes
    -----
    Patch `i` depends on the seed and `i` alone, not on the worker that makes it, so a
    resumed run goes on with the patches it would have seen.
    """

    def __init__(
        self,
        pairs: Sequence[TrainingPair],
        params: TrainParams,
        diameter_px: float,
        length: int,
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
        # Large images hold more, but neighbouring cells are alike: the square root
        # lets neither the one large image nor the many small ones rule.
        area = [p.labels.size * (diameter_px / p.diameter_px) ** 2 for p in self.pairs]
        self.chances = np.sqrt(area) / np.sqrt(area).sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Patch:
        """Patch `index`: image (C, Y, X), classes (Y, X), weights (Y, X)."""
        params = self.params
        rng = np.random.default_rng((params.seed, index))
        pair = self.pairs[rng.choice(len(self.pairs), p=self.chances)]
        grid = sampling_grid(
            (params.patch_px, params.patch_px),
            _centre(pair.labels, rng),
            params.augmentation,
            rng,
            scale=pair.diameter_px / self.diameter_px,
        )
        image, labels = warp(pair.image, pair.labels, grid)
        image = vary_intensity(image, params.augmentation, rng)
        classes, weights = self._targets(labels)
        return (
            torch.from_numpy(image),
            torch.from_numpy(classes),
            torch.from_numpy(weights),
        )

    def _targets(
        self, labels: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        parted = open_gaps(labels)
        weights = border_weight_map(
            parted,
            w0=self.params.w0,
            sigma=self.params.sigma_px,
            balance_classes=False,
        )
        if self.params.target == "foreground":
            return (parted > 0).astype(np.int64), weights
        return interior_border_map(labels, border_px=self.params.border_px), weights


def _near_size(pair: TrainingPair, diameter_px: float) -> TrainingPair:
    """Shrink far too large images once: reading them sparsely would alias."""
    zoom = diameter_px / pair.diameter_px
    if zoom > 1 / 1.3:
        return pair
    image, labels = resize_pair(pair.image, pair.labels, zoom)
    diameter = median_diameter(labels) or diameter_px
    return TrainingPair(pair.name, image, labels, diameter)


def _centre(labels: NDArray[np.int32], rng: np.random.Generator) -> tuple[float, float]:
    if rng.random() < OBJECT_SHARE:
        # A few tries find an object pixel nearly always, without a search.
        for _ in range(20):
            y, x = (int(rng.integers(n)) for n in labels.shape)
            if labels[y, x]:
                return float(y), float(x)
    return float(rng.uniform(0, labels.shape[0])), float(
        rng.uniform(0, labels.shape[1])
    )
