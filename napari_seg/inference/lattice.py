"""Gaussian filtering in a feature space, and mean field with it, in PyTorch.

The permutohedral lattice of Adams, Baek & Davis, Fast High-Dimensional Filtering Using
the Permutohedral Lattice, Eurographics 2010, laid out as in the C++ code of
Kraehenbuehl & Koltun that pydensecrf wraps, so that both give the same probabilities.
It needs no compiler and runs on any device.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_seg.refine.crf_solver import unary_energy
from napari_seg.types import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_seg.refine.crf_solver import Kernels

_MULTIPLIER = 0x2545F4914F6CDD1D
_TINY = 1e-20


class Lattice:
    """A Gaussian filter with sigma 1 in the space of some features.

    Parameters
    ----------
    features : Tensor of float32, shape (D, pixels)
        Each divided by its sigma.
    """

    def __init__(self, features: Tensor) -> None:
        dim, pixels = features.shape
        elevated = _elevate(features)
        base, rank = _simplex(elevated)
        self._weights = _barycentric(elevated, base, rank)  # (D + 1, pixels)
        factors = _factors(dim, features.device)
        canonical = _canonical(dim, features.device)
        codes = torch.empty((dim + 1, pixels), dtype=torch.int64, device=base.device)
        for vertex in range(dim + 1):
            keys = base[:dim] + canonical[vertex][rank[:dim]]
            codes[vertex] = (keys * factors[:, None]).sum(0)
        # The code of a point is linear in its coordinates, modulo 2^64: those of
        # neighbours differ by a constant.
        points, self._points = torch.unique(codes.ravel(), return_inverse=True)
        self._count = len(points)
        self._neighbours = [
            tuple(_find(points, points + sign * step) for sign in (1, -1))
            for step in _steps(dim, factors)
        ]
        self._scale = 1 / (1 + 2.0**-dim)

    def filter(self, values: Tensor) -> Tensor:
        """Return filtered values, shape (K, pixels) as given."""
        planes = [self._filter_one(plane) for plane in values]
        return torch.stack(planes)

    def _filter_one(self, values: Tensor) -> Tensor:
        # One zero beyond the points stands for neighbours that do not exist.
        grid = torch.zeros(self._count + 1, device=values.device)
        grid.index_add_(0, self._points, (self._weights * values).ravel())
        for forward, back in self._neighbours:
            blurred = grid[forward] + grid[back]
            grid[:-1] += blurred.mul_(0.5)
        found = grid[self._points].view_as(self._weights) * self._weights
        return found.sum(0).mul_(self._scale)


class SymmetricKernel:
    """A filter divided, before and after, by the root of the weight of each pixel."""

    def __init__(self, weight: float, features: Tensor) -> None:
        self._weight = weight
        self._lattice = Lattice(features)
        total = self._lattice.filter(torch.ones_like(features[:1]))
        self._norm = (total + _TINY).rsqrt()

    def messages(self, probabilities: Tensor) -> Tensor:
        """Return what all pixels tell each pixel, shape (K, pixels)."""
        filtered = self._lattice.filter(probabilities * self._norm)
        return filtered.mul_(self._norm * self._weight)


def iter_mean_field(
    image: NDArray[np.float32],
    probabilities: NDArray[np.floating],
    start: tuple[int, ...],
    kernels: Kernels,
    device: str = "cpu",
) -> Generator[Progress, None, NDArray[np.float32]]:
    """Do what `solve_block` does, in PyTorch; yields after each step.

    Parameters
    ----------
    image, probabilities, start, kernels
        As for `napari_seg.refine.crf_solver.solve_block`.
    device : str, optional
        Of PyTorch.

    Returns
    -------
    ndarray of float32, shape (K, *spatial)
    """
    steps = kernels.iterations + 1
    with torch.inference_mode():
        energy = torch.from_numpy(unary_energy(probabilities)).to(device)
        pairwise = []
        for weight, features in kernels.features(image, start):
            places = torch.from_numpy(np.ascontiguousarray(features, np.float32))
            pairwise.append(SymmetricKernel(weight, places.to(device)))
        found = torch.softmax(-energy, 0)
    yield Progress("refine", 1, steps)
    for step in range(kernels.iterations):
        with torch.inference_mode():
            logits = -energy
            for kernel in pairwise:
                logits += kernel.messages(found)
            found = torch.softmax(logits, 0)
        yield Progress("refine", step + 2, steps)
    result: NDArray[np.float32] = found.cpu().numpy()
    return result.reshape(probabilities.shape)


def _elevate(features: Tensor) -> Tensor:
    """Return the features in the hyperplane of the lattice (p. 5), (D + 1, pixels)."""
    dim, pixels = features.shape
    spread = math.sqrt(2 / 3) * (dim + 1)
    elevated = features.new_empty((dim + 1, pixels))
    total = torch.zeros_like(features[0])
    for j in range(dim, 0, -1):
        scaled = features[j - 1] * (spread / math.sqrt((j + 1) * j))
        elevated[j] = total - j * scaled
        total = total + scaled
    elevated[0] = total
    return elevated


def _simplex(elevated: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nearest point of remainder 0, and the rank of each coordinate."""
    size = len(elevated)
    rounded = torch.round(elevated * (1 / size))
    offset = elevated - rounded * size
    rank = torch.zeros_like(elevated, dtype=torch.int64)
    for i in range(size - 1):
        for j in range(i + 1, size):
            is_less = offset[i] < offset[j]
            rank[i] += is_less
            rank[j] += ~is_less
    base = rounded.to(torch.int64) * size
    rank += rounded.sum(0).to(torch.int64)
    shift = size * ((rank < 0).to(torch.int64) - (rank >= size).to(torch.int64))
    return base + shift, rank + shift


def _barycentric(elevated: Tensor, base: Tensor, rank: Tensor) -> Tensor:
    """Return the weight of each vertex of the simplex (p. 10), (D + 1, pixels)."""
    size = len(elevated)
    parts = (elevated - base) * (1 / size)
    ranked = torch.empty_like(parts).scatter_(0, rank, parts).flip(0)
    weights = ranked - torch.roll(ranked, 1, 0)
    weights[0] += 1
    return weights


def _canonical(dim: int, device: torch.device) -> Tensor:
    """Return how a vertex differs from the base for a coordinate of a rank."""
    table = [
        [v if rank <= dim - v else v - (dim + 1) for rank in range(dim + 1)]
        for v in range(dim + 1)
    ]
    return torch.tensor(table, dtype=torch.int64, device=device)


def _factors(dim: int, device: torch.device) -> Tensor:
    """Return odd numbers without pattern, whose products wrap around."""
    value, found = 1, []
    for _ in range(dim):
        value = value * _MULTIPLIER % 2**64
        found.append(value - 2**64 if value >= 2**63 else value)
    return torch.tensor(found, dtype=torch.int64, device=device)


def _steps(dim: int, factors: Tensor) -> list[Tensor]:
    """Return the code of a step along each of the D + 1 directions."""
    all_down = -factors.sum()
    # The last coordinate is the negative sum of the others, so it has no factor.
    own = [*(factors * (dim + 1)), torch.zeros_like(all_down)]
    return [all_down + step for step in own]


def _find(points: Tensor, wanted: Tensor) -> Tensor:
    """Return where each code is among the sorted points; behind them if nowhere."""
    places = torch.searchsorted(points, wanted).clamp_(max=len(points) - 1)
    return torch.where(points[places] == wanted, places, len(points))
