"""The training loop: a generator that yields progress and returns a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Subset

from napari_seg.inference.device import choose_device
from napari_seg.models.checkpoint import (
    Checkpoint,
    build_from_card,
    load_model,
    save_checkpoint,
)
from napari_seg.training.describe import make_card, with_scores
from napari_seg.training.losses import weighted_cross_entropy
from napari_seg.training.pairs import (
    TrainingPair,
    hold_out,
    read_pairs,
    split_folders,
)
from napari_seg.training.params import TrainParams
from napari_seg.training.precision import half_type
from napari_seg.training.sampling import Patch, PatchDataset
from napari_seg.training.schedule import (
    fraction_done,
    most_steps,
    rate_factor,
    running_average,
)
from napari_seg.training.state import Progression, load_state, save_state
from napari_seg.training.validation import iter_calibrate, total_score, validate
from napari_seg.types import Progress, run

if TYPE_CHECKING:
    from napari_seg.imaging.metrics import Metrics
    from napari_seg.models.card import Card


@dataclass(frozen=True)
class TrainProgress(Progress):
    """One training step."""

    loss: float = math.nan
    """Training loss of this step."""
    metrics: Metrics | None = None
    """Validation metrics, at the steps that validate."""
    remaining_s: float = math.nan
    """Estimated seconds to the end."""


def train(dataset: str | Path, *, out: str | Path, **fields: Any) -> Checkpoint:
    """Train a network on a data set and write its checkpoint.

    Parameters
    ----------
    dataset : str or Path
        Folder with ``images/`` and ``labels/`` (or ``masks/``) paired by file stem,
        optionally inside ``train/`` and ``val/``.
    out : str or Path
        Checkpoint to write, ``.safetensors``.
    **fields
        Fields of `TrainParams`, e.g. ``minutes=5`` or ``init="nuclei-unet"``.

    Returns
    -------
    Checkpoint
        The weights that scored best in validation.
    """
    return run(iter_train(dataset, out, TrainParams(**fields)))


def iter_train(
    dataset: str | Path, out: str | Path, params: TrainParams
) -> Generator[Progress, None, Checkpoint]:
    """Train from a folder; see `train`. Closing the generator stops and keeps."""
    yield Progress("load", 0, 1)
    train_dir, val_dir = split_folders(dataset)
    start = load_model(params.init) if params.init else None
    norm = start.card.normalisation if start else params.normalisation
    channels = start.card.in_channels if start else None
    pairs = read_pairs(train_dir, in_channels=channels, normalisation=norm)
    if val_dir:
        channels = pairs[0].image.shape[0]
        val = read_pairs(val_dir, in_channels=channels, normalisation=norm)
    else:
        pairs, val = hold_out(pairs, params.seed)
    yield Progress("load", 1, 1)
    return (yield from iter_train_pairs(pairs, val, out, params, start=start))


def iter_train_pairs(
    pairs: Sequence[TrainingPair],
    held_out: Sequence[TrainingPair],
    out: str | Path,
    params: TrainParams,
    *,
    start: Checkpoint | None = None,
) -> Generator[Progress, None, Checkpoint]:
    """Train on pairs in memory.

    Yields
    ------
    TrainProgress
        After every step; at validations with metrics. The checkpoint at `out` is
        always the best so far, and the state beside it lets the run be resumed.
        At the end the thresholds that score best are found. A run that is stopped
        before its first validation leaves its weights there without scores.
    """
    out = Path(out)
    card = make_card(pairs, params, out, start.card if start else None)
    torch.manual_seed(params.seed)  # before the network draws its weights
    sitting = _Sitting(card, out, params)
    sitting.prepare(start.network if start else build_from_card(sitting.card))
    done = sitting.done
    patches = PatchDataset(
        pairs,
        params,
        sitting.card.object_diameter_px,
        most_steps(params) * params.batch,
    )
    clock = time.monotonic() - done.elapsed_s
    try:
        for patch in _batches(patches, params, done.step):
            loss = sitting.step(patch)
            done.elapsed_s = time.monotonic() - clock
            metrics = None
            finished = fraction_done(done, params) >= 1
            if finished or done.step % params.validate_every == 0:
                metrics = sitting.validate(held_out)
                done.elapsed_s = time.monotonic() - clock
            yield _progress(done, params, loss, metrics)
            if finished:
                break
    except (GeneratorExit, KeyboardInterrupt):
        sitting.stop()
        raise
    best = load_model(out)
    card = yield from iter_calibrate(best, held_out, device=sitting.device)
    metrics = validate(replace(best, card=card), held_out, device=sitting.device)
    save_checkpoint(out, best.network, with_scores(card, metrics))
    return load_model(out)


class _Sitting:
    """The network, its average and its optimiser in one sitting of a run."""

    def __init__(self, card: Card, out: Path, params: TrainParams) -> None:
        self.card = card
        self.out = out
        self.params = params
        self.device = choose_device(params.device).name
        self.half = half_type(self.device) if params.mixed_precision else None

    def prepare(self, network: nn.Module) -> None:
        params = self.params
        self.network = network.to(self.device)
        if self.card.ndim == 2:
            self.network.to(memory_format=torch.channels_last)
        self.average = AveragedModel(
            self.network,
            avg_fn=running_average(params.average_decay),
            use_buffers=True,
        )
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            params.learning_rate,
            weight_decay=params.weight_decay,
        )
        self.done = (
            load_state(self.out, self.network, self.average, self.optimiser)
            if params.resume
            else Progression()
        )

    def step(self, patch: Patch) -> float:
        """One step of the optimiser; returns its loss."""
        rate = rate_factor(fraction_done(self.done, self.params))
        for group in self.optimiser.param_groups:
            group["lr"] = self.params.learning_rate * rate
        self.network.train()
        image, classes, weights = (tensor.to(self.device) for tensor in patch)
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast(
            torch.device(self.device).type, self.half, enabled=self.half is not None
        ):
            logits = self.network(image)["out"]
        margin = int(getattr(self.network, "margin", 0))
        if margin:
            inner = (slice(None), *(slice(margin, -margin),) * 2)
            classes, weights = classes[inner], weights[inner]
        loss = weighted_cross_entropy(logits, classes, weights)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.done.step += 1
        return float(loss.detach())

    def stop(self) -> None:
        """Keep what there is, so that `resume` goes on from this very step."""
        if self.done.best_score < 0:
            # Not validated yet: unscored weights are better than none.
            save_checkpoint(self.out, self.average.module, self.card)
        save_state(self.out, self.network, self.average, self.optimiser, self.done)

    def validate(self, pairs: Sequence[TrainingPair]) -> Metrics:
        """Score the averaged weights; keep them if best, and save the state."""
        checkpoint = Checkpoint(self.average.module.eval(), self.card)
        metrics = validate(checkpoint, pairs, device=self.device)
        if total_score(metrics) > self.done.best_score:
            self.done.best_score = total_score(metrics)
            card = with_scores(self.card, metrics)
            save_checkpoint(self.out, checkpoint.network, card)
        save_state(self.out, self.network, self.average, self.optimiser, self.done)
        return metrics


def _batches(
    patches: PatchDataset, params: TrainParams, first_step: int
) -> Iterator[Patch]:
    rest = Subset(patches, range(first_step * params.batch, len(patches)))
    # One process makes patches while the other cores compute.
    loader = DataLoader(rest, params.batch, num_workers=1, prefetch_factor=4)
    return iter(loader)


def _progress(
    done: Progression, params: TrainParams, loss: float, metrics: Metrics | None
) -> TrainProgress:
    fraction = fraction_done(done, params)
    remaining = done.elapsed_s * (1 - fraction) / fraction if fraction else math.nan
    total = params.steps or max(done.step, round(done.step / max(fraction, 1e-6)))
    return TrainProgress(
        "train", done.step, total, loss=loss, metrics=metrics, remaining_s=remaining
    )
