"""The class of each pixel as a layer, where a model tells more than objects."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.layers import labels_kwargs, labels_view
from napari_seg.gui.own_layers import OWN_KEY, add_unselected
from napari_seg.gui.proposal import Proposal
from napari_seg.types import Progress

_OPACITY = 0.35
_FEATURE = "class"


class ClassLayers:
    """Shows the classes of finished runs below their labels.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layers.
    jobs : Jobs
        Large images take a while.
    """

    def __init__(self, viewer: ViewerModel, jobs: Jobs) -> None:
        self._viewer = viewer
        self._jobs = jobs

    def show(self, proposal: Proposal) -> None:
        """Show the classes of a run, if its model tells any beside objects."""
        segmentation = proposal.segmentation
        if getattr(segmentation, "stuff", ()):
            done = Job(
                _iter_classes(segmentation),
                on_done=lambda classes: self._put(proposal, classes),
            )
            self._jobs.start(done)

    def _put(self, proposal: Proposal, classes: np.ndarray) -> None:
        layer = proposal.layer
        if layer is None or layer not in self._viewer.layers:
            return
        name = f"{layer.name} classes"
        view = labels_view(proposal.source, classes)
        names = proposal.segmentation.class_names
        old = [
            x for x in self._viewer.layers if x.name == name and OWN_KEY in x.metadata
        ]
        if old:
            old[0].data = view
            old[0].features = _features(names)
            return
        made = Labels(
            view,
            name=name,
            opacity=_OPACITY,
            features=_features(names),
            metadata={OWN_KEY: "classes"},
            **labels_kwargs(proposal.source),
        )
        add_unselected(self._viewer, made)
        layers = self._viewer.layers
        layers.move(layers.index(made), layers.index(layer))


def _iter_classes(segmentation: Any) -> Generator[Progress, None, np.ndarray]:
    yield Progress("classes", 0, 1)
    return np.asarray(segmentation.semantic)


def _features(names: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the names of the numbers, which napari shows under the pointer."""
    return {"index": list(range(len(names))), _FEATURE: list(names)}
