"""One sitting of a run: the network, its average, its optimiser, one step of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from napari_seg.errors import DeviceError
from napari_seg.inference.device import choose_device, is_out_of_memory
from napari_seg.inference.precision import half_type
from napari_seg.models.averaged import FAST_LAYOUTS
from napari_seg.models.checkpoint import Checkpoint, save_checkpoint
from napari_seg.models.registry import find_architecture
from napari_seg.training.describe import with_scores
from napari_seg.training.objectives import make_objective
from napari_seg.training.schedule import fraction_done, rate_factor, running_average
from napari_seg.training.state import Progression, load_state, save_state
from napari_seg.training.validation import total_score

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from napari_seg.imaging.metrics import Metrics
    from napari_seg.models.card import Card
    from napari_seg.training.params import TrainParams
    from napari_seg.training.patch import Patch
    from napari_seg.training.rehearsal import Teacher

MAX_GRADIENT = 5.0
"""Norm to which gradients are clipped."""


class Sitting:
    """What a run changes from step to step, and what it leaves on disk.

    Parameters
    ----------
    card : Card
        Of the checkpoint that is written.
    network : torch.nn.Module
        Trained in place.
    out : Path
        The checkpoint.
    params : TrainParams
    teacher : Teacher, optional
        Holds the network to its old answers where it rehearses.
    """

    def __init__(
        self,
        card: Card,
        network: nn.Module,
        out: Path,
        params: TrainParams,
        teacher: Teacher | None = None,
    ) -> None:
        self.card = card
        self.out = out
        self.params = params
        self.device = choose_device(params.device).name
        mixed = params.mixed_precision
        self.half = half_type(self.device, network) if mixed else None
        self.objective = make_objective(card, params)
        self.network = network.to(self.device)
        self.teacher = teacher
        if teacher is not None:
            teacher.network.to(self.device)
        self.network.to(memory_format=FAST_LAYOUTS[card.ndim])
        self.average = AveragedModel(
            self.network,
            avg_fn=running_average(params.average_decay),
            use_buffers=True,
        )
        if params.freeze_norm:
            freeze_norm(self.network)
        self.optimiser = build_optimiser(self.network, params)
        self.rate = 0.0
        self._pace = find_architecture(card.architecture).rate
        self.done = (
            load_state(out, self.network, self.average, self.optimiser)
            if params.resume
            else Progression()
        )

    def step(self, patch: Patch, rehearsed: Patch | None = None) -> float:
        """One step of the optimiser.

        Parameters
        ----------
        patch : (Tensor, Tensor, Tensor)
            New data: images, what the objective makes of the labels, weights.
        rehearsed : (Tensor, Tensor, Tensor), optional
            Old data; images of one channel are repeated for networks of several.

        Returns
        -------
        float
            The loss.
        """
        self.rate = self._set_rate()
        self.network.train()
        if self.params.freeze_norm:
            freeze_norm(self.network)
        # Seeded step by step: a resumed run draws the dropout it would have drawn, and
        # whoever else uses torch's random numbers is not disturbed.
        self.optimiser.zero_grad(set_to_none=True)
        with self._seeded(), _memory_explained(self.device):
            with self._autocast():
                loss = self._forward(patch, rehearsed)
            loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.done.step += 1
        return float(loss.detach())

    def _forward(self, patch: Patch, rehearsed: Patch | None) -> Tensor:
        return self.objective.loss(
            self.network, patch, rehearsed, self.teacher, self.device
        )

    def _set_rate(self) -> float:
        factor = self._pace * rate_factor(fraction_done(self.done, self.params))
        for group in self.optimiser.param_groups:
            group["lr"] = group["full_rate"] * factor
        return self.params.learning_rate * factor

    def _seeded(self) -> AbstractContextManager[None]:
        return _Seeded(self.params.seed * 1_000_003 + self.done.step, self.device)

    def _autocast(self) -> torch.autocast:
        kind = torch.device(self.device).type
        return torch.autocast(kind, self.half, enabled=self.half is not None)

    def checkpoint(self) -> Checkpoint:
        """Averaged weights, which are what is validated."""
        return Checkpoint(self.average.module.eval(), self.card)

    def last(self) -> list[Checkpoint]:
        """Averaged weights of the last step; none if they are the best anyway."""
        if not self.done.stale:
            return []
        return [Checkpoint(self.average.module.cpu().eval(), self.card)]

    def take(self, metrics: Metrics) -> None:
        """Keep the averaged weights if they are the best, and save the state."""
        if total_score(metrics) > self.done.best_score:
            self.done.best_score = total_score(metrics)
            self.done.stale = 0
            card = with_scores(self.card, metrics)
            save_checkpoint(self.out, self.average.module, card)
        else:
            self.done.stale += 1
        self.save()

    def stop(self) -> None:
        """Keep what there is, so that `resume` goes on from this very step."""
        if self.done.best_score < 0:
            # Not validated yet: unscored weights are better than none.
            save_checkpoint(self.out, self.average.module, self.card)
        self.save()

    def save(self) -> None:
        """Save the state beside the output."""
        save_state(self.out, self.network, self.average, self.optimiser, self.done)

    def release(self) -> None:
        """Give the memory of the device back to others."""
        self.network = self.average.module = nn.Identity()
        self.teacher = None
        self.optimiser.state.clear()
        self.optimiser.param_groups.clear()
        if torch.device(self.device).type == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def _memory_explained(device: str) -> Iterator[None]:
    """Say what helps when the memory of the device does not suffice."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            f"The memory of {device} does not suffice for this training",
            str(error).splitlines()[0],
            "Choose a smaller batch or patch, or train on the CPU.",
        ) from error


class _Seeded(AbstractContextManager[None]):
    """Random numbers of torch from a seed, and afterwards as they were before."""

    def __init__(self, seed: int, device: str) -> None:
        kind = torch.device(device)
        devices = [kind] if kind.type == "cuda" else []
        self._fork = torch.random.fork_rng(devices=devices)
        self._seed = seed

    def __enter__(self) -> None:
        self._fork.__enter__()
        torch.manual_seed(self._seed)

    def __exit__(self, *error: object) -> None:
        self._fork.__exit__(None, None, None)


def freeze_norm(network: nn.Module) -> None:
    """Keep the statistics and the scale of every batch normalisation as they are."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
            module.requires_grad_(False)


def build_optimiser(network: nn.Module, params: TrainParams) -> Optimizer:
    """Optimiser with the encoder's own learning rate, ``full_rate`` of each group."""
    encoder: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            (encoder if name.startswith("encoder.") else rest).append(parameter)
    rate = params.learning_rate
    groups = [
        {"params": rest, "lr": rate, "full_rate": rate},
        {
            "params": encoder,
            "lr": rate * params.encoder_rate,
            "full_rate": rate * params.encoder_rate,
        },
    ]
    groups = [group for group in groups if group["params"]]
    if params.optimiser == "sgd":
        return torch.optim.SGD(
            groups, momentum=params.momentum, weight_decay=params.weight_decay
        )
    return torch.optim.AdamW(groups, weight_decay=params.weight_decay)
