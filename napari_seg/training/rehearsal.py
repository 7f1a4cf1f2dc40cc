"""What a network learned before, repeated so that fine-tuning does not erase it."""

from __future__ import annotations

import copy
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_seg.data.samples import SAMPLES, read_sample, read_sample_truth
from napari_seg.training.folders import folder_sources
from napari_seg.training.losses import distillation
from napari_seg.training.params import SAMPLES as SHIPPED
from napari_seg.training.sources import ArraySource, Reading, Source, iter_read

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.training.pairs import TrainingPlane
    from napari_seg.training.params import TrainParams
    from napari_seg.types import Progress


def rehearsal_sources(names: tuple[str | Path, ...]) -> list[Source]:
    """Find what shall be rehearsed.

    Parameters
    ----------
    names : tuple of str or Path
        ``"samples"``, for the labelled 2D samples of the package, or folders.
    """
    sources: list[Source] = []
    for name in names:
        if str(name) == SHIPPED:
            sources += _samples()
        else:
            sources += folder_sources(name)
    return sources


def iter_read_rehearsal(
    start: Checkpoint, params: TrainParams
) -> Generator[Progress, None, list[TrainingPlane]]:
    """Read what shall be rehearsed, as the starting network sees it."""
    card = start.card
    reading = Reading(card.in_channels, card.normalisation)
    sources = rehearsal_sources(params.rehearse)
    return (yield from iter_read(sources, reading))


def _samples() -> list[Source]:
    found: list[Source] = []
    for sample in SAMPLES:
        image = read_sample(sample.key) if sample.has_truth else None
        # Networks of one plane rehearse planes.
        if image is not None and "Z" not in image.axes:
            truth = read_sample_truth(sample.key).array
            found.append(ArraySource(image.array, truth, sample.key, image.axes))
    return found


@dataclass
class Teacher:
    """The network as it was before; the new one is held to its answers."""

    network: nn.Module
    """Frozen."""

    @classmethod
    def of(cls, network: nn.Module) -> Teacher:
        """Remember a network as it is now."""
        frozen = copy.deepcopy(network).eval()
        frozen.requires_grad_(False)
        return cls(frozen)

    def loss(self, images: Tensor, logits: Tensor) -> Tensor:
        """How far the new network's logits are from the old network's."""
        with torch.no_grad():
            old: Tensor = self.network(images)["out"]
        return distillation(logits, old)


def as_channels(image: Tensor, channels: int) -> Tensor:
    """Repeat grey images (N, 1, ...) for a network of several channels."""
    if image.shape[1] == channels:
        return image
    return image[:, :1].expand(-1, channels, *image.shape[2:])
