"""How much a region that floods from a click looks like a whole object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import gamma, pi
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

SHELL, NEAR_SHELL = 1.5, 1.25
"""Size of a region and what is compared with it, the next to flood, in regions."""

CLIP = 4.0
"""Features count up to this many spreads from their mean."""


@dataclass(frozen=True)
class Rater:
    """A small fitted model: one hidden layer over the features of a region.

    `benchmarks/region_rating.py` fits it to clicks on training images of all kinds.

    Parameters
    ----------
    names : tuple of str
        Features, in the order of `region_features`.
    mean, spread : ndarray, shape (F,)
        Of each feature.
    hidden : ndarray, shape (H, F + 1)
        Weights of the hidden units, and their offsets.
    output : ndarray, shape (H,)
    """

    names: tuple[str, ...]
    mean: Values
    spread: Values
    hidden: Values
    output: Values

    def rate(self, features: dict[str, Values]) -> Values:
        """Return the rating of each region; the best has the highest."""
        raw = np.stack([features[name] for name in self.names])
        scaled = (raw - self.mean[:, None]) / self.spread[:, None]
        scaled = np.clip(scaled, -CLIP, CLIP)
        units = np.tanh(self.hidden[:, :-1] @ scaled + self.hidden[:, -1:])
        return np.asarray(self.output @ units)


@cache
def shipped_rater() -> Rater:
    """Return the model that is installed with the package."""
    text = (files("napari_seg.resources") / "regions.json").read_text("utf-8")
    stored = json.loads(text)
    arrays = {
        name: np.asarray(stored[name], float)
        for name in ("mean", "spread", "hidden", "output")
    }
    return Rater(names=tuple(stored["names"]), **arrays)


def region_features(
    image: NDArray[np.float32],
    texture: NDArray[np.float32],
    distance: Values,
    levels: Values,
    centre: Sequence[float],
) -> dict[str, Values]:
    """Describe the region below each level of a flood.

    Parameters
    ----------
    image : ndarray of float32, shape (C, *grid)
        Scaled to unit spread.
    texture : ndarray of float32, shape (*grid)
        How busy the image is at each voxel, of unit spread.
    distance : ndarray of float, shape (*grid)
        Cost of reaching each voxel; infinite where the flood must not go.
    levels : ndarray of float, shape (K,)
        Rising.
    centre : sequence of float
        Middle of what was clicked.

    Returns
    -------
    dict of str to ndarray, shape (K,)
    """
    flood = Flood(np.searchsorted(levels, distance), len(levels))
    length, steps, sizes = flood.outlines(image)
    _, edge, _ = flood.outlines(texture[None])
    inner, inner_spread, outer, outer_spread = flood.sides(image)
    busy, _, busy_out, busy_out_spread = flood.sides(texture[None])
    contrast = np.linalg.norm(outer - inner, axis=0)
    spread_in = np.linalg.norm(inner_spread, axis=0)
    spread_out = np.linalg.norm(outer_spread, axis=0)
    total = np.linalg.norm(steps, axis=0)
    size = np.linalg.norm(sizes, axis=0)
    ndim = distance.ndim
    ball = pi ** (ndim / 2) / gamma(ndim / 2 + 1)
    radius = (flood.area / ball) ** (1 / ndim)
    disc = pi ** ((ndim - 1) / 2) / gamma((ndim + 1) / 2)
    round_length = 2 * ndim * disc * radius ** (ndim - 1)
    offset, longest, shortest, extent = flood.shape(centre)
    further, near = (
        levels[flood.reaching(SHELL, 8)],
        levels[flood.reaching(NEAR_SHELL, 4)],
    )
    before = levels[flood.reaching(1 / SHELL, 0)]
    return {
        "support": total / (length + 12),
        "step": total / (length + 1),
        "step size": size / (length + 1),
        "agreement": total / (size + 1e-6),
        "texture step": edge[0] / (length + 1),
        "contrast": contrast,
        "clear contrast": contrast / np.sqrt(spread_in**2 + spread_out**2 + 0.05),
        "spread inside": spread_in,
        "spread outside": spread_out,
        "texture contrast": busy[0] - busy_out[0],
        "texture inside": busy[0],
        "texture outside": busy_out[0],
        "texture spread": busy_out_spread[0],
        "off centre": offset / (radius + 0.5),
        "elongation": np.sqrt(longest / (shortest + 0.3)),
        "extent": (extent + 0.5) / radius,
        "roughness": length / (0.5 * round_length + 1),
        "cut off": flood.border / (length + 1),
        "size": np.log(radius),
        "wall": np.log((further + 0.3) / (levels + 0.3)),
        "near wall": np.log((near + 0.3) / (levels + 0.3)),
        "rise": np.log((levels + 0.3) / (before + 0.3)),
        "cost": np.log(levels + 0.1),
        "cost per length": levels / radius,
    }


class Flood:
    """Sums over the regions below all levels at once.

    Parameters
    ----------
    ranks : ndarray of int, shape (*grid)
        First level whose region holds the voxel; `count` where none does.
    count : int
        How many levels there are.
    """

    def __init__(self, ranks: NDArray[np.intp], count: int) -> None:
        self._ranks, self._count = ranks, count
        self.area = self._within(None)
        rim = np.ones(ranks.shape, bool)
        rim[tuple(slice(1, -1) for _ in ranks.shape)] = False
        self.border = self._within(rim)

    def _within(self, values: NDArray | None) -> Values:  # type: ignore[type-arg]
        """Sum values over each region."""
        flat = None if values is None else values.ravel()
        sums = np.bincount(self._ranks.ravel(), flat, self._count + 1)
        return np.asarray(np.cumsum(sums[: self._count]), float)

    def reaching(self, share: float, more: float) -> NDArray[np.intp]:
        """Return for each level the first whose region is larger by a share."""
        found = np.searchsorted(self.area, share * self.area + more)
        return np.asarray(np.minimum(found, self._count - 1))

    def outlines(self, image: NDArray[np.float32]) -> tuple[Values, Values, Values]:
        """Return the length of each outline, and the sums of steps and their sizes.

        Steps are taken from inside to outside, for each channel.
        """
        length = np.zeros(self._count)
        steps = np.zeros((2, len(image), self._count))
        for axis in range(self._ranks.ndim):
            a, b = _pairs(self._ranks, axis)
            parted = np.flatnonzero(a != b)
            a, b = a[parted], b[parted]
            ends = np.minimum(a, b), np.maximum(a, b)
            inward = np.where(b > a, 1.0, -1.0)
            length += self._crossing(*ends, None)
            for c, channel in enumerate(image):
                x, y = _pairs(channel, axis)
                step = inward * (x[parted] - y[parted])
                steps[0, c] += self._crossing(*ends, step)
                steps[1, c] += self._crossing(*ends, np.abs(step))
        return length, steps[0], steps[1]

    def _crossing(
        self, low: NDArray[np.intp], high: NDArray[np.intp], values: Values | None
    ) -> Values:
        """Sum the values of the pairs that each level parts: low <= level < high."""
        most = self._count + 1
        gained = np.bincount(low, values, most) - np.bincount(high, values, most)
        return np.asarray(np.cumsum(gained[: self._count]), float)

    def sides(
        self, image: NDArray[np.float32]
    ) -> tuple[Values, Values, Values, Values]:
        """Return mean and spread of each channel in the regions, and in their shells.

        A shell, the next voxels to flood, is half as large as its region.
        """
        outer = self.reaching(SHELL, 8)
        shell = self.area[outer] - self.area
        is_there = shell > 0
        shell = np.maximum(shell, 1)
        rows = []
        for channel in image:
            sums, squares = self._within(channel), self._within(channel**2)
            mean = sums / self.area
            spread = _root(squares / self.area - mean**2)
            around = np.where(is_there, (sums[outer] - sums) / shell, mean)
            around_spread = _root((squares[outer] - squares) / shell - around**2)
            rows.append((mean, spread, around, is_there * around_spread))
        mean, spread, around, around_spread = np.moveaxis(np.array(rows), 1, 0)
        return mean, spread, around, around_spread

    def shape(self, centre: Sequence[float]) -> tuple[Values, Values, Values, Values]:
        """Return the offset from a place, largest and least variance, and extent."""
        axes = np.indices(self._ranks.shape)
        axes = axes - np.reshape(centre, (-1, *(1,) * self._ranks.ndim))
        means = np.array([self._within(a) / self.area for a in axes])
        moments = np.empty((self._count, len(axes), len(axes)))
        for i, a in enumerate(axes):
            for j, b in enumerate(axes[: i + 1]):
                moment = self._within(a * b) / self.area - means[i] * means[j]
                moments[:, i, j] = moments[:, j, i] = moment
        principal = np.maximum(np.linalg.eigvalsh(moments), 0)
        offset = np.linalg.norm(means, axis=0)
        extent = np.sqrt(principal.sum(axis=1))
        return offset, principal[:, -1], principal[:, 0], extent


def _root(values: Values) -> Values:
    return np.asarray(np.sqrt(np.maximum(values, 0)))


def _pairs(values: NDArray, axis: int) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
    moved = np.moveaxis(values, axis, 0)
    return moved[:-1].ravel(), moved[1:].ravel()
