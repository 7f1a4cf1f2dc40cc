"""``napari-seg segment``: images in, labels out, without a window."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_seg.cli.output import (
    EXIT_BAD_INPUT,
    emit_json,
    follow,
    note,
    say,
    time_left,
    warn,
)
from napari_seg.cli.volumes import is_for_volumes, segment_volumes, volume_options

if TYPE_CHECKING:
    from napari_seg.data.batch_plan import PlannedFile
    from napari_seg.data.run_manifest import Mode
    from napari_seg.inference.batch import Batch, Outcome
    from napari_seg.inference.segment import SegmentParams
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.refine.crf import CrfParams

EXIT_STOPPED = 130
_NOTE_SECONDS = 60.0
"""How often a log file is told how far the run is."""


def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="Images, folders of images, or patterns in quotes: 'plates/**/*.tif'.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the labels, <stem>.tif each.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Name from `napari-seg models`, or a checkpoint file (nuclei-unet). "
            "Of several, the probabilities are averaged."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ...")
    ] = "auto",
    axes: Annotated[
        str | None, typer.Option(help="Axes of the images, e.g. ZYX or CYX.")
    ] = None,
    channel: Annotated[
        int | None, typer.Option(min=0, help="Channel to segment, from 0.")
    ] = None,
    diameter: Annotated[
        str,
        typer.Option(metavar="auto|PX", help="Object diameter in pixels, or e.g. 9um."),
    ] = "auto",
    tta: Annotated[
        str,
        typer.Option(
            metavar="none|flips|all",
            help="Average over mirrored (4 times as slow) and turned (8) tiles.",
        ),
    ] = "none",
    compile_: Annotated[
        bool,
        typer.Option(
            "--compile", help="Have torch compile the network first; no gain on a CPU."
        ),
    ] = False,
    classes: Annotated[
        bool,
        typer.Option(
            "--classes", help="Write the class of each pixel as well, into classes/."
        ),
    ] = False,
    crf: Annotated[
        bool, typer.Option("--crf", help="Let outlines follow the image (dense CRF).")
    ] = False,
    crf_preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Settings of the CRF; any other name lists them."
        ),
    ] = None,
    track: Annotated[
        bool,
        typer.Option(
            "--track",
            help="Give the objects of a film (axis T) one id in all frames, and write "
            "<stem>_tracks.csv as well.",
        ),
    ] = False,
    divisions: Annotated[
        bool, typer.Option("--divisions", help="With --track: objects may divide.")
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Measure every object into this table, and count the objects of each "
            "image into <FILE>-counts.csv.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the run in --out."),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget the run in --out and begin anew.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
    label_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="tif|ome-zarr",
            help="Of the labels. ome-zarr takes volumes of any size, block by block, "
            "and is chosen where --out ends in .zarr.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=0, help="Processes for ome-zarr; one for each graphics card."),
    ] = 0,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Dask scheduler for ome-zarr: tcp://node1:8786."
        ),
    ] = None,
    block: Annotated[
        str | None,
        typer.Option(metavar="ZxYxX", help="Voxels of a block, e.g. 128x1024x1024."),
    ] = None,
    probabilities: Annotated[
        Path | None,
        typer.Option(metavar="ZARR", help="Write the class probabilities, too."),
    ] = None,
) -> None:
    """Segment images and write their labels as int32 TIFF, or as OME-Zarr."""
    size = _parse_diameter(diameter)
    refinement = _parse_crf(crf, crf_preset)
    if divisions and not track:
        raise typer.BadParameter("Give --track as well.", param_hint="--divisions")
    if resume and restart:
        raise typer.BadParameter("--resume or --restart, not both.")
    mode: Mode = "resume" if resume else "restart" if restart else "new"
    is_volume = is_for_volumes(label_format, out, csv, classes, track)
    volumes = volume_options(is_volume, workers, scheduler, block, probabilities, mode)
    from napari_seg.data.batch_plan import is_pattern, plan
    from napari_seg.inference.segment import SegmentParams, load
    from napari_seg.inference.tracking import TrackParams

    names = model or ["nuclei-unet"]
    params = SegmentParams(
        axes=axes, channel=channel, device=device, tta=tta, crf=refinement,
        compile=compile_,
        track=TrackParams(divisions=divisions) if track else None, **size,
    )  # fmt: skip
    if volumes is not None:
        segment_volumes(inputs, out, names, params, volumes, as_json=as_json)
        return
    checkpoint = load(names)
    is_single = len(inputs) == 1 and not is_pattern(inputs[0]) and mode == "new"
    files = plan(inputs, out)
    batch = _open(
        files, checkpoint, params, classes, None if is_single else out, csv, mode
    )
    outcomes = work(batch, as_json)
    _report(checkpoint.card.name, outcomes, as_json, not is_single)
    unsaved = batch.end()
    if unsaved:
        warn(unsaved)
    if unsaved or any(outcome.error for outcome in outcomes):
        raise typer.Exit(EXIT_BAD_INPUT)


def _open(
    files: list[PlannedFile],
    checkpoint: Checkpoint,
    params: SegmentParams,
    classes: bool,
    out: Path | None,
    csv: Path | None,
    mode: Mode,
) -> Batch:
    """Begin a batch, or go on with the one in `out`; None keeps no record."""
    from napari_seg.data.batch_table import BatchTables
    from napari_seg.data.run_manifest import RunManifest
    from napari_seg.errors import FormatError
    from napari_seg.inference.batch import Batch, run_about

    manifest = None
    if out is not None:
        about = run_about(checkpoint, params, classes=classes)
        manifest = RunManifest.open(out, about, mode)
        if mode == "resume" and manifest.software_differs:
            warn(f"the run in {out} was begun with {manifest.software}")
    batch = Batch(
        files,
        checkpoint,
        params,
        classes=classes,
        manifest=manifest,
        tables=None if csv is None else BatchTables(csv),
        resume=mode == "resume",
    )
    try:
        batch.begin(overwrite_tables=mode != "new")
    except OSError as error:
        raise FormatError(
            "cannot begin the run", str(error), "Choose another --out or --csv."
        ) from error
    return batch


def work(batch: Batch, as_json: bool) -> list[Outcome]:
    """Do all images; tell what became of each, and how long the rest will take."""
    outcomes: list[Outcome] = []
    total, told = len(batch.files), time.monotonic()
    left = len([f for f in batch.files if f not in batch.finished])
    seconds: list[float] = []
    try:
        for number, file in enumerate(batch.files, start=1):
            started = time.monotonic()
            place = f"{number} of {total}{time_left(seconds, left)}: "
            if started - told > _NOTE_SECONDS:
                told = started
                note(place + file.name)
            title = place + file.path.name if total > 1 else file.path.name
            outcome = follow(batch.iter_file(file), title)
            outcomes.append(outcome)
            if file not in batch.finished:
                left -= 1
                seconds.append(time.monotonic() - started)
            if outcome.error:
                warn(outcome.error)
            elif outcome.report and not as_json:
                done = outcome.report
                say(
                    f"{done['output']}: {done['objects']} objects, "
                    f"diameter {done['diameter_px']:.1f} px"
                )
    except KeyboardInterrupt:
        hint = "" if batch.manifest is None else "; the same with --resume goes on"
        warn(f"stopped after {len(outcomes)} of {total} images{hint}")
        raise typer.Exit(EXIT_STOPPED) from None
    return outcomes


def _report(model: str, outcomes: list[Outcome], as_json: bool, is_batch: bool) -> None:
    """Sum up, with the reasons of all failures once more at the end."""
    from napari_seg.inference.batch import SKIPPED

    errors = [
        {"input": str(o.file.path), "error": o.error} for o in outcomes if o.error
    ]
    results = [o.report for o in outcomes if o.report]
    skipped = [str(o.file.target) for o in outcomes if o.state == SKIPPED]
    if as_json:
        known = {"model": model, "results": results, "errors": errors}
        emit_json({**known, "skipped": skipped})
    elif is_batch:
        counts = f"{len(results)} done, {len(skipped)} skipped, {len(errors)} failed"
        say(f"{len(outcomes)} images: {counts}")
        for error in errors:
            say(f"  {error['error']}")


def _parse_diameter(text: str) -> dict[str, Any]:
    """Return the field of the parameters that it sets; none for "auto"."""
    trimmed = text.strip().lower()
    if trimmed == "auto":
        return {}
    unit = "um" if trimmed.endswith(("um", "\u00b5m", "\u03bcm")) else "px"
    try:
        value = float(trimmed[:-2] if unit == "um" else trimmed.removesuffix("px"))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise typer.BadParameter(
            f"{text!r} is not 'auto' or a size above 0 such as 30 or 9um.",
            param_hint="--diameter",
        )
    return {f"diameter_{unit}": value}


def _parse_crf(is_on: bool, preset: str | None) -> CrfParams | None:
    """Return the parameters of the CRF, if there is to be one."""
    from napari_seg.refine.crf import CRF_PRESETS, DEFAULT_PRESET

    if not is_on and preset is None:
        return None
    name = preset or DEFAULT_PRESET
    if name not in CRF_PRESETS:
        raise typer.BadParameter(
            f"{name!r} is none of {', '.join(CRF_PRESETS)}.", param_hint="--crf-preset"
        )
    return CRF_PRESETS[name]
