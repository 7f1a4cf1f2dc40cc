"""The layer of an image that was read from a file."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image

from napari_seg.data.image_data import ImageData, spacing_axes
from napari_seg.gui.folder.prepared import Limits


def image_layer(name: str, data: ImageData, limits: Limits | None) -> tuple[str, Image]:
    """Make the layer of an image.

    Parameters
    ----------
    name : str
        Of the layer.
    data : ImageData
        The image.
    limits : Limits or None
        How bright it is shown.

    Returns
    -------
    axes : str
        Of the layer's data, which may be in another order than on disk.
    layer : Image
    """
    axes = data.axes
    array: Any = data.array
    is_rgb = axes.endswith("YXC") and array.shape[-1] in (3, 4)
    is_rgb = is_rgb and array.dtype == np.uint8
    if axes.endswith("C") and not is_rgb:
        # napari shows the last two axes.
        array, axes = np.moveaxis(array, -1, 0), "C" + axes[:-1]
    shown = axes[:-1] if is_rgb else axes
    sizes = dict(zip(spacing_axes(data.axes), data.spacing or (), strict=False))
    layer = Image(
        array,
        rgb=is_rgb,
        name=name,
        scale=[sizes.get(letter, 1.0) for letter in shown],
        units=["um" if letter in sizes else "pixel" for letter in shown],
        axis_labels=list(shown.lower()),
        contrast_limits=None if is_rgb or limits is None else limits.all,
    )
    if limits is not None and not is_rgb:
        layer.contrast_limits = limits.shown
    return axes, layer
