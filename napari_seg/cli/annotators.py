"""``napari-seg evaluate --agreement``: two annotators on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_seg.cli.output import EXIT_BAD_INPUT, emit_json, say, warn
from napari_seg.errors import LabelsError, NapariSegError

if TYPE_CHECKING:
    from napari_seg.data.image_data import ImageData
    from napari_seg.imaging.agreement import Agreement

_SHOWN = 10
_TITLES = {
    "objects_first": "objects of the first",
    "objects_second": "objects of the second",
    "objects_both": "objects of both (IoU at least 0.50)",
    "ap_0.50": "AP at IoU 0.50",
    "ap_0.75": "AP at IoU 0.75",
    "mean_ap": "AP, mean over IoU 0.50 to 0.95",
    "pq": "panoptic quality",
    "dice_per_object": "Dice per object, mean; 0 if only one has it",
    "dice_of_matched": "Dice per object of both, mean",
    "dice_of_pixels": "Dice of all pixels",
}


def compare_annotators(
    pairs: Mapping[str, tuple[Path, Path]],
    problems: list[tuple[str, str]],
    *,
    as_json: bool,
) -> None:
    """Say how far two annotators agree, image by image.

    Parameters
    ----------
    pairs : dict of str to (Path, Path)
        Labels of both, by name.
    problems : list of (str, str)
        Names and what is wrong with them already.
    as_json : bool
        One JSON object, with all objects, instead of tables.
    """
    from napari_seg.imaging.agreement import agreement

    found: dict[str, Agreement] = {}
    for name, (first, second) in pairs.items():
        try:
            ours, theirs = read_both(first, second)
            found[name] = agreement(ours.array, theirs.array)
        except NapariSegError as error:
            problems.append((name, str(error)))
    for name, problem in problems:
        warn(f"{name}: {problem}")
    if as_json:
        errors = [{"input": name, "error": problem} for name, problem in problems]
        emit_json(
            {"images": [_plain(n, a) for n, a in found.items()], "errors": errors}
        )
    else:
        for name, one in found.items():
            _show(name, one)
    if problems:
        raise typer.Exit(EXIT_BAD_INPUT)


def read_both(first: Path, second: Path) -> tuple[ImageData, ImageData]:
    """Read two labels files of the same image."""
    from napari_seg.data.io import read_labels

    ours, theirs = read_labels(first), read_labels(second)
    if ours.array.shape != theirs.array.shape:
        raise LabelsError(
            "the two labels have different shapes",
            f"{ours.array.shape} and {theirs.array.shape}",
            "Compare labels of the same image.",
        )
    return ours, theirs


def _plain(name: str, found: Agreement) -> dict[str, Any]:
    objects = [[pair.first, pair.second, pair.dice] for pair in found.pairs]
    return {"name": name, **found.as_dict(), "objects": objects}


def _show(name: str, found: Agreement) -> None:
    say(name)
    for key, value in found.as_dict().items():
        text = f"{value:>7}" if isinstance(value, int) else f"{value:>7.4f}"
        say(f"  {_TITLES[key]:<44} {text}")
    differing: Sequence[Any] = [p for p in found.pairs if p.dice < 1][:_SHOWN]
    if differing:
        say("  they differ most in (first, second, Dice):")
    for pair in differing:
        first, second = pair.first or "none", pair.second or "none"
        say(f"    {first:>8} {second:>8} {pair.dice:>7.4f}")
