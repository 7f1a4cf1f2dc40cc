"""What a training run is told. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napari_seg.imaging.normalise import Normalisation
from napari_seg.training.augmentation import Augmentation

Target = Literal["interior-border", "foreground"]


@dataclass(frozen=True)
class TrainParams:
    """Parameters of a training run."""

    architecture: str = "unet"
    """Network to train."""
    arguments: dict[str, Any] | None = None
    """Arguments of the architecture; None takes its defaults, or those of `init`."""
    init: Path | None = None
    """Checkpoint to start from."""
    target: Target = "interior-border"
    """Classes to learn: background, interior and border of objects, or background and
    foreground with gaps between touching objects (the U-Net paper)."""
    object_diameter_px: float | None = None
    """Median object diameter (pixels) at which the network sees every image; None
    takes the median of the training images."""
    steps: int | None = None
    """Optimiser steps; training ends at the first of steps and minutes."""
    minutes: float | None = None
    """Minutes of training; 10 if neither steps nor minutes are given."""
    batch: int = 8
    """Patches in a step."""
    patch_px: int = 160
    """Side (pixels) of a patch."""
    learning_rate: float = 2e-3
    """Highest learning rate of AdamW; it warms up, then falls along a cosine."""
    weight_decay: float = 1e-2
    """Weight decay of AdamW."""
    w0: float = 10.0
    """Height of the border term of the weight map."""
    sigma_px: float = 5.0
    """Width (pixels) of the border term."""
    border_px: float = 2.0
    """Thickness (pixels) of the border class inside each object."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How patches are varied."""
    normalisation: Normalisation = field(default_factory=Normalisation)
    """Percentiles that become 0 and 1."""
    average_decay: float = 0.998
    """Decay of the running average of the weights, which is what is validated."""
    validate_every: int = 500
    """Steps between validations; the best weights are kept."""
    seed: int = 0
    """Same seed, data and thread count: same run."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    mixed_precision: bool = True
    """Compute in half precision (bfloat16 on the CPU) where the device has it."""
    resume: bool = False
    """Go on from the state saved beside the output, if it is there."""
    name: str = ""
    """Name on the card; the output's file name if empty."""
    description: str = ""
    """One line for the model list."""
    training_data: str = ""
    """Data and attribution for the card."""
    licence: str = ""
    """Licence of the weights for the card."""
    command: str = ""
    """The command line, for the card."""
