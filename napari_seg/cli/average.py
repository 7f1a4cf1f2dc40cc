"""``napari-seg average``: the mean of the weights of several runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_seg.cli.output import follow
from napari_seg.cli.train import check_out, report, tell_scores


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
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda|cuda:N|mps", help="Where to validate.")
    ] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
) -> None:
    """Average the weights of several runs; the mean is often better than each."""
    check_out(out)
    from napari_seg.training.averaging import iter_average

    command = shlex.join(["napari-seg", *sys.argv[1:]])
    job = iter_average(
        models, data, out, shares=share or None, seed=seed, command=command,
        device=device,
    )  # fmt: skip
    tell_scores(out, follow(job, "calibrating", report), as_json=as_json)
