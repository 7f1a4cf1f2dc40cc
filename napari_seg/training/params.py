"""What a training run is told. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_seg.errors import DatasetError
from napari_seg.imaging.normalise import Normalisation
from napari_seg.training.augmentation import Augmentation

if TYPE_CHECKING:
    from napari_seg.training.stuff import StuffClass

Target = Literal["interior-border", "foreground"]
Optimiser = Literal["adamw", "sgd"]

SAMPLES = "samples"
"""Rehearses the labelled nuclei that come with the package."""


@dataclass(frozen=True)
class TrainParams:
    """Parameters of a training run."""

    architecture: str = "unet"
    """Network to train. Of one that finds objects, target, loss, class balance and
    border weights are not looked at."""
    arguments: dict[str, Any] | None = None
    """Arguments of the architecture; None takes its defaults, or those of `init`."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Arguments that are set otherwise than these; not with `init`."""
    ndim: int = 2
    """2 learns from planes, 3 from volumes; with `init`, what that has counts."""
    init: Path | None = None
    """Checkpoint to start from."""
    target: Target = "interior-border"
    """Classes to learn: background, interior and border of objects, or background and
    foreground with gaps between touching objects (the U-Net paper)."""
    stuff: tuple[StuffClass, ...] = ()
    """Classes to learn beside the objects, from files in ``semantic/``."""
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
    patch_planes: int = 16
    """Planes of a patch of volumes."""
    optimiser: Optimiser = "adamw"
    """AdamW, or plain gradient descent with momentum (the U-Net paper)."""
    learning_rate: float = 2e-3
    """Highest learning rate; it warms up, then falls along a cosine."""
    weight_decay: float = 1e-2
    """Weight decay of the optimiser."""
    momentum: float = 0.99
    """Momentum of gradient descent; 0.99 with a batch of 1 in the U-Net paper."""
    loss: str = "cross-entropy"
    """Loss: cross-entropy, focal, dice, tversky, lovasz or, beside one of these, aaf
    (neighbours of one class shall agree); several joined by +."""
    pretrained: bool = False
    """Start from an encoder trained on photographs, where the architecture has one to
    be fetched; not with `init`."""
    aux_weight: float | None = None
    """Weight of the loss of auxiliary heads, where the network has any; None takes
    that of the architecture."""
    balance_classes: bool = False
    """Weigh rare classes up by median frequency."""
    hard_images: tuple[str, ...] = ()
    """Names of images that are drawn twice as often."""
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
    adapt_channels: bool = False
    """Take the images' channels instead of those of `init`, whose first layer is
    widened for them. Otherwise colour is turned to grey for a network of one channel,
    and of several channels the first are used."""
    new_head: bool = False
    """Start the last layer of `init` anew."""
    freeze_norm: bool = False
    """Keep the batch normalisation of `init` as it is: a few images have other
    statistics than all the images it was trained on."""
    encoder_rate: float = 1.0
    """Learning rate of the encoder, relative to that of the rest."""
    rehearse: tuple[str | Path, ...] = ()
    """What `init` shall not forget: ``samples`` or folders of pairs. The network is
    held to what `init` made of them; with other classes, to their labels."""
    rehearse_share: float = 0.25
    """Share of the patches of a step that rehearse."""
    rehearse_weight: float = 1.0
    """Weight of the loss of those patches."""
    patience: int | None = None
    """Stop early after so many validations without a better score."""
    average_decay: float = 0.998
    """Decay of the running average of the weights, which is what is validated."""
    validate_every: int = 500
    """Steps between validations; the best weights are kept."""
    save_every: int = 100
    """Steps after which the state is saved at the latest, for `resume`."""
    most_validated: int = 100
    """Planes to validate on at most; of more, evenly spaced ones are taken."""
    seed: int = 0
    """Same seed, data and thread count: same run."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    threads: int | None = None
    """Processor threads of the network; None leaves torch's number. A window wants
    one core left."""
    loaders: int = 1
    """Threads that make patches ahead."""
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

    @classmethod
    def preset(cls, name: str, **fields: Any) -> TrainParams:
        """Parameters for a purpose.

        Parameters
        ----------
        name : str
            ``"quick"`` (minutes on a processor), ``"thorough"`` (an hour), ``"gpu"``
            or ``"paper"`` (the U-Net paper's recipe).
        **fields
            What to set otherwise. With `init`, the presets but ``"paper"`` vary
            patches less. They also keep the batch normalisation, spare the encoder and
            rehearse the samples, so that it does not forget; not so where nothing is
            to be rehearsed (``rehearse=()``).

        Raises
        ------
        DatasetError
            For a name that is not in `PRESETS`.
        """
        if name not in PRESETS:
            raise DatasetError(
                f"There is no preset {name!r}",
                remedy=f"Choose one of {', '.join(PRESETS)}.",
            )
        chosen = dict(PRESETS[name])
        if fields.get("init") is not None and name != "paper":
            chosen |= FINE_TUNING
            if fields.get("rehearse", True):
                chosen |= REMEMBERING
        return cls(**(chosen | fields))

    @classmethod
    def quick_cpu(cls, **fields: Any) -> TrainParams:
        """Five minutes on a processor."""
        return cls.preset("quick", **fields)

    @classmethod
    def thorough(cls, **fields: Any) -> TrainParams:
        """Spend an hour on a processor."""
        return cls.preset("thorough", **fields)

    @classmethod
    def on_gpu(cls, **fields: Any) -> TrainParams:
        """Fifteen minutes with large batches on a graphics processor."""
        return cls.preset("gpu", **fields)

    @classmethod
    def paper(cls, **fields: Any) -> TrainParams:
        """Train as in the U-Net paper (2015): its network, loss and variations."""
        return cls.preset("paper", **fields)


FINE_TUNING: Mapping[str, Any] = {
    "learning_rate": 2e-3,
    "augmentation": Augmentation.gentle(),
    "average_decay": 0.99,
}
"""What the presets change when they start from a checkpoint."""

REMEMBERING: Mapping[str, Any] = {
    "freeze_norm": True,
    "encoder_rate": 0.5,
    "rehearse": (SAMPLES,),
    "rehearse_weight": 2.0,
}
"""What they change besides, unless the checkpoint may forget what it knew."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"minutes": 5.0, "batch": 4, "patch_px": 128, "validate_every": 200},
    "thorough": {"minutes": 60.0, "batch": 8, "patch_px": 160, "validate_every": 500},
    "gpu": {
        "minutes": 15.0,
        "batch": 16,
        "patch_px": 256,
        "validate_every": 500,
        "device": "cuda",
        "loaders": 6,
    },
    "paper": {
        "arguments": {
            "channels": (64, 128, 256, 512, 1024),
            "padding": "valid",
            "dropout": 0.5,
        },
        "target": "foreground",
        "batch": 1,
        "patch_px": 572,
        "optimiser": "sgd",
        "momentum": 0.99,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "augmentation": Augmentation.paper(),
        "w0": 10.0,
        "sigma_px": 5.0,
    },
}
"""Parameters by purpose; see `TrainParams.preset`."""
