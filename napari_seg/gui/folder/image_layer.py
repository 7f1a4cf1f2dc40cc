"""The layers of an image and of labels that were read from files."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_seg.data.image_data import ImageData, spacing_axes
from napari_seg.gui.folder.prepared import Limits
from napari_seg.gui.layers import METADATA_KEY, labels_kwargs, labels_view, take_source
from napari_seg.state import Scope


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


def labels_of(viewer: ViewerModel, image: Image, axes: str, stored: Any) -> Labels:
    """Make the layer of labels that were read from a file.

    Parameters
    ----------
    viewer : ViewerModel
        Has the image.
    image : Image
    axes : str
        Of its data.
    stored : array of int
        With the axes of the image but C.

    Returns
    -------
    Labels
        Lies on the image, and is not in the viewer yet.
    """
    source = take_source(viewer, image, axes, Scope.IMAGE)
    layer = Labels(
        labels_view(source, stored),
        name=f"{image.name} labels",
        **labels_kwargs(source),
    )
    layer.metadata[METADATA_KEY] = {"image": image.name, "axes": axes}
    return layer
