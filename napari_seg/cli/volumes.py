"""``napari-seg segment --format ome-zarr``: volumes of any size, block by block."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from napari_seg.errors import NapariSegError

if TYPE_CHECKING:
    from napari_seg.data.run_manifest import Mode
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.volumes import VolumeOptions, VolumeResult
    from napari_seg.types import Progress

TIF, OME_ZARR = "tif", "ome-zarr"
EXIT_STOPPED = 130
_NOTE_SECONDS = 60.0
"""How often a log file is told how far the run is."""


def is_for_volumes(
    name: str | None, out: Path, csv: Path | None, classes: bool, track: bool
) -> bool:
    """Whether the labels become OME-Zarr: as asked, or as ``--out`` is called.

    Raises
    ------
    typer.BadParameter
        If that does not go with the other options.
    """
    if name not in (None, TIF, OME_ZARR):
        raise typer.BadParameter(
            f"{name!r} is not {TIF} or {OME_ZARR}.", param_hint="--format"
        )
    if name == TIF or (name is None and out.suffix.lower() != ".zarr"):
        return False
    for option, given in (("--csv", csv), ("--classes", classes), ("--track", track)):
        if given:
            raise typer.BadParameter(f"{option} goes with --format {TIF}.")
    return True


def volume_options(
    is_volume: bool,
    workers: int,
    scheduler: str | None,
    block: str | None,
    probabilities: Path | None,
    mode: Mode,
) -> VolumeOptions | None:
    """Return how volumes are worked through, None for other images.

    Raises
    ------
    typer.BadParameter
        If an option of volumes is given for other images.
    """
    if not is_volume:
        if workers or scheduler or block or probabilities:
            raise typer.BadParameter(
                "--workers, --scheduler, --block and --probabilities go with "
                f"--format {OME_ZARR}."
            )
        return None
    if workers and scheduler:
        raise typer.BadParameter("--workers or --scheduler, not both.")
    from napari_seg.inference.volumes import VolumeOptions

    return VolumeOptions(workers, scheduler, _parse_block(block), probabilities, mode)


def _parse_block(text: str | None) -> tuple[int, int, int] | None:
    """Read planes, rows and columns, as in ``128x1024x1024``."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(p.strip().isdigit() and int(p) for p in parts):
        raise typer.BadParameter(
            f"{text!r} is not planes, rows and columns such as 128x1024x1024.",
            param_hint="--block",
        )
    z, y, x = (int(p) for p in parts)
    return z, y, x


def segment_volumes(
    inputs: Sequence[Path],
    out: Path,
    model: list[str],
    params: SegmentParams,
    options: VolumeOptions,
    *,
    as_json: bool,
) -> None:
    """Segment volumes into OME-Zarr labels, and tell what became of each.

    Parameters
    ----------
    inputs : sequence of pathlib.Path
    out : pathlib.Path
        The labels of a single volume if it ends in ``.zarr``, else a folder for
        ``<stem>.zarr`` of each.
    model : list of str
    params, options
        See `iter_segment_volume`.
    as_json : bool
    """
    is_one = out.suffix.lower() == ".zarr"
    if is_one and len(inputs) > 1:
        raise typer.BadParameter(f"{out.name} is one volume.", param_hint="--out")
    results, errors = [], []
    for path in inputs:
        target = out if is_one else out / f"{_stem(path)}.zarr"
        own = options
        if options.probabilities is not None and len(inputs) > 1:
            own = replace(options, probabilities=options.probabilities / target.name)
        try:
            result = _segment_one(path, target, model, params, own)
        except NapariSegError as error:
            errors.append({"input": str(path), "error": f"{path}: {error}"})
            warn(f"{path}: {error}")
            continue
        except KeyboardInterrupt:
            warn(f"stopped at {path}; the same with --resume goes on")
            raise typer.Exit(EXIT_STOPPED) from None
        for text in result.errors:
            errors.append({"input": str(path), "error": text})
            warn(f"{path}: {text}")
        results.append(_report(path, result))
        if not as_json:
            _say(result)
    if as_json:
        emit_json({"model": "+".join(model), "results": results, "errors": errors})
    if errors:
        raise typer.Exit(EXIT_BAD_INPUT)


def _segment_one(
    path: Path,
    target: Path,
    model: list[str],
    params: SegmentParams,
    options: VolumeOptions,
) -> VolumeResult:
    from napari_seg.inference.volumes import iter_segment_volume

    steps = iter_segment_volume(
        path, target, model[0] if len(model) == 1 else model, params, options
    )
    return follow(steps, path.name, _noting(path.name))


def _noting(name: str) -> Callable[[Progress], None]:
    """Return what writes a line into a log file now and then, with the time left."""
    began: dict[str, tuple[float, int]] = {}
    told = time.monotonic()

    def step(progress: Progress) -> None:
        nonlocal told
        now = time.monotonic()
        start, first = began.setdefault(progress.stage, (now, progress.done))
        if now - told < _NOTE_SECONDS:
            return
        told = now
        done, left = progress.done - first, progress.total - progress.done
        each = [(now - start) / done] if done else []
        note(f"{name}: {progress.message or progress.stage}{time_left(each, left)}")

    return step


def _say(result: VolumeResult) -> None:
    text = (
        f"{result.out}: {result.objects} objects, diameter {result.diameter_px:.1f} px"
    )
    if result.failed:
        text += f"; {result.failed} of {result.blocks} blocks failed"
    say(text)


def _report(path: Path, result: VolumeResult) -> dict[str, Any]:
    return {
        "input": str(path),
        "output": str(result.out),
        "objects": result.objects,
        "blocks": result.blocks,
        "failed": result.failed,
        "axes": result.axes,
        "shape": list(result.shape),
        "diameter_px": result.diameter_px,
        "seconds": result.seconds,
        "provenance": result.provenance,
    }


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".zarr", ".ome", ".tif", ".tiff"):
        name = name.removesuffix(suffix)
    return name or path.name
