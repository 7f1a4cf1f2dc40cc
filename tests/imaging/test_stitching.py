"""Instances decoded in blocks equal those decoded at once."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_seg.imaging.instances import InstanceParams, probabilities_to_labels
from napari_seg.imaging.linking import UnionFind
from napari_seg.imaging.stitching import Stitcher, plan_blocks

CLASSES = ("background", "interior", "border")


def same_partition(first: NDArray[np.int32], second: NDArray[np.int32]) -> bool:
    """Whether two label images differ in numbering only."""
    if not np.array_equal(first > 0, second > 0):
        return False
    pairs = np.unique(np.stack([first.ravel(), second.ravel()]), axis=1)
    return len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]


def tissue(shape: tuple[int, int], diameter: float, seed: int = 0) -> np.ndarray:
    """Class probabilities of touching round cells, (3, rows, columns)."""
    rng = np.random.default_rng(seed)
    count = int(1.1 * shape[0] * shape[1] / diameter**2)
    seeds = np.zeros(shape, bool)
    seeds[rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)] = True
    cells, _ = ndimage.label(seeds)
    far, nearest = ndimage.distance_transform_edt(~seeds, return_indices=True)
    cells = np.where(far < diameter / 2, cells[tuple(nearest)], 0)
    lowest = ndimage.minimum_filter(cells, 3)
    inside = (lowest == cells) & (ndimage.maximum_filter(cells, 3) == cells)
    foreground = np.clip(ndimage.gaussian_filter((cells > 0) * 1.0, 1), 0, 1)
    interior = foreground * ndimage.gaussian_filter((inside & (cells > 0)) * 1.0, 1)
    # No two equal values: which of them a watershed floods first is arbitrary.
    interior *= 1 - 0.02 * rng.random(shape)
    interior += 1e-6 * foreground * rng.random(shape)
    return np.stack([1 - foreground, interior, foreground - interior]).astype("f4")


def stitch(
    probabilities: NDArray[np.float32], core_px: int, halo_px: int, order: int = 0
) -> NDArray[np.int32]:
    """Decode in blocks, in a random order, and join."""
    labels = np.zeros(probabilities.shape[1:], np.int32)
    blocks = plan_blocks(labels.shape, core_px, halo_px)
    groups = UnionFind()
    stitcher = Stitcher(labels, blocks, groups=groups)
    for i in np.random.default_rng(order).permutation(len(blocks)):
        part = probabilities[(slice(None), *blocks[i].read)]
        stitcher.add(blocks[i], probabilities_to_labels(part, CLASSES))
    return groups.roots(labels)


@pytest.mark.parametrize(
    ("core_px", "halo_px"),
    [(400, 40), (100, 40), (64, 48), (61, 53), (40, 60), (17, 44)],
)
def test_blocks_of_any_size_give_the_partition_of_the_whole(
    core_px: int, halo_px: int
) -> None:
    probabilities = tissue((230, 310), diameter=16)
    whole = probabilities_to_labels(probabilities, CLASSES, InstanceParams())
    assert whole.max() > 150
    for order in range(2):
        assert same_partition(stitch(probabilities, core_px, halo_px, order), whole)


@pytest.mark.parametrize("order", range(6))
def test_an_object_larger_than_the_halo_stays_one(order: int) -> None:
    y, x = np.indices((260, 260))
    radius = np.hypot(y - 130, x - 130)
    shapes = {
        "disc": radius < 110,
        "ring": (radius < 110) & (radius > 90),
        "arch": ((radius < 110) & (radius > 90)) & (y < 130),
        "bar": (abs(y - x) < 8),
    }
    for name, mask in shapes.items():
        foreground = np.where(mask, 0.9, 0.05).astype(np.float32)
        probabilities = np.stack([1 - foreground, foreground, 0 * foreground])
        labels = stitch(probabilities, 64, 16, order)
        assert np.unique(labels[mask]).size == 1, name
        assert np.array_equal(labels > 0, mask), name


@pytest.mark.parametrize("order", range(4))
def test_small_objects_beside_a_large_one_are_kept_apart(order: int) -> None:
    mask = np.zeros((200, 200), np.int32)
    mask[90:110] = 1
    y, x = np.indices(mask.shape)
    number = 1
    for cy in (20, 50, 80, 120, 150, 180):
        for cx in range(12, 200, 22):
            number += 1
            mask[(np.hypot(y - cy, x - cx) < 7) & (mask == 0)] = number
    foreground = (mask > 0).astype(np.float32)
    probabilities = np.stack([1 - foreground, foreground, 0 * foreground])
    whole = probabilities_to_labels(probabilities, CLASSES)
    assert same_partition(stitch(probabilities, 50, 20, order), whole)


def test_cores_tile_the_plane_and_reads_stay_inside() -> None:
    count = np.zeros((103, 57), int)
    for block in plan_blocks(count.shape, 30, 12):
        count[block.core] += 1
        assert block.read[0].start >= 0
        assert block.read[1].stop <= 57
        assert max(s.stop - s.start for s in block.core) <= 30
    assert (count == 1).all()


def test_the_changed_window_holds_what_was_painted() -> None:
    labels = np.zeros((60, 60), np.int32)
    blocks = plan_blocks(labels.shape, 60, 0)
    local = np.zeros((60, 60), np.int32)
    local[10:20, 30:33] = 1
    stitcher = Stitcher(labels, blocks, first_id=5)
    assert stitcher.add(blocks[0], local) == (slice(10, 20), slice(30, 33))
    assert labels.max() == 5
    assert stitcher.next_id == 6


def test_an_empty_block_changes_nothing() -> None:
    labels = np.zeros((20, 20), np.int32)
    blocks = plan_blocks(labels.shape, 20, 0)
    assert Stitcher(labels, blocks).add(blocks[0], labels.copy()) is None
