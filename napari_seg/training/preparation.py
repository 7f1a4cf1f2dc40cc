"""What a run needs before its first step: networks, patches, threads."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_seg.errors import DatasetError
from napari_seg.inference.ahead import map_ahead
from napari_seg.models.checkpoint import build_from_card
from napari_seg.models.registry import ARCHITECTURES, find_architecture
from napari_seg.models.transfer import transfer_weights
from napari_seg.training.augmentation import Augmentation
from napari_seg.training.objectives import make_objective
from napari_seg.training.rehearsal import Teacher
from napari_seg.training.sampling import PatchDataset
from napari_seg.training.schedule import most_steps

if TYPE_CHECKING:
    from torch import nn

    from napari_seg.models.card import Card
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.training.pairs import TrainingPlane
    from napari_seg.training.params import TrainParams
    from napari_seg.training.patch import Patch


def build_networks(
    card: Card, start: Checkpoint | None, params: TrainParams
) -> tuple[nn.Module, Teacher | None]:
    """Network to train, and the one that remembers what it knew."""
    options = {"pretrained": True} if params.pretrained else {}
    _check_pretrained(card, start, params)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)  # the network draws its weights
        try:
            network = build_from_card(card, **options)
        except (TypeError, ValueError) as error:
            raise DatasetError(
                f"The network {card.architecture} cannot be built so",
                str(error),
                "Give it arguments that it has, or none.",
            ) from error
    if start is None:
        return network, None
    old = start.network.state_dict()
    if params.new_head:
        old = {name: value for name, value in old.items() if "head." not in name}
    fresh = transfer_weights(
        network,
        old,
        channels=(start.card.in_channels, card.in_channels),
        classes=(start.card.classes, card.classes),
    )
    # A network with new outputs has no old answers to be held to.
    has_answers = not fresh and make_objective(card, params).has_classes
    return network, Teacher.of(network) if has_answers and params.rehearse else None


def _check_pretrained(
    card: Card, start: Checkpoint | None, params: TrainParams
) -> None:
    if not params.pretrained:
        return
    if start is not None:
        raise DatasetError(
            "A run starts from a checkpoint or from a trained encoder, not from both",
            f"init {start.card.name} and pretrained",
            "Leave one of them out.",
        )
    if not find_architecture(card.architecture).pretrainable:
        able = [a.name for a in ARCHITECTURES.values() if a.pretrainable]
        raise DatasetError(
            f"There is no trained encoder for {card.architecture}",
            remedy=f"Choose one of {', '.join(able)}, or train without it.",
        )


def make_batches(
    pairs: Sequence[TrainingPlane],
    rehearsal: Sequence[TrainingPlane],
    params: TrainParams,
    card: Card,
    first_step: int,
) -> Generator[tuple[Patch, Patch | None], None, None]:
    """Batches made ahead, of new patches and of patches to rehearse."""
    old = round(params.batch * params.rehearse_share) if rehearsal else 0
    old = min(max(old, 1), params.batch - 1) if rehearsal and params.batch > 1 else old
    new = params.batch - old
    steps = most_steps(params)
    objective = make_objective(card, params)
    size = card.object_diameter_px
    patches = PatchDataset(pairs, params, size, steps * new, objective=objective)
    # What it knew was of all kinds; the few samples stand for it only if varied much.
    varied = replace(params, augmentation=Augmentation(), balance_classes=False)
    again = (
        PatchDataset(
            rehearsal, varied, size, steps * old, stream=1, objective=objective
        )
        if old
        else None
    )

    def make(step: int) -> tuple[Patch, Patch | None]:
        rehearsed = again.batch(step * old, old) if again is not None else None
        return patches.batch(step * new, new), rehearsed

    return map_ahead(make, range(first_step, steps), max(params.loaders, 1))


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads for a while; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
