"""Annotated images that formats have trouble with."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from napari_seg.data.annotated import AnnotatedImage

BIG = 70_001


def awkward_labels() -> np.ndarray:
    """Return holes, parts, parts that touch at a corner, an edge, ids with gaps."""
    labels = np.zeros((40, 52), np.int32)
    labels[2:14, 2:14] = 3
    labels[5:9, 5:9] = 0
    labels[6:8, 6:8] = 4  # an object in the hole of another
    labels[20:25, 3:8] = 9
    labels[20:25, 12:18] = 9
    labels[30, 30] = labels[31, 31] = labels[32, 30] = 17
    labels[36:, 45:] = BIG
    labels[0, 20:40] = 5
    return labels


def image_of(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random(shape) * 250).astype(dtype)


def awkward(name: str = "cells", **fields) -> AnnotatedImage:
    labels = awkward_labels()
    return AnnotatedImage(
        name, labels, "YX", image_of(labels.shape), spacing=(0.5, 0.25), **fields
    )


def volume(name: str = "stack") -> AnnotatedImage:
    """Return three planes of two channels, the objects moving from plane to plane."""
    labels = np.stack([np.roll(awkward_labels(), 3 * i, axis=1) for i in range(3)])
    labels[1, labels[1] == 5] = 0
    image = image_of((3, 2, *labels.shape[1:]))
    return AnnotatedImage(name, labels, "ZCYX", image, (2.0, 0.5, 0.25))


IDS = (0, 0, 0, 1, 2, 7, 65_536, 16_777_215)

labels_2d = st_np.arrays(
    np.int32,
    st.tuples(st.integers(1, 9), st.integers(1, 11)),
    elements=st.sampled_from(IDS),
)


def plain(labels: np.ndarray) -> AnnotatedImage:
    return AnnotatedImage("a", labels, "YX", image_of(labels.shape, "uint8"))
