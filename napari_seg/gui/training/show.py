"""What a training leaves to look at: a validation image as layers, a model's card."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_seg.gui.own_layers import OWN_KEY
from napari_seg.gui.training.picture import Drawn

_GAP = 0.05
"""Between what is open and the picture, as a share of its width."""


class PictureLayers:
    """The layers of one validation image; a later one takes their place.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layers.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layers: list[Any] = []

    def open(self, drawn: Drawn) -> None:
        """Add image, truth and prediction, right of all that is open."""
        viewer, picture = self._viewer, drawn.source
        for layer in self._layers:
            if layer in viewer.layers:
                viewer.layers.remove(layer)
        common = {
            "translate": self._corner(),
            "metadata": {OWN_KEY: "validation"},
        }
        name = f"{picture.name} (step {drawn.step})"
        image, is_rgb = _shown(picture.image)
        truth = np.maximum(picture.truth, 0)
        self._layers = [
            Image(image, rgb=is_rgb, name=name, **common),
            Labels(truth, name=f"{name} truth", visible=False, **common),
            Labels(picture.labels.copy(), name=f"{name} prediction", **common),
        ]
        self._layers[2].contour = 1
        for layer in self._layers:
            viewer.add_layer(layer)
        viewer.reset_view()

    def _corner(self) -> tuple[float, float]:
        if not self._viewer.layers:
            return (0.0, 0.0)
        low, high = np.asarray(self._viewer.layers.extent.world)[:, -2:]
        return float(low[0]), float(high[1] + _GAP * (high[1] - low[1]))


def _shown(image: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return (C, Y, X) as napari shows it, and whether it is a colour image."""
    if len(image) == 3:
        return np.clip(np.moveaxis(image, 0, -1), 0, 1), True
    return (image[0] if len(image) == 1 else image), False
