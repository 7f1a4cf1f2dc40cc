"""Mend what a network got wrong in an image, object by object, with one tool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.click_edits import Edited, join_and_split
from benchmarks.click_errors import NO_MATCH_IOU, kind_of_error, overlaps
from benchmarks.click_pieces import Segmented, View, cut_piece
from benchmarks.robot import Rule, Tool, Trial, play
from napari_seg.imaging.edits import next_free_id

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Mended:
    """One wrong object and the clicks it took.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    trial : Trial
    """

    kind: str
    trial: Trial


def mend(
    data: Segmented,
    make_tool: Callable[[View], Tool],
    rule: Rule = Rule.FITTED,
    *,
    with_edits: bool = False,
) -> list[Mended]:
    """Correct every wrong object of an image, the best-found first, as a user would.

    What was corrected stays: a label that held two nuclei is trimmed to the one it
    fits best, then the other one is made anew beside it. A label that is mostly
    another object's is never chosen.

    Parameters
    ----------
    data : Segmented
        Not changed.
    make_tool : callable
    rule : Rule, optional
    with_edits : bool, optional
        Whether parts are first joined, and clumps split, with the tools for that.
    """
    labels = data.labels.copy()
    over = overlaps(labels, data.truth)
    ids = [int(i) for i in np.unique(data.truth) if i > 0]
    wrong = {i: k for i in ids if (k := kind_of_error(over, i))}
    first = {i: over.best(i)[1] for i in wrong}
    edited: dict[int, Edited] = {}
    if with_edits:
        edited = join_and_split(data, labels, over, wrong)
        over = overlaps(labels, data.truth)
    mended = []
    for true_id in sorted(wrong, key=lambda i: -over.best(i)[1]):
        now = overlaps(labels, data.truth)
        label, _ = now.best(true_id)
        if label and now.owner(label) != true_id:
            label = 0
        trial = _mend_object(data, labels, true_id, label, make_tool, rule)
        if true_id in edited:
            trial = trial.after(
                edited[true_id].clicks, edited[true_id].seconds, first[true_id]
            )
        mended.append(Mended(wrong[true_id], trial))
    return mended


def _mend_object(
    data: Segmented,
    labels: NDArray[np.int32],
    true_id: int,
    label: int,
    make_tool: Callable[[View], Tool],
    rule: Rule,
) -> Trial:
    """Correct one object and write it into the labels."""
    piece = cut_piece(
        f"{data.name}:{true_id}",
        data.image,
        data.truth == true_id,
        labels,
        data.spacing,
        object_id=label,
        probabilities=data.probabilities,
    )
    tool, start = make_tool(piece.view), piece.view.start()
    trial = play(tool, piece.truth, start, piece.view.spacing, rule=rule)
    new_id = label or next_free_id(labels)
    here = labels[piece.box]
    here[start] = 0
    here[trial.mask] = new_id
    return trial


def spurious(data: Segmented) -> int:
    """Count labels where there is no object: one click of the Delete tool each."""
    over = overlaps(data.labels, data.truth)
    best = over.iou.max(axis=1)
    ids = np.unique(data.labels)
    return int((best[ids[ids > 0]] < NO_MATCH_IOU).sum())
