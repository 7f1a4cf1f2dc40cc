"""The training loop: a generator that yields progress and returns a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Subset

from napari_seg import __version__
from napari_seg.errors import DatasetError
from napari_seg.imaging.metrics import Metrics
from napari_seg.inference.device import choose_device
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import Checkpoint, load_model, save_checkpoint
from napari_seg.models.registry import ARCHITECTURES, build_network
from napari_seg.training.losses import weighted_cross_entropy
from napari_seg.training.pairs import TrainingPair, read_pairs, split_folders
from napari_seg.training.params import TrainParams
from napari_seg.training.sampling import Patch, PatchDataset
from napari_seg.training.state import Progression, load_state, save_state
from napari_seg.training.targets import INTERIOR_BORDER
from napari_seg.training.validation import validate
from napari_seg.types import Progress, run

DEFAULT_MINUTES = 10.0
WARM_UP = 0.03
"""Share of the run in which the learning rate rises."""
VALIDATION_SHARE = 0.15
"""Share of the pairs held out where the data set names no validation set."""


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
    channels = start.card.in_channels if start else None
    options: dict[str, Any] = {"normalisation": params.normalisation}
    pairs = read_pairs(train_dir, in_channels=channels, **options)
    held_out = (
        read_pairs(val_dir, in_channels=pairs[0].image.shape[0], **options)
        if val_dir
        else None
    )
    if held_out is None:
        pairs, held_out = _hold_out(pairs, params.seed)
    yield Progress("load", 1, 1)
    return (yield from iter_train_pairs(pairs, held_out, out, params, start=start))


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
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(params.seed)
    device = choose_device(params.device).name
    card = _card(pairs, params, out, start)
    network = start.network if start else _build(card)
    network = network.to(device, memory_format=torch.channels_last)
    average = AveragedModel(
        network, avg_fn=_average(params.average_decay), use_buffers=True
    )
    optimiser = torch.optim.AdamW(
        network.parameters(), params.learning_rate, weight_decay=params.weight_decay
    )
    done = (
        load_state(out, network, average, optimiser)
        if params.resume
        else Progression()
    )
    steps = params.steps or _many(params)
    patches = PatchDataset(
        pairs, params, card.object_diameter_px, steps * params.batch
    )
    clock = time.monotonic() - done.elapsed_s
    for patch in _batches(patches, params, done.step):
        rate = _schedule(_fraction(done, params))
        for group in optimiser.param_groups:
            group["lr"] = params.learning_rate * rate
        loss = _step(network, optimiser, patch, device, params)
        average.update_parameters(network)
        done.step += 1
        done.elapsed_s = time.monotonic() - clock
        metrics = None
        finished = _fraction(done, params) >= 1
        if finished or done.step % params.validate_every == 0:
            metrics = validate(
                average.module,
                held_out,
                card.classes,
                card.object_diameter_px,
                device=device,
                half=_half(device, params),
            )
            _keep_best(out, average.module, card, metrics, done)
            save_state(out, network, average, optimiser, done)
            done.elapsed_s = time.monotonic() - clock
        yield _progress(done, params, loss, metrics)
        if finished:
            break
    return load_model(out)


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    patch: Patch,
    device: str,
    params: TrainParams,
) -> float:
    network.train()
    image, classes, weights = (tensor.to(device) for tensor in patch)
    image = image.contiguous(memory_format=torch.channels_last)
    with torch.autocast(
        torch.device(device).type, torch.bfloat16, enabled=_half(device, params)
    ):
        logits = network(image)["out"]
    margin = int(getattr(network, "margin", 0))
    if margin:
        inner = (slice(None), *(slice(margin, -margin),) * 2)
        classes, weights = classes[inner], weights[inner]
    loss = weighted_cross_entropy(logits, classes, weights)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


def _batches(
    patches: PatchDataset, params: TrainParams, first_step: int
) -> Iterator[Patch]:
    rest = Subset(patches, range(first_step * params.batch, len(patches)))
    return iter(
        DataLoader(
            rest,
            batch_size=params.batch,
            num_workers=1,
            persistent_workers=False,
            prefetch_factor=4,
        )
    )


def _card(
    pairs: Sequence[TrainingPair],
    params: TrainParams,
    out: Path,
    start: Checkpoint | None,
) -> Card:
    if not pairs:
        raise DatasetError("There is nothing to learn from", "no training images")
    text = {
        "name": params.name or out.stem,
        "description": params.description,
        "training_data": params.training_data,
        "licence": params.licence,
        "command": params.command,
        "software_version": __version__,
        "scores": {},
    }
    if start is not None:
        return replace(start.card, **text)
    sizes = [pair.diameter_px for pair in pairs if pair.diameter_px > 0]
    arguments = params.arguments
    if arguments is None and params.architecture in ARCHITECTURES:
        arguments = ARCHITECTURES[params.architecture].training_arguments
    return Card(
        architecture=params.architecture,
        arguments=dict(arguments or {}),
        in_channels=pairs[0].image.shape[0],
        classes=(
            INTERIOR_BORDER
            if params.target == "interior-border"
            else ("background", "foreground")
        ),
        decoder=params.target,
        normalisation=params.normalisation,
        object_diameter_px=params.object_diameter_px
        or (float(np.median(sizes)) if sizes else 20.0),
        **text,  # type: ignore[arg-type]
    )


def _build(card: Card) -> nn.Module:
    return build_network(
        card.architecture,
        in_channels=card.in_channels,
        num_classes=len(card.classes),
        ndim=card.ndim,
        **card.arguments,
    )


def _keep_best(
    out: Path, network: nn.Module, card: Card, metrics: Metrics, done: Progression
) -> None:
    score = (metrics.average_precision(0.5) + metrics.mean_ap) / 2
    if score <= done.best_score:
        return
    done.best_score = score
    scores = {
        key: round(float(value), 4)
        for key, value in metrics.as_dict().items()
        if key.startswith(("ap_", "mean_ap", "pq"))
    }
    save_checkpoint(out, network, replace(card, scores=scores))


def _hold_out(
    pairs: list[TrainingPair], seed: int
) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """Split by source image, so that planes of one stack stay together."""
    sources = sorted({_source(pair) for pair in pairs})
    n_val = max(1, round(len(sources) * VALIDATION_SHARE))
    if len(sources) < 2:
        return pairs, pairs
    chosen = set(np.random.default_rng(seed).permutation(sources)[:n_val])
    kept = [pair for pair in pairs if _source(pair) not in chosen]
    return kept, [pair for pair in pairs if _source(pair) in chosen]


def _source(pair: TrainingPair) -> str:
    return pair.source


def _many(params: TrainParams) -> int:
    # A run bounded by time alone: more steps than any machine makes in that time.
    return int((params.minutes or DEFAULT_MINUTES) * 60 * 1000)


def _fraction(done: Progression, params: TrainParams) -> float:
    by_step = done.step / params.steps if params.steps else 0.0
    minutes = params.minutes or (None if params.steps else DEFAULT_MINUTES)
    by_time = done.elapsed_s / (60 * minutes) if minutes else 0.0
    return max(by_step, by_time)


def _schedule(fraction: float) -> float:
    if fraction < WARM_UP:
        return max(fraction / WARM_UP, 0.01)
    cosine = math.cos(math.pi * min((fraction - WARM_UP) / (1 - WARM_UP), 1.0))
    return max(0.5 * (1 + cosine), 0.001)


def _average(decay: float) -> Any:
    def average(old: torch.Tensor, new: torch.Tensor, count: int) -> torch.Tensor:
        # Early on the average must forget the random start.
        weight = max(1 - decay, 1 / (1 + float(count) / 3))
        return old + (new - old) * weight if old.is_floating_point() else new

    return average


def _half(device: str, params: TrainParams) -> bool:
    if not params.mixed_precision or device == "mps":
        return False
    if device == "cpu":
        return bool(torch.backends.cpu.get_cpu_capability() == "AVX512") and bool(
            torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
    return torch.cuda.is_bf16_supported()


def _progress(
    done: Progression, params: TrainParams, loss: float, metrics: Metrics | None
) -> TrainProgress:
    fraction = _fraction(done, params)
    remaining = done.elapsed_s * (1 - fraction) / fraction if fraction else math.nan
    total = params.steps or max(done.step, round(done.step / max(fraction, 1e-6)))
    return TrainProgress(
        "train", done.step, total, loss=loss, metrics=metrics, remaining_s=remaining
    )
