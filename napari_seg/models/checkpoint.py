"""Checkpoints: one safetensors file with the tensors and the model's card."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_seg.errors import CheckpointError
from napari_seg.files import atomic_path
from napari_seg.models.card import Card, read_card
from napari_seg.models.catalogue import find_checkpoint
from napari_seg.models.registry import build_network

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Checkpoint:
    """A network with its card, ready to run."""

    network: nn.Module
    """In evaluation mode, float32, on the CPU."""
    card: Card
    """What the network is and was trained on."""
    path: Path | None = None
    """The file it came from."""
    sha256: str = ""
    """Hash of that file, for provenance."""


def build_from_card(card: Card, **options: Any) -> nn.Module:
    """Untrained network of the architecture and arguments a card names.

    Parameters
    ----------
    card : Card
    **options
        Further arguments of the architecture, which need not be known to load it.
    """
    return build_network(
        card.architecture,
        in_channels=card.in_channels,
        num_classes=len(card.classes),
        ndim=card.ndim,
        **card.arguments,
        **options,
    )


def load_model(name_or_path: str | Path) -> Checkpoint:
    """Load a checkpoint by name or from a file.

    Parameters
    ----------
    name_or_path : str or Path
        A name of `list_models`, or a ``.safetensors`` file.

    Raises
    ------
    UnknownModelError
        If there is none of that name.
    CheckpointError
        If the file is damaged, foreign, too new, or does not fit its card.
    """
    path = find_checkpoint(name_or_path)
    card = read_card(path)
    try:
        tensors = load_file(path)
        with torch.random.fork_rng(devices=[]):  # drawn only to be overwritten
            network = build_from_card(card)
        network.load_state_dict({k: _widen(v) for k, v in tensors.items()})
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint {path} does not hold the network its card names",
            str(error).splitlines()[0],
            "Train or download it again.",
        ) from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Checkpoint(network.eval(), card, path, digest)


def save_checkpoint(
    path: str | Path, network: nn.Module, card: Card, *, half: bool = True
) -> Path:
    """Write a checkpoint atomically.

    Parameters
    ----------
    path : str or Path
        Ends in ``.safetensors``; an existing file is replaced only when the new one
        is complete.
    network : torch.nn.Module
    card : Card
    half : bool
        Store floating point weights in half precision.

    Returns
    -------
    Path
    """
    tensors = {
        name: (_narrow(value) if half else value).detach().cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"card": card.to_json()})
    return Path(path)


def _narrow(value: torch.Tensor) -> torch.Tensor:
    return value.half() if value.is_floating_point() else value


def _widen(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.is_floating_point() else value
