"""Sample data for napari's File > Open Sample menu, from real images."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_seg.data.samples import SAMPLES, read_sample

LayerDataTuple = tuple[Any, dict[str, Any], str]


def nuclei() -> list[LayerDataTuple]:
    """Fluorescently stained nuclei, 2D."""
    return _layer("nuclei")


def axons() -> list[LayerDataTuple]:
    """Myelinated axons of a rat spinal cord in scanning electron microscopy, 2D."""
    return _layer("axons")


def cells() -> list[LayerDataTuple]:
    """Glioblastoma cells in phase contrast, 2D, 12 bits in 16."""
    return _layer("cells")


def chloroplasts() -> list[LayerDataTuple]:
    """Chloroplasts in serial-section electron microscopy of a leaf, ten planes."""
    return _layer("chloroplasts")


def _layer(key: str) -> list[LayerDataTuple]:
    """Return one image layer with scale, units and where the image comes from."""
    sample = next(sample for sample in SAMPLES if sample.key == key)
    data = read_sample(key)
    # Debris saturates some of the images: the extremes would hide the cells.
    low, high = np.percentile(np.asarray(data.array), (0.1, 99.9))
    options: dict[str, Any] = {
        "name": sample.title,
        "axis_labels": tuple(data.axes.lower()),
        "contrast_limits": (float(low), float(high)),
        "metadata": {"source": sample.source, "licence": sample.licence},
    }
    if data.spacing is not None:
        options["scale"] = data.spacing
        options["units"] = ("um",) * len(data.spacing)
    return [(data.array, options, "image")]
