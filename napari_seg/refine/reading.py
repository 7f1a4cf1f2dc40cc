"""Read what is known in a box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_seg.refine.channels import unit_spread
from napari_seg.refine.energy import BACKGROUND, FOREGROUND, FREE
from napari_seg.refine.scene import Known, Scene
from napari_seg.refine.strokes import Stroke, shift

if TYPE_CHECKING:
    from napari_seg.imaging.deltas import Box
    from napari_seg.refine.box import Instance
    from napari_seg.refine.volume import Volume


NETWORK_FADE = 0.3
"""What each correction leaves of the network's log-odds."""


def read_scene(
    image: Volume,
    box: Box,
    strokes: Sequence[Stroke],
    known: Known,
    spacing: tuple[float, ...],
    instance: Instance | None = None,
) -> Scene:
    """Read all that is known in a box."""
    here = shift(strokes, box)
    states = np.where(known.forbidden(box), BACKGROUND, FREE).astype(np.int8)
    for stroke in here:
        own = stroke.points[states[tuple(stroke.points.T)] == FREE]
        states[tuple(own.T)] = FOREGROUND if stroke.positive else BACKGROUND
    network, previous = known.network(box), known.previous(box)
    if network is not None:
        # Whoever corrects what the network proposed knows better than the network.
        corrections = max(len(here) - 1, int(previous.any()))
        network = network * np.float32(NETWORK_FADE**corrections)
    channels = unit_spread(image.read(box))
    if network is not None:
        # As one more channel it leads the flood and the outline, too.
        channels = np.concatenate([channels, 0.5 * network[None]])
    return Scene(
        image=channels,
        states=states,
        strokes=here,
        previous=previous,
        network=network,
        spacing=spacing,
        instance=None if instance is None else instance.read(box).astype(np.float32),
    )
