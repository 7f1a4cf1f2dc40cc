"""What a correction far from the outline means, by what a network sees there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_seg.refine.energy import BACKGROUND, FOREGROUND
from napari_seg.refine.lobes import lobe_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_seg.refine.scene import Scene


def changed_by_network(scene: Scene) -> NDArray[np.bool_] | None:
    """Return the previous mask with what the network sees under a stroke changed.

    A stroke beside the object takes away the part of a clump in whose middle it lies,
    a stroke on the object adds the instance under it. None where the network tells
    nothing.
    """
    stroke = next(s for s in reversed(scene.strokes) if len(s.points))
    if scene.network is None:
        return None
    states, previous = scene.states, scene.previous
    if not stroke.positive:
        if float(np.median(scene.network[tuple(stroke.points.T)])) < 0:
            return None
        kept = np.zeros(states.shape, bool)
        for own in (s.points for s in scene.strokes if s.positive):
            kept[tuple(own.T)] = True
        part = lobe_at(previous, stroke.points, scene.image, scene.spacing, kept)
        return (previous & ~part) | (states == FOREGROUND)
    if scene.instance is None or not (scene.instance > 0.5).any():
        return None
    fresh = (scene.instance > 0.5) & ~previous & (states != BACKGROUND)
    return previous | fresh | (states == FOREGROUND)
