"""What a user does to a network's labels before strokes: join parts, split clumps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.robot import next_click
from napari_seg.imaging.edits import merge_objects
from napari_seg.refine.graphcut import network_reader
from napari_seg.refine.split import split_between
from napari_seg.refine.volume import Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.click_errors import Overlaps
    from benchmarks.click_pieces import Segmented


@dataclass(frozen=True)
class Edited:
    """What the edits of a true object took, before any stroke.

    Parameters
    ----------
    clicks : int
    seconds : float
    """

    clicks: int
    seconds: float


def join_and_split(
    data: Segmented, labels: NDArray[np.int32], over: Overlaps, kinds: dict[int, str]
) -> dict[int, Edited]:
    """Join the parts of split objects, and split merged ones by a click on each.

    Parameters
    ----------
    data : Segmented
    labels : ndarray of int32
        Edited in place.
    over : Overlaps
        Of the labels and the truth.
    kinds : dict
        Kind of error of each wrong true object.

    Returns
    -------
    dict
        For each true object that was edited what it took.
    """
    done: dict[int, Edited] = {}
    for true_id in (i for i, kind in kinds.items() if kind == "split"):
        started = time.perf_counter()
        merge_objects(labels, over.parts_of(true_id)).apply(labels)
        done[true_id] = Edited(1, time.perf_counter() - started)
    clumps: dict[int, list[int]] = {}
    for true_id in (i for i, kind in kinds.items() if kind == "merged"):
        clumps.setdefault(over.main_label(true_id), []).append(true_id)
    for label, wrong in clumps.items():
        started = time.perf_counter()
        members = over.held_by(label)
        _split(data, labels, label, members)
        share = (time.perf_counter() - started) / len(wrong)
        # One click for each member; those on members that are right count, too.
        done |= {i: Edited(1, share) for i in wrong}
        done[wrong[0]] = Edited(1 + len(members) - len(wrong), share)
    return done


def _split(
    data: Segmented, labels: NDArray[np.int32], label: int, members: list[int]
) -> None:
    strokes = []
    for true_id in members:
        region = (data.truth == true_id) & (labels == label)
        nothing = np.zeros_like(region)
        click = next_click(nothing, region, nothing, data.spacing)
        if click is not None:
            strokes.append(click.points)
    shape = labels.shape
    channels = -1 if data.image.ndim > labels.ndim else None
    edit = split_between(
        Volume(data.image, labels.ndim, shape=shape, channel_axis=channels),
        labels,
        strokes,
        network=network_reader(data.probabilities, shape),
        spacing=data.spacing,
    )
    edit.apply(labels)
