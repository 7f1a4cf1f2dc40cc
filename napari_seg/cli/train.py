"""``napari-seg train``: a checkpoint from images with labels."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_seg.cli.output import emit_json, follow, say, warn
from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.models.checkpoint import Checkpoint

SUFFIX = ".safetensors"
NOTHING = "none"
"""For ``--rehearse``: it may forget, where a preset would not let it."""

Flag = bool | None

FIELDS = {
    "patch": "patch_px",
    "diameter": "object_diameter_px",
    "sigma": "sigma_px",
    "planes": "patch_planes",
}
"""Options whose field of `TrainParams` has a longer name; the others share theirs."""
NO_FIELDS = {
    "dataset", "out", "preset", "argument", "elastic", "hard_image", "rehearse",
    "stuff", "vary", "as_json",
}  # fmt: skip
"""Options that are not a field of `TrainParams` as they are."""


def train(
    context: typer.Context,
    dataset: Annotated[
        list[Path],
        typer.Argument(
            help="Folders with images/ and labels/, or train/ and val/, or "
            "dataset.json; several are trained on together."
        ),
    ],
    out: Annotated[Path, typer.Option(help=f"The checkpoint to write, {SUFFIX}.")],
    preset: Annotated[
        str | None,
        typer.Option(
            help="quick (5 min), thorough (1 h), gpu (15 min), paper (U-Net, 2015); "
            "the options below change it."
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(help="Network, one that `napari-seg models` lists (unet)."),
    ] = None,
    ndim: Annotated[
        int | None,
        typer.Option(min=2, max=3, help="3 learns from stacks as volumes (2)."),
    ] = None,
    argument: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Build the network otherwise, e.g. attention=se (unet); not with "
            "--init.",
        ),
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Checkpoint to start from, by name or file.")
    ] = None,
    pretrained: Annotated[
        bool,
        typer.Option("--pretrained", help="Fetch an encoder trained on photographs."),
    ] = False,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Train for so long (10).")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Train for so many steps.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many validations without gain."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ... (auto)")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads of the network.")
    ] = None,
    loaders: Annotated[
        int | None, typer.Option(min=1, help="Threads that make patches (1).")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the state beside --out.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Same seed and data: same run.")] = 0,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Patches in a step (8).")
    ] = None,
    patch: Annotated[
        int | None, typer.Option(min=16, help="Side of a patch, px (160).")
    ] = None,
    planes: Annotated[
        int | None, typer.Option(min=2, help="Planes of a patch of volumes (16).")
    ] = None,
    diameter: Annotated[
        float | None,
        typer.Option(min=1, help="Object diameter the network sees, px (median)."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Highest learning rate (0.002).")
    ] = None,
    optimiser: Annotated[str | None, typer.Option(help="adamw or sgd (adamw).")] = None,
    momentum: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of sgd (0.99).")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="cross-entropy, focal, dice, tversky, lovasz, aaf; + adds several, "
            "e.g. cross-entropy+aaf."
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="interior-border or foreground (unet).")
    ] = None,
    stuff: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Class beside the objects: its pixels in semantic/, e.g. myelin=1.",
        ),
    ] = None,
    w0: Annotated[
        float | None, typer.Option(min=0, help="Height of the border term (10).")
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(min=0.1, help="Width of the border term, px (5).")
    ] = None,
    vary: Annotated[
        str | None,
        typer.Option(help="How strongly patches are varied: gentle, usual, strong."),
    ] = None,
    elastic: Annotated[
        float | None, typer.Option(min=0, help="Elastic deformation, px (3).")
    ] = None,
    balance_classes: Annotated[
        Flag, typer.Option(help="Weigh rare classes up by median frequency.")
    ] = None,
    hard_image: Annotated[
        list[str] | None, typer.Option(help="Image drawn twice as often, by name.")
    ] = None,
    rehearse: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What --init shall not forget: samples, folders, or {NOTHING}; "
            "a preset then leaves norm and encoder free as well."
        ),
    ] = None,
    freeze_norm: Annotated[
        Flag, typer.Option(help="Keep the batch normalisation of --init.")
    ] = None,
    encoder_rate: Annotated[
        float | None, typer.Option(min=0, help="Encoder's share of the rate (1).")
    ] = None,
    new_head: Annotated[
        Flag, typer.Option(help="Start the last layer of --init anew.")
    ] = None,
    adapt_channels: Annotated[
        Flag, typer.Option(help="Widen --init for the images' channels.")
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between validations (500).")
    ] = None,
    description: Annotated[str, typer.Option(help="One line for the card.")] = "",
    training_data: Annotated[str, typer.Option(help="Attribution for the card.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
) -> None:
    """Train a network; the best checkpoint so far is always at --out.

    Training ends at the first of --minutes and --steps, or after 10 minutes. Ctrl+C
    stops it and keeps the best checkpoint; --resume goes on from there, also after a
    crash. The loss curve lies beside --out.
    """
    check_out(out)
    fields = {
        FIELDS.get(name, name): value
        for name, value in context.params.items()
        if value is not None and name not in NO_FIELDS
    }
    if stuff:
        from napari_seg.training.stuff import StuffClass

        fields["stuff"] = tuple(StuffClass.parse(text) for text in stuff)
    if argument:
        fields["overrides"] = dict(map(_parse_argument, argument))
    if hard_image:
        fields["hard_images"] = tuple(hard_image)
    if rehearse:
        fields["rehearse"] = tuple(name for name in rehearse if name != NOTHING)
    if vary is not None:
        fields["augmentation"] = _parse_strength(vary)
    _run(dataset, out, preset, elastic, fields, as_json=as_json)


def _parse_strength(name: str) -> Any:
    from napari_seg.training.augmentation import STRENGTHS

    if name not in STRENGTHS:
        known = ", ".join(STRENGTHS)
        raise typer.BadParameter(f"{name} is none of {known}.", param_hint="--vary")
    return STRENGTHS[name]


def _parse_argument(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE; numbers, lists and the like as in JSON, words as they are."""
    name, sign, value = text.partition("=")
    if not sign:
        hint = "--argument"
        raise typer.BadParameter(f"{text} is not NAME=VALUE.", param_hint=hint)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _run(
    dataset: list[Path],
    out: Path,
    preset: str | None,
    elastic: float | None,
    fields: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    from dataclasses import replace

    from napari_seg.training.params import TrainParams
    from napari_seg.training.trainer import iter_train

    fields["command"] = shlex.join(["napari-seg", *sys.argv[1:]])
    if "steps" in fields:
        fields.setdefault("minutes", None)  # not those of the preset as well
    params = TrainParams.preset(preset, **fields) if preset else TrainParams(**fields)
    if elastic is not None:
        varied = replace(params.augmentation, elastic_px=elastic)
        params = replace(params, augmentation=varied)
    checkpoint = follow(iter_train(dataset, out, params), "training", report)
    tell_scores(out, checkpoint, as_json=as_json)


def check_out(out: Path) -> None:
    """Refuse a checkpoint of another ending, before anything is computed."""
    if out.suffix != SUFFIX:
        raise typer.BadParameter(f"{out} does not end in {SUFFIX}.", param_hint="--out")


def tell_scores(out: Path, checkpoint: Checkpoint, *, as_json: bool) -> None:
    """Write where the checkpoint lies and how it scored in validation."""
    scores = checkpoint.card.scores
    if as_json:
        emit_json({"output": str(out), "scores": scores})
    else:
        say(f"{out}: AP at IoU 0.50 in validation {scores.get('ap_0.50', 0):.4f}")


def report(step: Progress) -> None:
    """Write one line for each validation, and what there is to know about the data."""
    metrics: Any = getattr(step, "metrics", None)
    if metrics is not None:
        warn(
            f"step {step.done}: loss {getattr(step, 'loss', 0):.4f}, "
            f"AP at IoU 0.50 {metrics.average_precision(0.5):.4f}, "
            f"mean AP {metrics.mean_ap:.4f}"
        )
    elif step.stage == "load" and step.message and step.done == step.total:
        warn(step.message)
    elif step.stage == "advice":
        warn(f"{step.message} Use --rehearse {NOTHING} for that.")
