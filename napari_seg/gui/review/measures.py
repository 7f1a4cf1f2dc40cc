"""How the doubt about labels can be measured, and the jobs that do it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.gui.correction.target import Target, repeated_axis
from napari_seg.gui.jobs import JobGenerator
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.own_layers import is_labels
from napari_seg.types import Progress

ENTROPY = "entropy"
"""Of the probabilities that the network gave the object's pixels."""
MIRROR = "mirror"
"""Disagreement with runs on the mirrored image."""
ODD = "odd"
"""Size and shape unlike those of the other objects; needs no network."""
CLOSE = "close"
"""Border weights around the object: how close its neighbours are; needs no network."""
LAYER = "layer:"
"""Disagreement with other labels; the name of their layer follows."""

Items = Sequence[tuple[str, str]]
"""What a measure is called, and the measure."""


def prediction(layer: Labels) -> Any:
    """Return the `Segmentation` that a layer was made from; None if there is none."""
    return layer.metadata.get(METADATA_KEY, {}).get("segmentation")


def has_probabilities(layer: Labels) -> bool:
    """Whether a layer's prediction kept what entropy is computed from."""
    kept = prediction(layer)
    if kept is None or getattr(kept, "network_probabilities", None) is None:
        return False
    return tuple(kept.labels.shape) == tuple(plain(layer).shape)


def offered(viewer: ViewerModel, target: Target, can_mirror: bool) -> Items:
    """List the measures that are possible for labels."""
    if "C" in target.axes:
        return []
    items = []
    if has_probabilities(target.layer):
        items.append(("Entropy", ENTROPY))
    if can_mirror:
        items.append(("Mirrored runs", MIRROR))
    for layer in viewer.layers:
        if layer is not target.layer and _fits(layer, target):
            items.append((f"Differs from {layer.name}", LAYER + layer.name))
    items.append(("Odd size or shape", ODD))
    items.append(("Border weights", CLOSE))
    return items


def other_labels(viewer: ViewerModel, measure: str) -> Any:
    """Return the labels that a measure compares with."""
    return plain(viewer.layers[measure.removeprefix(LAYER)])


def iter_entropy(labels: Any, segmentation: Any) -> JobGenerator:
    """Rank labels by the probabilities of the prediction they came from."""
    from napari_seg.inference.ranking import iter_rank_by_entropy

    # Not the prediction's own labels: a duplicated layer shares the prediction.
    return (yield from iter_rank_by_entropy(replace(segmentation, labels=labels)))


def iter_disagreement(
    labels: Any, axes: str, others: Generator[Progress, None, list[np.ndarray]]
) -> JobGenerator:
    """Rank labels by others, once there are any."""
    from napari_seg.inference.ranking import iter_rank_by_disagreement

    found = yield from others
    return (yield from iter_rank_by_disagreement(labels, found, axes))


def iter_odd(labels: Any, axes: str) -> JobGenerator:
    """Rank labels by how unusual the sizes and shapes of the objects are."""
    from napari_seg.inference.oddness import iter_rank_by_oddness

    return (yield from iter_rank_by_oddness(labels, axes))


def iter_close(labels: Any, axes: str) -> JobGenerator:
    """Rank labels by how close the objects' neighbours are."""
    from napari_seg.inference.crowding import iter_rank_by_border_weight

    return (yield from iter_rank_by_border_weight(labels, axes))


def at_hand(labels: Any) -> Generator[Progress, None, list[np.ndarray]]:
    """Give labels that are there already to `iter_disagreement`."""
    yield Progress("rank", 0, 1)
    return [labels]


def _fits(layer: Any, target: Target) -> bool:
    if not is_labels(layer) or layer.multiscale:
        return False
    return tuple(plain(layer).shape) == tuple(target.labels.shape)


def plain(layer: Labels) -> Any:
    """Return a layer's data without an axis along which they only repeat."""
    repeated = repeated_axis(layer)
    if repeated is None:
        return layer.data
    return layer.data[(slice(None),) * repeated + (0,)]
