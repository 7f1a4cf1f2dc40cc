"""``napari-seg track``: labels of a film, corrected perhaps, linked over time."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_seg.cli.output import EXIT_BAD_INPUT, emit_json, follow, say, warn
from napari_seg.errors import FAILURES

if TYPE_CHECKING:
    from napari_seg.data.batch_plan import PlannedFile
    from napari_seg.inference.tracking import TrackParams
    from napari_seg.types import Progress


def track(
    labels: Annotated[
        list[Path],
        typer.Argument(
            metavar="LABELS", help="Labels with a time axis, folders, or patterns."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for <stem>.tif and <stem>_tracks.csv each.")
    ],
    axes: Annotated[
        str | None, typer.Option(help="Axes of the labels, e.g. TYX or TZYX.")
    ] = None,
    divisions: Annotated[
        bool, typer.Option("--divisions", help="Objects may divide.")
    ] = False,
    gap: Annotated[
        int, typer.Option(min=0, help="Frames that an object may be missing.")
    ] = 1,
    reach: Annotated[
        float,
        typer.Option(
            metavar="DIAMETERS",
            help="How far an object may move from one frame to the next.",
        ),
    ] = 1.5,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
) -> None:
    """Give the objects of a film one id in all frames; masks stay as they are."""
    from napari_seg.data.batch_plan import plan
    from napari_seg.inference.assignment import require_laptrack
    from napari_seg.inference.tracking import TrackParams

    params = TrackParams(divisions=divisions, gap=gap, reach=reach)
    params.check()
    require_laptrack()
    results: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    for file in plan(labels, out):
        try:
            done = follow(_iter_file(file, axes, params), file.path.name)
        except FAILURES as error:
            text = str(error) or "not enough memory"
            warn(text if str(file.path) in text else f"{file.path}: {text}")
            errors.append({"input": str(file.path), "error": text})
            continue
        results.append(done)
        if not as_json:
            counts = f"{done['objects']} objects in {done['frames']} frames"
            say(f"{done['output']}: {done['tracks']} tracks of {counts}")
    if as_json:
        emit_json({"results": results, "errors": errors})
    if errors:
        raise typer.Exit(EXIT_BAD_INPUT)


def _iter_file(
    file: PlannedFile, axes: str | None, params: TrackParams
) -> Generator[Progress, None, dict[str, Any]]:
    """Link one file; of lazy labels one frame after the other is read."""
    from napari_seg.data.image_data import spacing_axes
    from napari_seg.data.io import read_image, write_labels
    from napari_seg.data.tracks_table import tracks_path, write_tracks
    from napari_seg.imaging.axes import check_axes
    from napari_seg.inference.tracking import iter_track, lazily_renamed

    if file.problem is not None:
        raise file.problem
    data = read_image(file.path)
    axes = check_axes(axes or data.axes, data.array.shape)
    known = dict(zip(spacing_axes(data.axes), data.spacing or (), strict=False))
    spacing = tuple(known.get(a, 1.0) for a in spacing_axes(axes)) if known else None
    tracks = yield from iter_track(data.array, axes, params, spacing)
    table = tracks_path(file.target)
    write_tracks(table, tracks, spacing)
    write_labels(file.target, lazily_renamed(data.array, tracks), axes, spacing)
    return {
        "input": str(file.path),
        "output": str(file.target),
        "table": str(table),
        "tracks": tracks.count,
        "objects": sum(len(numbers) for numbers in tracks.numbers),
        "frames": len(tracks.numbers),
        "divisions": len(tracks.parents) // 2,
        "spacing_um": spacing,
    }
