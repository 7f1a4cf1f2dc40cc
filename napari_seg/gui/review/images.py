"""Which of the open images a network was least sure of."""

from __future__ import annotations

import weakref
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_seg.gui.correction.target import labels_axes
from napari_seg.gui.jobs import JobGenerator
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.review import measures
from napari_seg.gui.review.looking import look_at_layer
from napari_seg.gui.review.order import Order
from napari_seg.gui.review.words import image_note
from napari_seg.types import Progress


class Images:
    """The labels layers with a prediction, and their mean doubt.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._means: weakref.WeakKeyDictionary[Labels, tuple[object, float]]
        self._means = weakref.WeakKeyDictionary()
        self._shown: weakref.WeakSet[Labels] = weakref.WeakSet()

    def candidates(self) -> list[Labels]:
        """Return the labels layers whose probabilities were kept."""
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Labels) and measures.has_probabilities(layer)
        ]

    @property
    def is_ranked(self) -> bool:
        """Whether all of them were looked at since they were predicted."""
        return all(
            self._means.get(layer, (None, 0.0))[0] is measures.prediction(layer)
            for layer in self.candidates()
        )

    def iter_rank(self) -> JobGenerator:
        """Rank all that were not looked at yet; returns what `take` takes."""
        todo = [
            (layer, measures.plain(layer), measures.prediction(layer))
            for layer in self.candidates()
        ]
        return _iter_rank(todo)

    def take(self, found: list[tuple[Labels, object, Any]]) -> dict[Labels, Order]:
        """Take in rankings; return the orders of the layers' objects."""
        self._shown.clear()
        orders = {}
        for layer, basis, ranking in found:
            self._means[layer] = (basis, ranking.mean_score)
            axes = labels_axes(layer).replace("C", "")
            orders[layer] = Order(ranking, axes, measures.ENTROPY, basis)
        return orders

    def show_next(self) -> str:
        """Show the most doubtful image that was not shown yet; return a note."""
        layers = sorted(self.candidates(), key=lambda x: -self._means[x][1])
        waiting = [layer for layer in layers if layer not in self._shown]
        if not waiting:  # round again
            self._shown.clear()
            waiting = layers
        chosen = waiting[0]
        self._shown.add(chosen)
        # Images lie on top of each other: only the chosen one can be seen.
        for layer in layers:
            for shown in (layer, self._image_of(layer)):
                if shown is not None:
                    shown.visible = False
        for shown in (self._image_of(chosen), chosen):
            if shown is not None:
                shown.visible = True
        self._viewer.layers.selection.active = chosen
        look_at_layer(self._viewer, chosen)
        mean, number = self._means[chosen][1], layers.index(chosen) + 1
        return image_note(chosen.name, mean, number, len(layers))

    def _image_of(self, layer: Labels) -> Image | None:
        name = layer.metadata[METADATA_KEY].get("image", "")
        named = [x for x in self._viewer.layers if x.name == name]
        return next((x for x in named if isinstance(x, Image)), None)


def _iter_rank(todo: list[tuple[Labels, Any, Any]]) -> JobGenerator:
    found = []
    for number, (layer, labels, basis) in enumerate(todo):
        message = f"Ranking image {number + 1} of {len(todo)}"
        yield Progress("images", number, len(todo), message=message)
        ranking = yield from measures.iter_entropy(labels, basis)
        found.append((layer, basis, ranking))
    return found
