"""A data set of discs, as a folder and as planes."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

# pytest's importlib mode leaves the folder of a test off the path.
sys.path.insert(0, str(Path(__file__).parent))


def discs(rng, side=64):
    """Draw an image (float32) of nine discs, and their ids."""
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.uint16)
    grid = np.stack(np.meshgrid([12, 32, 52], [12, 32, 52]), -1).reshape(-1, 2)
    centres = grid + rng.uniform(-3, 3, grid.shape)
    for index, (cy, cx) in enumerate(centres, start=1):
        labels[((y - cy) ** 2 + (x - cx) ** 2 < 36) & (labels == 0)] = index
    image = (labels > 0) * 200.0 + rng.normal(20, 10, labels.shape)
    return image.astype(np.float32), labels


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(4):
        for name, array in zip(("images", "labels"), discs(rng), strict=True):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(tmp_path / "set" / name / f"{number}.tif", array)
    return tmp_path / "set"


@pytest.fixture
def layers():
    """Five images with labels, in memory."""
    rng = np.random.default_rng(1)
    return [discs(rng) for _ in range(5)]
