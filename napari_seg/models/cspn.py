"""CSPN: Convolutional Spatial Propagation Network (2018), and SPN (2017).

Cheng, Wang and Yang, arXiv:1808.00150, section 3 and figure 2; Liu, De Mello, Gu,
Zhong, Yang and Kautz, arXiv:1710.01020, section 3. The logits of another network flow
along affinities that a small head reads from image and logits, so that edges of the
labels move to edges of the image.

Departures from the papers:
  - they refine depth and probabilities, this refines logits;
  - the affinity head sees image and logits instead of the last features, so that it
    fits any network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import Tensor, cat, nn

from napari_seg.models.blocks.context import cbr
from napari_seg.models.blocks.conv import init_he
from napari_seg.models.blocks.propagation import (
    DIRECTIONS,
    NEIGHBOURS,
    cspn,
    cspn_kernels,
    spn,
)
from napari_seg.models.registry import build_network, find_architecture

Propagation = Literal["cspn", "spn"]
UNET = {"channels": (16, 32, 64, 128), "padding": "same", "norm": "batch"}
"""The network that is refined where nothing else is asked for."""


class CSPN(nn.Module):
    """A dense network whose logits are propagated.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image and of the logits.
    base : str
        Architecture of the network to refine; one whose logits have the size of the
        image.
    base_arguments : mapping, optional
        Its arguments; by default a small padded U-Net, or those of the architecture.
    propagation : {"cspn", "spn"}
        All pixels to their neighbours for some steps, or row by row from each side.
    steps : int
        Of "cspn"; how many pixels far anything flows. 24 in the paper.
    width : int
        Channels of the affinity head.

    Attributes
    ----------
    divisor, margin, min_size : int
        Those of the network refined.
    """

    margin = 0

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        *,
        base: str = "unet",
        base_arguments: Mapping[str, Any] | None = None,
        propagation: Propagation = "cspn",
        steps: int = 24,
        width: int = 32,
    ) -> None:
        super().__init__()
        if propagation not in get_args(Propagation):
            raise ValueError(
                f"propagation must be one of {get_args(Propagation)} "
                f"(found: {propagation!r})."
            )
        usual = UNET if base == "unet" else find_architecture(base).training_arguments
        self.base: Any = build_network(
            base,
            in_channels=in_channels,
            num_classes=num_classes,
            **(usual if base_arguments is None else base_arguments),
        )
        if self.base.margin:
            raise ValueError(
                f"CSPN refines networks whose logits are as large as the image; {base} "
                f"eats {self.base.margin} pixels. Give it padding='same'."
            )
        self.divisor, self.min_size = self.base.divisor, self.base.min_size
        self.propagation, self.steps = propagation, steps
        gates = len(NEIGHBOURS)
        if propagation == "spn":
            gates = 3 * DIRECTIONS * num_classes
        self.affinity = nn.Sequential(
            *cbr(in_channels + num_classes, width),
            *cbr(width, width),
            nn.Conv2d(width, gates, kernel_size=3, padding=1),
        )
        init_he(self.affinity)

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Logits of an image.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W)
            Normalised image of any size.

        Returns
        -------
        dict
            ``"out"``: logits (N, K, H, W); while training also ``"aux"``, a list with
            those before the propagation and the auxiliary ones of the base.
        """
        found = self.base(x)
        logits = found["out"]
        guidance = self.affinity(cat([x, logits], dim=1))
        if self.propagation == "cspn":
            refined = cspn(logits, cspn_kernels(guidance), steps=self.steps)
        else:
            refined = spn(logits, guidance)
        if not self.training:
            return {"out": refined}
        more = found.get("aux", [])
        more = list(more) if isinstance(more, list | tuple) else [more]
        return {"out": refined, "aux": [logits, *more]}

    def input_size(self, at_least: int) -> int:
        """Smallest input length that needs no padding and is not below `at_least`."""
        size: int = self.base.input_size(at_least)
        return size
