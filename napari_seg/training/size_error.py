"""How far a network is off when it looks how large the objects of an image are."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_seg.inference.device import choose_device
from napari_seg.inference.diameter import iter_estimate
from napari_seg.inference.engine import open_predictor
from napari_seg.inference.segment import open_for
from napari_seg.training.validation import as_stage, crop, evenly, params_for

if TYPE_CHECKING:
    from napari_seg.models.card import Card
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.training.pairs import TrainingPlane
    from napari_seg.types import Progress

MOST_PLANES = 24


def iter_look_error(
    checkpoint: Checkpoint, planes: Sequence[TrainingPlane], *, device: str = "cpu"
) -> Generator[Progress, None, Card]:
    """Compare estimates of the object size with the truth.

    Parameters
    ----------
    checkpoint : Checkpoint
    planes : sequence of TrainingPlane
        Best also some that the network has not learnt from.
    device : str

    Yields
    ------
    Progress
        Stage ``"calibrate"``, many a plane.

    Returns
    -------
    Card
        That of the checkpoint with ``look_error``; unchanged where no plane of known
        size has an object that is found.
    """
    card = checkpoint.card
    plain = replace(card, usual_diameter_px=None)  # what is seen, drawn nowhere
    known = evenly([p for p in planes if p.diameter_px > 0], MOST_PLANES)
    octaves = []
    with open_predictor(checkpoint, choose_device(device)) as predictor:
        for number, plane in enumerate(known):
            pair = crop(plane, card, len(known))
            reader = open_for(checkpoint, pair.image, params_for(pair, card, device))
            job = iter_estimate(reader, predictor, plain)
            found = yield from as_stage(job, "calibrate", number, len(known))
            if found is not None:
                octaves.append(math.log2(found / plane.diameter_px))
    if not octaves:
        return card
    error = math.sqrt(sum(o * o for o in octaves) / len(octaves))
    return replace(card, look_error=round(error, 3))
