"""What to look at next without any network: objects close to their neighbours."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

import edt
import numpy as np
from scipy import ndimage

from napari_seg.imaging.axes import iter_planes
from napari_seg.imaging.object_table import object_table
from napari_seg.imaging.weightmap import BorderWeights
from napari_seg.inference.ranking import Ranking, Tally, count_planes, upright
from napari_seg.types import Progress, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RIM_PX = 1.5
"""Depth of the pixels of an object that are its rim."""
_WEIGHTS = BorderWeights(w0=1.0, balance_classes=False, part_touching=True)
"""The border term of the loss, as a share of its height."""


def rank_by_border_weight(labels: NDArray[np.integer], axes: str) -> Ranking:
    """Rank by the border weights around the objects: where two may be one, or one two.

    Parameters
    ----------
    labels : ndarray of int
        Ids; axes as in `axes`.
    axes : str
        Letters of T, Z, Y, X.

    Returns
    -------
    Ranking
        An object's score is the mean over its rim of the largest border term (U-Net
        2015, equation 2, as a share of w0) among the neighbouring pixels, on average
        over its planes: 0 far from all others, near 1 where it touches all around. A
        plane's is the mean over its objects.
    """
    return run(iter_rank_by_border_weight(labels, axes))


def iter_rank_by_border_weight(
    labels: NDArray[np.integer], axes: str
) -> Generator[Progress, None, Ranking]:
    """Rank plane by plane; see `rank_by_border_weight`."""
    tally = Tally()
    total = count_planes(axes, labels.shape)
    for done, plane in enumerate(iter_planes(axes, labels.shape)):
        yield Progress("rank", done, total)
        ids = np.ascontiguousarray(upright(labels, axes, plane))
        table = object_table(ids)
        scores = _closeness(ids, table.ids)
        mean = float(scores.mean()) if len(scores) else 0.0
        tally.add(plane, replace(table, values=scores), mean)
    return tally.ranking()


def _closeness(
    ids: NDArray[np.integer], present: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return the score of each object of a plane."""
    if not len(present):
        return np.zeros(0)
    term = ndimage.maximum_filter(_WEIGHTS.weigh(ids) - 1, size=3)
    # The edge of the image is no rim: nobody knows what lies beyond.
    depth = edt.edt(ids.astype(np.int32), black_border=False)
    rim = (ids > 0) & (depth <= _RIM_PX)
    found = ndimage.mean(term, np.where(rim, ids, 0), present)
    return np.nan_to_num(np.asarray(found, float))
