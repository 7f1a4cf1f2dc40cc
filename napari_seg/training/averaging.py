"""The mean of the weights of several runs, with thresholds and scores of its own."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_seg.models.checkpoint import load_model, save_checkpoint
from napari_seg.models.soup import mean_of_weights
from napari_seg.training.finish import iter_finish
from napari_seg.training.params import TrainParams
from napari_seg.training.sources import Reading, iter_read, marked_sides
from napari_seg.training.split import split_planes
from napari_seg.training.trainer import Data, find_sources
from napari_seg.training.validation import evenly
from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.models.checkpoint import Checkpoint


def iter_average(
    models: Sequence[str | Path],
    dataset: Data,
    out: str | Path,
    *,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    command: str = "",
    device: str = "auto",
) -> Generator[Progress, None, Checkpoint]:
    """Average the weights of models, calibrate the mean, and write it.

    Parameters
    ----------
    models : sequence of str or Path
        Names or checkpoints; see `mean_of_weights`.
    dataset : str, Path, Source, or a sequence of them
        As for `train`: thresholds and scores are those of its validation images.
    out : str or Path
        Checkpoint to write, ``.safetensors``.
    shares : sequence of float, optional
        Of each model in the mean.
    seed : int
        That of the runs: where the data are not parted, it parts them as theirs did.
    command : str
        The command line, for the card.
    device : str
        Where the validation images are segmented; see `TrainParams`.

    Yields
    ------
    Progress
        Stages ``"load"``, ``"calibrate"`` and ``"validate"``.
    """
    mean = mean_of_weights([load_model(model) for model in models], shares)
    card = mean.card
    # Only objects are scored, so what lies beside them is not read.
    reading = Reading(card.in_channels, card.normalisation, volumes=card.ndim == 3)
    sources = find_sources(dataset)
    planes = yield from iter_read(sources, reading)
    split = split_planes(planes, marked_sides(sources), seed=seed)
    if split.note:
        yield Progress("load", len(sources), len(sources), message=split.note)
    mean = replace(mean, card=replace(card, name=Path(out).stem, command=command))
    held_out = evenly(split.val, TrainParams.most_validated)
    best = yield from iter_finish([mean], split.train, held_out, device=device)
    save_checkpoint(Path(out), best.network, best.card)
    return load_model(out)
