"""``napari-seg evaluate --stuff``: objects and the classes beside them as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_seg.cli.annotators import read_both
from napari_seg.cli.output import EXIT_BAD_INPUT, emit_json, say, warn
from napari_seg.errors import DatasetError, NapariSegError

if TYPE_CHECKING:
    from napari_seg.imaging.panoptic import PanopticQuality

CLASSES_FOLDER = "classes"
"""Where `segment --classes` puts the class maps, beside the labels."""
OBJECTS = "objects"


def score_classes(
    pairs: Mapping[str, tuple[Path, Path]],
    problems: list[tuple[str, str]],
    stuff: Sequence[str],
    semantic: Path,
    *,
    as_json: bool,
) -> None:
    """Score objects and classes together, pooled over images.

    Parameters
    ----------
    pairs : dict of str to (Path, Path)
        Predicted and true labels, by name.
    problems : list of (str, str)
        Names and what is wrong with them already.
    stuff : sequence of str
        ``NAME=VALUE`` of each class beside the objects, in the order of the model.
    semantic : Path
        Folder with true class maps of the same names.
    as_json : bool
        One JSON object instead of a table.
    """
    from napari_seg.imaging.panoptic import mean_quality, pool_quality
    from napari_seg.training.stuff import StuffClass

    classes = [StuffClass.parse(text) for text in stuff]
    names = [OBJECTS, *(one.name for one in classes)]
    values = [one.value for one in classes]
    qualities: list[dict[int, PanopticQuality]] = []
    overlap: Counter[int] = Counter()
    union: Counter[int] = Counter()
    for name, files in pairs.items():
        try:
            quality, both, either = _score(*files, semantic, values)
        except NapariSegError as error:
            problems.append((name, str(error)))
            continue
        qualities.append(quality)
        overlap.update(both)
        union.update(either)
    for name, problem in problems:
        warn(f"{name}: {problem}")
    pooled = pool_quality(qualities)
    rows = {
        name: {"iou": overlap[i] / max(union[i], 1), **asdict(pooled[i])}
        for i, name in enumerate(names, start=1)
        if i in pooled
    }
    rows |= {"mean": _mean(rows, asdict(mean_quality(pooled)))} if rows else {}
    if as_json:
        errors = [{"input": name, "error": problem} for name, problem in problems]
        emit_json({"images": len(qualities), "classes": rows, "errors": errors})
    else:
        _show(rows)
    if problems:
        raise typer.Exit(EXIT_BAD_INPUT)


def _mean(
    rows: Mapping[str, dict[str, Any]], quality: dict[str, Any]
) -> dict[str, Any]:
    return {"iou": sum(row["iou"] for row in rows.values()) / len(rows), **quality}


def _show(rows: Mapping[str, dict[str, Any]]) -> None:
    titles = ("IoU", "PQ", "SQ", "RQ", "matched", "extra", "missed")
    say(" " * 16 + "".join(f"{title:>9}" for title in titles))
    for name, row in rows.items():
        shares = "".join(f"{row[key]:>9.4f}" for key in ("iou", "pq", "sq", "rq"))
        counts = "".join(f"{row[f'n_{key}']:>9}" for key in titles[4:])
        say(f"{name:<16}{shares}{counts}")


def _score(
    predicted: Path, truth: Path, semantic: Path, values: Sequence[int]
) -> tuple[dict[int, PanopticQuality], Counter[int], Counter[int]]:
    """Return the quality, and the pixels of the intersection and union of each class.

    Classes count from 1, the objects; stuff follows.
    """
    import numpy as np

    from napari_seg.data.io import read_labels
    from napari_seg.imaging.panoptic import join_panoptic, panoptic_quality

    labels, true_labels = (
        np.asarray(data.array, np.int32) for data in read_both(predicted, truth)
    )
    ours = predicted.parent / CLASSES_FOLDER / predicted.name
    theirs = _beside(semantic, truth.stem)
    if not ours.is_file():
        raise DatasetError(
            "there is no class map of the prediction",
            str(ours),
            "Segment again with --classes.",
        )
    found, true = (
        np.asarray(read_labels(file).array, np.int32) for file in (ours, theirs)
    )
    for name, array in (("predicted", found), ("true", true)):
        if array.shape != true_labels.shape:
            raise DatasetError(
                f"the {name} class map does not fit the labels",
                f"{array.shape} and {true_labels.shape}",
            )
    numbered = np.zeros(true.shape, np.int32)
    for number, value in enumerate(values, start=2):
        numbered[true == value] = number
    numbers = range(1, len(values) + 2)
    both = join_panoptic(labels, found), join_panoptic(true_labels, numbered)
    mine, yours = both[0].classes, both[1].classes
    overlap = {n: int(((mine == n) & (yours == n)).sum()) for n in numbers}
    union = {n: int(((mine == n) | (yours == n)).sum()) for n in numbers}
    return panoptic_quality(*both, numbers), Counter(overlap), Counter(union)


def _beside(folder: Path, stem: str) -> Path:
    found = sorted(folder.glob(f"{stem}.*")) if folder.is_dir() else []
    if not found:
        raise DatasetError(
            "there is no true class map",
            f"no {stem}.* in {folder}",
            "Say where they are with --semantic.",
        )
    return found[0]
