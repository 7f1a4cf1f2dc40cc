"""What the Train panel asks for, and the training it stands for."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_seg.models.registry import ARCHITECTURES
from napari_seg.training.params import SAMPLES, TrainParams

SCRATCH = ""
"""Start of a training that starts from nothing."""

PRESETS: Mapping[str, str] = {
    "quick": "Quick on CPU",
    "thorough": "Thorough",
    "gpu": "On GPU",
}
"""Presets of `TrainParams` that the panel offers, and what it calls them."""

_LIVE: Mapping[str, Mapping[str, Any]] = {
    "quick": {"validate_every": 50, "most_validated": 8},
    "thorough": {"validate_every": 200, "most_validated": 24},
    "gpu": {"validate_every": 250, "most_validated": 24},
}
"""Somebody watches: news comes oftener, from fewer planes."""


class TrainState(enum.Enum):
    """Where a training is in its life."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    """It scores what it has learned."""
    ENDING = "ending"
    """It was told to leave even that."""
    DONE = "done"
    FAILED = "failed"

    @property
    def is_active(self) -> bool:
        """Whether there is a training, at work or paused."""
        return self in _ACTIVE


_ACTIVE = {
    TrainState.RUNNING,
    TrainState.PAUSED,
    TrainState.STOPPING,
    TrainState.ENDING,
}


class Counts(enum.Enum):
    """What of some labels is believed; the rest is neither cell nor background."""

    ALL = "All objects"
    OBJECTS = "Only objects marked correct"
    PLANES = "Only planes marked correct"


@dataclass(frozen=True)
class TrainAdvanced:
    """Settings that a preset chooses; each docstring is the tooltip of its field."""

    minutes: float = 5.0
    """Minutes of training; pauses do not count. 0: no limit of time."""
    steps: int = 0
    """Steps of training; it ends at the first of minutes and steps. 0: no limit."""
    learning_rate: float = 1e-3
    """How far a step goes. Lower it if the loss jumps about."""
    rehearse: bool = True
    """Go on doing what the model could do before: samples are repeated, and only part
    of it changes. Off, it learns another kind of images better, and may forget all
    others."""
    w0: float = 10.0
    """Height of the border weights: how much the gaps between touching objects
    count."""
    sigma_px: float = 5.0
    """Width of the border weights, in pixels."""
    elastic_px: float = 3.0
    """How far images are deformed at random, in pixels; 10 in the U-Net paper."""
    batch: int = 4
    """Patches in a step. Fewer need less memory."""
    patch_px: int = 128
    """Side of a patch, in pixels of the network. Smaller ones need less memory."""
    volumes: bool = False
    """Learn stacks as volumes: objects are then found in three dimensions, and not
    plane by plane. Takes longer, and needs objects that are correct in all planes."""
    validate_every: int = 50
    """Steps after which the model is scored; the best one is kept."""

    @classmethod
    def of(cls, preset: str, start: str) -> TrainAdvanced:
        """Return what a preset chooses, for a start from a model or from nothing."""
        params = _preset(preset, start)
        return cls(
            minutes=params.minutes or 0.0,
            steps=params.steps or 0,
            learning_rate=params.learning_rate,
            rehearse=SAMPLES in params.rehearse,
            w0=params.w0,
            sigma_px=params.sigma_px,
            elastic_px=params.augmentation.elastic_px,
            batch=params.batch,
            patch_px=params.patch_px,
            validate_every=params.validate_every,
        )


FROM_A_MODEL = frozenset({"rehearse"})
"""Advanced settings without effect on a training from scratch."""
OF_VOLUMES = frozenset({"volumes"})
"""Those that only a new network with three dimensions can follow."""
OF_PIXELS = frozenset({"w0", "sigma_px"})
"""Those without effect on a network that finds objects."""

ADVANCED_RANGES: Mapping[str, tuple[float, float]] = {
    "minutes": (0, 10_000),
    "steps": (0, 10_000_000),
    "learning_rate": (1e-6, 1.0),
    "w0": (0, 1000),
    "sigma_px": (0.1, 200),
    "elastic_px": (0, 50),
    "batch": (1, 256),
    "patch_px": (16, 1024),
    "validate_every": (1, 100_000),
}
"""Smallest and largest value of each number of `TrainAdvanced`."""


@dataclass
class TrainSettings:
    """What the Train panel shows; each docstring is the tooltip of its field."""

    start: str = "nuclei-unet"
    """The model that goes on learning. From scratch needs more images and time."""
    architecture: str = "unet"
    """The network that is trained from scratch. The U-Net is the one to begin with."""
    name: str = ""
    """Name of the new model in the list of models."""
    preset: str = "quick"
    """How long and with what effort it is trained; see Advanced."""
    advanced: TrainAdvanced = field(default_factory=TrainAdvanced)

    def take_preset(self) -> None:
        """Fill the advanced settings from preset and start."""
        self.advanced = TrainAdvanced.of(self.preset, self.start)

    def params(self, **others: Any) -> TrainParams:
        """Build the parameters of the core.

        Parameters
        ----------
        **others
            Fields of `TrainParams` that the panel has no editor for.
        """
        own = self.advanced
        base = _preset(self.preset, self.start, may_forget=not own.rehearse)
        has_start = self.start != SCRATCH
        can_volumes = 3 in ARCHITECTURES[self.architecture].ndims
        return replace(
            base,
            name=self.name,
            architecture=self.architecture,
            ndim=3 if own.volumes and not has_start and can_volumes else 2,
            minutes=own.minutes or None,
            steps=own.steps or None,
            learning_rate=own.learning_rate,
            w0=own.w0,
            sigma_px=own.sigma_px,
            augmentation=replace(base.augmentation, elastic_px=own.elastic_px),
            batch=own.batch,
            patch_px=own.patch_px,
            validate_every=own.validate_every,
            **others,
        )


def _preset(name: str, start: str, *, may_forget: bool = False) -> TrainParams:
    init = Path(start) if start != SCRATCH else None
    choice: dict[str, Any] = {"rehearse": ()} if may_forget else {}
    return TrainParams.preset(name, init=init, **choice, **_LIVE[name])
