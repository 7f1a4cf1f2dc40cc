"""``napari-seg train``: a checkpoint from images with labels."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_seg.cli.output import emit_json, follow, say, warn
from napari_seg.types import Progress

SUFFIX = ".safetensors"


def train(
    dataset: Annotated[
        Path,
        typer.Argument(help="Folder with images/ and labels/, or train/ and val/."),
    ],
    out: Annotated[Path, typer.Option(help=f"The checkpoint to write, {SUFFIX}.")],
    architecture: Annotated[
        str, typer.Option(help="Name from `napari-seg models`.")
    ] = "unet",
    init: Annotated[
        str | None, typer.Option(help="Checkpoint to start from, by name or file.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Train for so long (10).")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Train for so many steps.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ...")
    ] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the state beside --out.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Same seed and data: same run.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Patches in a step.")] = 8,
    patch: Annotated[int, typer.Option(min=16, help="Side of a patch, px.")] = 160,
    diameter: Annotated[
        float | None,
        typer.Option(min=1, help="Object diameter the network sees, px (median)."),
    ] = None,
    w0: Annotated[float, typer.Option(min=0, help="Height of the border term.")] = 10,
    sigma: Annotated[
        float, typer.Option(min=0.1, help="Width of the border term, px.")
    ] = 5,
    validate_every: Annotated[
        int, typer.Option(min=1, help="Steps between validations.")
    ] = 500,
    description: Annotated[str, typer.Option(help="One line for the card.")] = "",
    training_data: Annotated[str, typer.Option(help="Attribution for the card.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
) -> None:
    """Train a network; the best checkpoint so far is always at --out.

    Training ends at the first of --minutes and --steps, or after 10 minutes. Ctrl+C
    stops it and keeps the best checkpoint; --resume goes on from there.
    """
    if out.suffix != SUFFIX:
        raise typer.BadParameter(f"{out} does not end in {SUFFIX}.", param_hint="--out")
    from napari_seg.training.params import TrainParams
    from napari_seg.training.trainer import iter_train

    params = TrainParams(
        architecture=architecture,
        init=Path(init) if init else None,
        minutes=minutes,
        steps=steps,
        device=device,
        resume=resume,
        seed=seed,
        batch=batch,
        patch_px=patch,
        object_diameter_px=diameter,
        w0=w0,
        sigma_px=sigma,
        validate_every=validate_every,
        description=description,
        training_data=training_data,
        licence=licence,
        command=shlex.join(["napari-seg", *sys.argv[1:]]),
    )
    checkpoint = follow(iter_train(dataset, out, params), "training", _report)
    scores = checkpoint.card.scores
    if as_json:
        emit_json({"output": str(out), "scores": scores})
    else:
        say(f"{out}: AP at IoU 0.50 in validation {scores.get('ap_0.50', 0):.4f}")


def _report(step: Progress) -> None:
    """Write one line for each validation."""
    metrics: Any = getattr(step, "metrics", None)
    if metrics is not None:
        warn(
            f"step {step.done}: loss {getattr(step, 'loss', 0):.4f}, "
            f"AP at IoU 0.50 {metrics.average_precision(0.5):.4f}, "
            f"mean AP {metrics.mean_ap:.4f}"
        )
