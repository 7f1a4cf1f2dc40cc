"""The border-weight map against one distance transform per object.

Also how its time grows from 512 x 512 with 100 cells to 2048 x 2048 with 1,500.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks._table import report, time_together
from napari_seg.imaging.weightmap import border_weight_map


def cells(count: int, side: int, seed: int = 0) -> NDArray[np.int32]:
    """Discs that do not overlap, at random places, filling about a third."""
    rng = np.random.default_rng(seed)
    typical = side / np.sqrt(count) * 0.35
    labels = np.zeros((side, side), np.int32)
    placed = 0
    while placed < count:
        radius = typical * rng.uniform(0.6, 1.2)
        y, x = rng.integers(0, side, 2)
        box = tuple(slice(max(int(c - radius), 0), int(c + radius) + 2) for c in (y, x))
        rows, columns = np.ogrid[box[0].start : side, box[1].start : side]
        window = labels[box]
        disc = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        disc = disc[: window.shape[0], : window.shape[1]]
        if not window[disc].any():
            placed += 1
            window[disc] = placed
    return labels


def one_transform_per_object(
    labels: NDArray[np.int32], w0: float = 10.0, sigma: float = 5.0
) -> NDArray[np.float64]:
    """Compute the definition as it is usually coded."""
    distances = np.stack(
        [
            ndimage.distance_transform_edt(labels != index)
            for index in np.unique(labels)
            if index
        ]
    )
    d1, d2 = np.sort(distances, axis=0)[:2]
    return 1 + (labels == 0) * w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))


def main() -> None:
    """Time them in turns and compare the maps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    small, large = cells(100, 512), cells(1500, 2048)
    ours = {
        "border_weight_map, 512^2, 100 cells": lambda: border_weight_map(small),
        "border_weight_map, 2048^2, 1500 cells": lambda: border_weight_map(large),
    }
    usual = "one transform per object, 512^2, 100 cells"
    slow = {usual: lambda: one_transform_per_object(small)}
    seconds = time_together(ours | slow, options.repeats)
    error = np.abs(
        border_weight_map(small, balance_classes=False)
        - one_transform_per_object(small)
    ).max()
    fast, big = (seconds[name].wall for name in ours)
    report(
        "weightmap",
        [{"method": name, "seconds": time.wall} for name, time in seconds.items()],
        times_faster=seconds[usual].wall / fast,
        growth_512_to_2048=big / fast,
        largest_error_in_w0=float(error) / 10,
    )


if __name__ == "__main__":
    main()
