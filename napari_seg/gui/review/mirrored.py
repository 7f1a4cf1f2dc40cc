"""Mirrored runs, with one bar over all of them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from napari_seg.inference.ranking import FLIPS, iter_flipped
from napari_seg.types import Progress

_FINE = 1000


def iter_mirrored(
    image: Any, model: Any, params: Any
) -> Generator[Progress, None, list[np.ndarray]]:
    """Segment mirrored copies one after the other.

    Parameters
    ----------
    image, model, params
        As for `iter_flipped`.

    Yields
    ------
    Progress
        Stage ``"mirror"``, with the share of all runs that is done.

    Returns
    -------
    list of ndarray of int32
        Labels in the orientation of the image, one a flip.
    """
    found = []
    for number, flip in enumerate(FLIPS):
        message = f"Mirrored run {number + 1} of {len(FLIPS)}"
        steps = iter_flipped(image, model, params, flips=(flip,))
        share = 0.0
        try:
            while True:
                progress = next(steps)
                if progress.stage == "predict":
                    share = max(share, progress.fraction)
                done = round((number + share) * _FINE)
                yield Progress("mirror", done, len(FLIPS) * _FINE, message=message)
        except StopIteration as stop:
            found += stop.value
        finally:
            steps.close()
    return found
