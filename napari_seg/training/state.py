"""A run's state on disk, so that a stopped or killed training can go on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_seg.errors import CheckpointError
from napari_seg.files import atomic_path

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.swa_utils import AveragedModel


READ_ERRORS = (
    RuntimeError,
    KeyError,
    TypeError,
    ValueError,
    EOFError,
    UnpicklingError,
)
"""What torch raises for files that are damaged or of another network."""


@dataclass
class Progression:
    """How far a run has come."""

    step: int = 0
    """Steps done."""
    elapsed_s: float = 0.0
    """Seconds of training, over all sittings."""
    best_score: float = -1.0
    """Best validation score so far; -1 before the first."""
    stale: int = 0
    """Validations since the best one."""


def state_path(out: Path) -> Path:
    """Where the state of a run with this output lies."""
    return out.with_name(out.name + ".state")


def save_state(
    out: Path,
    network: nn.Module,
    average: AveragedModel,
    optimiser: Optimizer,
    progression: Progression,
) -> None:
    """Write the state atomically beside the output."""
    state: dict[str, Any] = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "progression": vars(progression),
    }
    with atomic_path(state_path(out)) as temporary:
        torch.save(state, temporary)


def load_state(
    out: Path, network: nn.Module, average: AveragedModel, optimiser: Optimizer
) -> Progression:
    """Restore a run; a fresh `Progression` if there is no state."""
    path = state_path(out)
    if not path.is_file():
        return Progression()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        return Progression(**state["progression"])
    except READ_ERRORS as error:
        raise CheckpointError(
            f"The training state {path} does not fit this run",
            str(error).splitlines()[0],
            "Resume with the same architecture, or delete the file to start anew.",
        ) from error
