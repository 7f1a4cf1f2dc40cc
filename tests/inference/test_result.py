"""Pieces of what a segmentation kept."""

from __future__ import annotations

import numpy as np
import pytest

from napari_seg.inference.result import Segmentation


@pytest.mark.parametrize(
    ("axes", "shape", "kept", "box"),
    [
        ("YX", (40, 60), (3, 20, 30), np.s_[5:17, 33:60]),
        ("ZYX", (4, 40, 60), (3, 4, 40, 60), np.s_[1:3, 0:9, 7:8]),
        ("TZYX", (2, 3, 40, 60), (2, 2, 3, 55, 83), np.s_[1:2, 0:3, 39:40, 0:60]),
        ("TXY", (2, 60, 40), (3, 2, 33, 50), np.s_[0:2, 10:31, 2:40]),
    ],
)
@pytest.mark.parametrize("number", [0, 1])
def test_a_box_of_the_probabilities_is_that_part_of_all(
    axes: str,
    shape: tuple[int, ...],
    kept: tuple[int, ...],
    box: tuple[slice, ...],
    number: int,
) -> None:
    segmentation = Segmentation(
        labels=np.zeros(shape, np.int32),
        classes=("background", "interior", "border")[: kept[0]],
        axes=axes,
        diameter_px=10.0,
        provenance={},
        network_probabilities=np.random.default_rng(0).random(kept, np.float32),
    )
    whole = segmentation.probabilities[number]
    found = segmentation.probability_in(box, number)
    assert found.shape == whole[box].shape
    np.testing.assert_allclose(found, whole[box], atol=1e-6)
