"""``napari-seg run``: a recipe that was saved in the window, on other images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_seg.cli.output import EXIT_BAD_INPUT, emit_json, say
from napari_seg.cli.segment import work
from napari_seg.errors import FormatError

if TYPE_CHECKING:
    from napari_seg.data.annotated import AnnotatedImage
    from napari_seg.inference.recipe import Recipe


def run(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="Recipe (.yaml) from the window.")
    ],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...", help="Images, folders, or patterns in quotes."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the labels, <stem>.tif each.")],
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ...")
    ] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
) -> None:
    """Do to images what a recipe says: segment, refine, export."""
    from napari_seg.data.batch_plan import plan
    from napari_seg.inference.batch import Batch
    from napari_seg.inference.recipe import check_model, iter_recipe, read_recipe
    from napari_seg.inference.segment import load

    known = read_recipe(recipe)
    _check_export(known, out)
    checkpoint = load(known.model)
    check_model(known, checkpoint)
    batch = Batch(
        plan(inputs, out),
        checkpoint,
        replace(known.params, device=device),
        steps=partial(iter_recipe, known),
        axes_of=partial(_axes, known),
    )
    outcomes = work(batch, as_json)
    results = [dict(outcome.report) for outcome in outcomes if outcome.report]
    errors = [
        {"input": str(o.file.path), "error": o.error} for o in outcomes if o.error
    ]
    exported = _export(known, results, out)
    if as_json:
        report = {"recipe": str(recipe), "results": results, "errors": errors}
        emit_json({**report, "exported": exported} if exported else report)
    elif exported:
        say(f"{exported}: {len(results)} images ({known.export})")
    if errors:
        raise typer.Exit(EXIT_BAD_INPUT)


def _axes(recipe: Recipe, path: Path) -> str | None:
    """Return the axes of the recipe, where they are a name for those of the image.

    Somebody has called the pages of a file Z that it calls T. The same letters in
    another order, or more or fewer of them, are another kind of file: its own hold.
    """
    from napari_seg.data.io import read_image

    axes = recipe.params.axes
    if axes is None:
        return None
    own = read_image(path, lazy_bytes=0).axes
    is_other = len(own) != len(axes) or sorted(own) == sorted(axes)
    return None if is_other else axes


def _check_export(recipe: Recipe, out: Path) -> None:
    """Refuse before the work what could not be written after it."""
    from napari_seg.data.formats.registry import FORMATS

    if recipe.export is None:
        return
    if recipe.export not in FORMATS:
        raise FormatError(
            f"there is no format {recipe.export!r} to export to",
            remedy=f"Use one of {', '.join(FORMATS)} in the recipe.",
        )
    if _place(recipe, out).exists():
        raise FormatError(
            f"{_place(recipe, out)} is there already",
            remedy="Nothing is overwritten: choose another --out.",
        )


def _place(recipe: Recipe, out: Path) -> Path:
    return out / ("objects.csv" if recipe.export == "csv" else str(recipe.export))


def _export(recipe: Recipe, results: list[dict[str, Any]], out: Path) -> str:
    """Export images and labels together; return where to."""
    from napari_seg.data.formats.registry import FORMATS

    if recipe.export is None or not results:
        return ""
    place = _place(recipe, out)
    FORMATS[recipe.export].write(_items(results, out), place)
    return str(place)


def _items(results: list[dict[str, Any]], out: Path) -> Iterator[AnnotatedImage]:
    import numpy as np

    from napari_seg.data.annotated import AnnotatedImage
    from napari_seg.data.io import read_image, read_labels
    from napari_seg.data.provenance import Provenance

    for done in results:
        image, labels = read_image(done["input"]), read_labels(done["output"])
        yield AnnotatedImage(
            Path(done["output"]).relative_to(out).with_suffix("").as_posix(),
            np.asarray(labels.array, np.int32),
            image.axes,
            image.array,
            image.spacing,
            provenance=Provenance.of_run(done["provenance"], done["input"]),
        )
