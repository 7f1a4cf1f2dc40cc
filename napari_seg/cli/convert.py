"""``napari-seg convert``: annotations from one format into another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_seg.cli.output import EXIT_BAD_INPUT, counting, emit_json, say, warn
from napari_seg.errors import FormatError

if TYPE_CHECKING:
    from napari_seg.data.formats.registry import Format, Writer
    from napari_seg.data.formats.selection import Counted

EXIT_STOPPED = 130
"""As shells say it of Ctrl+C."""
NAMES = "tiff-pairs|coco|coco-panoptic|ome-zarr|cellpose|imagej-roi|yolo-seg|csv"


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Data set, folder of TIFF pairs, OME-Zarr, COCO file, _seg.npy, "
            "ROI zip, YOLO folder.",
        ),
    ],
    to: Annotated[
        str | None, typer.Option("--to", metavar=NAMES, help="Format to write.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; a file for csv.")
    ] = None,
    given: Annotated[
        str | None,
        typer.Option("--from", metavar=NAMES, help="Format of INPUT, if not clear."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, if they lie apart.")
    ] = None,
    verified_only: Annotated[
        bool, typer.Option("--verified-only", help="Only what somebody verified.")
    ] = False,
    crops: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Crops around objects, with this margin."),
    ] = None,
    val_share: Annotated[
        float | None,
        typer.Option(help="Share of the groups for validation, e.g. 0.2."),
    ] = None,
    weights: Annotated[
        bool, typer.Option("--weights", help="Add border weights (tiff-pairs).")
    ] = False,
    ngff: Annotated[
        str, typer.Option(metavar="0.4|0.5", help="Version of OME-Zarr.")
    ] = "0.5",
    overlaps: Annotated[
        str,
        typer.Option(
            metavar="refuse|later|smaller",
            help="Which of two objects that overlap is on top (COCO, ROIs, YOLO).",
        ),
    ] = "refuse",
    check: Annotated[
        bool, typer.Option("--check", help="Verify the data set INPUT; write nothing.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Drop items of INPUT whose files are missing."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
) -> None:
    """Convert annotations, or check a data set; nothing is ever overwritten."""
    from napari_seg.data.formats.overlaps import resolving
    from napari_seg.data.formats.selection import Counted, Selection, select

    if check or repair:
        _look_after(source, repair, as_json)
        return
    if to is None or out is None:
        raise typer.BadParameter(
            "Say which format to write (--to), and where (--out).", param_hint="--to"
        )
    reader = _reader(source, given)
    target = _format(to)
    selection = Selection(verified_only, crops, val_share)
    write = _writer(target, out, weights, ngff)
    title = f"{source.name} to {to}"
    with counting(title) as count, resolving(overlaps) as found_twice:
        items = select(lambda: reader.read(source, images), selection)
        counted = Counted(items, count)
        _write(write, counted, out)
    twice = found_twice.contested
    if twice:
        warn(f"{twice} pixels were claimed by two objects; the {overlaps} one has them")
    if as_json:
        found = {"images": counted.images, "objects": counted.objects}
        found |= {"contested_pixels": twice} if twice else {}
        emit_json({"input": str(source), "output": str(out), "format": to, **found})
    else:
        say(f"{out}: {counted.images} images, {counted.objects} objects ({to})")


def _write(write: Writer, items: Counted, out: Path) -> None:
    """Write all of it, or nothing."""
    try:
        write(items, out)
    except KeyboardInterrupt:
        warn(f"stopped; nothing of {out} was kept")
        raise typer.Exit(EXIT_STOPPED) from None
    except (OSError, MemoryError) as error:
        raise FormatError(
            f"could not finish {out}",
            str(error) or "not enough memory",
            "Nothing of it was kept: make room, and convert again.",
        ) from error


def _format(name: str) -> Format:
    from napari_seg.data.formats.registry import FORMATS

    if name not in FORMATS:
        raise FormatError(
            f"there is no format {name!r}", remedy=f"Use one of {', '.join(FORMATS)}."
        )
    return FORMATS[name]


def _reader(source: Path, given: str | None) -> Format:
    from napari_seg.data.formats.registry import find_format

    found = find_format(source) if given is None else _format(given)
    if not source.exists():
        raise FormatError(f"{source} does not exist", remedy="Check the path.")
    return found


def _writer(target: Format, out: Path, weights: bool, ngff: str) -> Writer:
    """Return the writer of a format with its own options."""
    writer: Callable[..., None] = target.write
    if weights and target.name != "tiff-pairs":
        raise FormatError(
            f"{target.name} holds no border weights", remedy="Use --to tiff-pairs."
        )
    if target.name != "csv" and out.suffix.lower() in (".json", ".npy", ".zip", ".txt"):
        raise FormatError(
            f"{target.name} is written as a folder",
            f"--out {out.name}",
            "Give the name of a folder.",
        )
    if target.name == "ome-zarr":
        return partial(writer, version=ngff)
    if weights:
        from napari_seg.imaging.weightmap import BorderWeights

        return partial(writer, weights=BorderWeights())
    return writer


def _look_after(source: Path, repair: bool, as_json: bool) -> None:
    """Check or repair a data set; problems that remain are exit 2."""
    from napari_seg.data.dataset_check import check_dataset, repair_dataset
    from napari_seg.data.dataset_index import read_index

    changes = repair_dataset(source) if repair else []
    problems = check_dataset(source)
    count = len(read_index(source))
    for problem in problems:
        warn(problem)
    if as_json:
        emit_json({"items": count, "changes": changes, "problems": problems})
    else:
        for change in changes:
            say(change)
        say(f"{source}: {count} items, {len(problems)} problems")
    if problems:
        raise typer.Exit(EXIT_BAD_INPUT)
