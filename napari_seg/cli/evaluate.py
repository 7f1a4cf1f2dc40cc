"""``napari-seg evaluate``: how well predicted labels match the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_seg.cli.annotators import compare_annotators, read_both
from napari_seg.cli.output import EXIT_BAD_INPUT, emit_json, say, warn
from napari_seg.cli.panoptic import score_classes
from napari_seg.errors import DatasetError, NapariSegError

if TYPE_CHECKING:
    from napari_seg.imaging.metrics import Metrics


SHOWN = {
    "ap_0.50": "AP at IoU 0.50",
    "ap_0.75": "AP at IoU 0.75",
    "ap_0.90": "AP at IoU 0.90",
    "mean_ap": "AP, mean over IoU 0.50 to 0.95",
    "pq": "panoptic quality",
    "dice": "Dice, mean over images",
    "mean_iou": "IoU of classes, mean over images",
    "boundary_f": "boundary F, mean over images",
    "rand_error": "adapted Rand error, mean over images",
    "variation_of_information": "variation of information, mean over images",
}


def evaluate(
    predicted: Annotated[Path, typer.Argument(help="Labels, or a folder of them.")],
    truth: Annotated[Path, typer.Argument(help="True labels, or a folder of them.")],
    stuff: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Also score classes beside the objects, in the model's order: their "
            "pixels in the true class maps. Takes what `segment --classes` wrote.",
        ),
    ] = None,
    semantic: Annotated[
        Path | None,
        typer.Option(help="Folder of the true class maps (semantic/ beside TRUTH)."),
    ] = None,
    agreement: Annotated[
        bool,
        typer.Option(
            "--agreement",
            help="Both are of annotators: say how far they agree, object by object.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
) -> None:
    """Score predicted labels against the truth; folders are paired by file stem.

    Objects are pooled over images: AP is TP / (TP + FP + FN). With --stuff the classes
    of all pixels are scored as well, and objects and classes as one panoptic result.
    """
    from napari_seg.imaging.metrics import pool

    if agreement:
        compare_annotators(*_pair(predicted, truth), as_json=as_json)
        return

    pairs, problems = _pair(predicted, truth)
    if stuff:
        folder = semantic or truth.parent / "semantic"
        score_classes(pairs, problems, stuff, folder, as_json=as_json)
        return

    scores: dict[str, Metrics] = {}
    for stem, (ours, theirs) in pairs.items():
        try:
            scores[stem] = _score(ours, theirs)
        except NapariSegError as error:
            problems.append((stem, str(error)))
    for stem, problem in problems:
        warn(f"{stem}: {problem}")
    errors = [{"input": stem, "error": problem} for stem, problem in problems]
    pooled: dict[str, Any] = pool(scores.values()).as_dict() if scores else {}
    if as_json:
        single = [{"name": stem, **m.as_dict()} for stem, m in scores.items()]
        emit_json({**pooled, "per_image": single, "errors": errors})
    elif scores:
        _show(pooled)
    if errors:
        raise typer.Exit(EXIT_BAD_INPUT)


def _show(pooled: dict[str, Any]) -> None:
    counts = ("images", "true_objects", "predicted_objects")
    for key in counts:
        say(f"{key.replace('_', ' '):<44} {pooled[key]:>7}")
    for key, title in SHOWN.items():
        say(f"{title:<44} {pooled[key]:>7.4f}")


def _pair(
    predicted: Path, truth: Path
) -> tuple[dict[str, tuple[Path, Path]], list[tuple[str, str]]]:
    """Return pairs of files by stem, and what has no partner."""
    if predicted.is_dir() != truth.is_dir():
        raise DatasetError(
            "cannot compare a folder with a file",
            f"{predicted} and {truth}",
            "Give two folders or two files.",
        )
    if not predicted.is_dir():
        return {predicted.stem: (predicted, truth)}, []
    ours, theirs = _labels_in(predicted), _labels_in(truth)
    if not ours.keys() & theirs.keys():
        raise DatasetError(
            "no labels have the same name in both folders",
            f"{len(ours)} in {predicted}, {len(theirs)} in {truth}",
            "Files are paired by their name without suffix.",
        )
    pairs = {stem: (ours[stem], theirs[stem]) for stem in ours if stem in theirs}
    alone = [(stem, f"no truth in {truth}") for stem in ours if stem not in theirs]
    alone += [
        (stem, f"no prediction in {predicted}") for stem in theirs if stem not in ours
    ]
    return pairs, alone


def _labels_in(folder: Path) -> dict[str, Path]:
    from napari_seg.data.io import READABLE_SUFFIXES

    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in READABLE_SUFFIXES and not path.name.startswith(".")
    }


def _score(predicted: Path, truth: Path) -> Metrics:
    """Score one pair; the frames of a film are separate images."""
    import numpy as np

    from napari_seg.imaging.metrics import evaluate as compare
    from napari_seg.imaging.metrics import pool

    ours, theirs = read_both(predicted, truth)
    if "T" not in theirs.axes:
        return compare(ours.array, theirs.array)
    time = theirs.axes.index("T")
    frames = zip(
        np.moveaxis(np.asarray(ours.array), time, 0),
        np.moveaxis(np.asarray(theirs.array), time, 0),
        strict=True,
    )
    return pool(compare(found, true) for found, true in frames)
