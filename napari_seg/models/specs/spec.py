"""What is known of an architecture before it is built. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Reference:
    """A network of published width, by which the code is checked: its size."""

    parameters: int
    """How many parameters it has; running statistics are not counted."""
    source: str
    """Who says so."""
    in_channels: int = 3
    """Channels of its image."""
    num_classes: int = 21
    """Its classes with the background; 21 in PASCAL VOC."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Its further arguments."""


@dataclass(frozen=True)
class Architecture:
    """A network that can be built and trained."""

    name: str
    """Name for `build_network` and ``--architecture``."""
    title: str
    """What people call it."""
    family: str
    """Networks of one idea share it, e.g. ``"encoder and decoder"``."""
    authors: str
    """First author and others."""
    year: int
    """Year of the paper."""
    paper: str
    """Where it can be read: an arXiv number, or a journal."""
    good_at: str
    """What a biologist would choose it for, in a few words."""
    network: str
    """``"module:Class"``, imported when it is built. The class takes in_channels,
    num_classes and options; and ndim, if there is more than one."""
    training_arguments: dict[str, Any]
    """Arguments for training from scratch where the caller gives none: slim enough for
    a processor."""
    volume_arguments: dict[str, Any] = field(default_factory=dict)
    """Those that are different in three dimensions."""
    reference: Reference | None = None
    """The published network; None where there is none of just this form."""
    ndims: tuple[int, ...] = (2,)
    """Spatial dimensions it can have."""
    aux_weight: float = 0.4
    """Weight of the loss of its auxiliary heads, if it has any."""
    rate: float = 1.0
    """Its learning rate, relative to that of convolutions. A transformer trained from
    scratch as fast as they are may soon say background everywhere."""
    pretrainable: bool = False
    """Whether it takes ``pretrained=True``, for an encoder trained elsewhere."""
    kind: Literal["dense", "detector"] = "dense"
    """Whether it classifies pixels, or finds objects one by one. A detector is built
    for objects of a size, ``diameter_px``."""

    @property
    def summary(self) -> str:
        """Title, authors, year, dimensions and use, in one line."""
        dimensions = " or ".join(f"{n}D" for n in self.ndims)
        return (
            f"{self.title} ({self.authors} {self.year}), {dimensions}: {self.good_at}"
        )

    def usual_arguments(self, *, pretrained: bool = False) -> dict[str, Any]:
        """Arguments for training; the encoder in full width if its weights are fetched.

        Published weights come in one width, that which timm builds by itself.
        """
        usual = dict(self.training_arguments)
        if pretrained:
            usual.pop("encoder_options", None)
        return usual

    def build(
        self, *, in_channels: int, num_classes: int, ndim: int = 2, **options: Any
    ) -> nn.Module:
        """Build an untrained network; ValueError if it has no such dimensions."""
        if ndim not in self.ndims:
            known = " or ".join(map(str, self.ndims))
            raise ValueError(f"{self.title} has {known} dimensions (found: {ndim}).")
        module, _, name = self.network.partition(":")
        if len(self.ndims) > 1:
            options["ndim"] = ndim
        network: nn.Module = getattr(import_module(module), name)(
            in_channels, num_classes, **options
        )
        return network
