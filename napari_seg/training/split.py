"""Which planes are trained on and which are held out, by where they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_seg.data.holdout import FEWEST_SOURCES, draw_groups
from napari_seg.errors import DatasetError

if TYPE_CHECKING:
    from napari_seg.training.pairs import TrainingPlane


@dataclass(frozen=True)
class Split:
    """Planes to train on and planes to judge by."""

    train: list[TrainingPlane]
    """Trained on; at least one has objects."""
    val: list[TrainingPlane]
    """Judged by."""
    note: str = ""
    """What the user should know about it."""


def split_planes(
    planes: Sequence[TrainingPlane],
    marked: dict[str, bool] | None = None,
    *,
    seed: int = 0,
) -> Split:
    """Split by source; planes of one source are never on both sides.

    Parameters
    ----------
    planes : sequence of TrainingPlane
    marked : dict of str to bool, optional
        For each source whose side was chosen beforehand, whether it is for validation.
    seed : int
        Same seed and sources: same split.

    Returns
    -------
    Split
        With fewer than four sources and none marked for validation, all planes are on
        both sides, and the note says so.

    Raises
    ------
    DatasetError
        If no plane, or none to train on, has an object.
    """
    marked = marked or {}
    if not any(plane.diameter_px > 0 for plane in planes):
        raise DatasetError(
            "There is nothing to learn from",
            f"no objects in the training labels of {len(planes)} planes",
            "Correct some objects and mark them, or their planes, as correct.",
        )
    judges = {source for source, is_judge in marked.items() if is_judge}
    note = ""
    if not judges & {plane.source for plane in planes}:
        judges, note = _draw(planes, marked, seed)
    if not judges:
        return Split(list(planes), list(planes), note)
    train = [plane for plane in planes if plane.source not in judges]
    if not any(plane.diameter_px > 0 for plane in train):
        raise DatasetError(
            "There is nothing to train on",
            "all labelled objects are in images for validation",
            "Move a labelled image to the training set.",
        )
    return Split(train, [p for p in planes if p.source in judges], note)


def _draw(
    planes: Sequence[TrainingPlane], marked: dict[str, bool], seed: int
) -> tuple[set[str], str]:
    # A judge without objects would call any network that finds nothing perfect.
    able = {p.source for p in planes if p.diameter_px > 0} - marked.keys()
    if len(able) < FEWEST_SOURCES:
        images = "image" if len(able) == 1 else "images"
        return set(), (
            f"{len(able)} labelled {images}: too few to hold one out, so the scores "
            f"are those of the training itself ({FEWEST_SOURCES} images are needed)"
        )
    return draw_groups(able, seed=seed), ""
