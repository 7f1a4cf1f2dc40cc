"""``napari-seg average``: the mean of the weights of several runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_seg.cli.output import emit_json, follow, say, warn
from napari_seg.types import Progress


def average(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Models or checkpoints that went on from the same weights."
        ),
    ],
    data: Annotated[
        Path, typer.Option(help="Data set on whose validation images it is calibrated.")
    ],
    out: Annotated[Path, typer.Option(help="The checkpoint to write, .safetensors.")],
    share: Annotated[
        list[float] | None,
        typer.Option(help="Share of each model, in their order; alike by default."),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the runs, which parted images without val/.")
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
) -> None:
    """Average the weights of several runs; the mean is often better than each."""
    if out.suffix != ".safetensors":
        hint = "--out"
        raise typer.BadParameter(
            f"{out} does not end in .safetensors.", param_hint=hint
        )
    from napari_seg.training.averaging import iter_average

    command = shlex.join(["napari-seg", *sys.argv[1:]])
    job = iter_average(
        models, data, out, shares=share or None, seed=seed, command=command
    )
    scores = follow(job, "calibrating", _report).card.scores
    if as_json:
        emit_json({"output": str(out), "scores": scores})
    else:
        say(f"{out}: AP at IoU 0.50 in validation {scores.get('ap_0.50', 0):.4f}")


def _report(step: Progress) -> None:
    if step.stage == "load" and step.message and step.done == step.total:
        warn(step.message)
