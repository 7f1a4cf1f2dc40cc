"""Probabilities averaged over networks and over orientations of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from napari_seg.imaging.tiling import Slices

_LEAST = 1e-30
"""Keeps the logarithm of a probability finite."""


@dataclass(frozen=True)
class Orientation:
    """A mirroring or quarter turn: transposed first, then mirrored."""

    is_transposed: bool = False
    """Rows become columns."""
    mirrored: tuple[bool, bool] = (False, False)
    """Along rows, along columns."""

    def apply(self, x: Tensor) -> Tensor:
        """Turn (..., rows, columns)."""
        return self._mirror(x.mT if self.is_transposed else x)

    def undo(self, x: Tensor) -> Tensor:
        """Turn back."""
        x = self._mirror(x)
        return x.mT if self.is_transposed else x

    def window(self, window: Sequence[slice], size: Sequence[int]) -> list[slice]:
        """Where a window of an image of that size lies in the turned image.

        Axes before rows and columns stay as they are.
        """
        parts = list(zip(window[-2:], size[-2:], strict=True))
        if self.is_transposed:
            parts.reverse()
        turned = [
            slice(n - part.stop, n - part.start) if is_mirrored else part
            for (part, n), is_mirrored in zip(parts, self.mirrored, strict=True)
        ]
        return [*window[:-2], *turned]

    def _mirror(self, x: Tensor) -> Tensor:
        axes = [
            axis for axis, is_on in zip((-2, -1), self.mirrored, strict=True) if is_on
        ]
        return x.flip(axes) if axes else x


_BOTH = (False, True)
ORIENTATIONS: dict[str, tuple[Orientation, ...]] = {
    "none": (Orientation(),),
    "flips": tuple(Orientation(False, m) for m in product(_BOTH, _BOTH)),
    "all": tuple(Orientation(t, m) for t in _BOTH for m in product(_BOTH, _BOTH)),
}
"""Test-time augmentation by name: as it is, mirrored, mirrored and turned."""


class Averaged(nn.Module):
    """Runs networks on an image in several orientations and averages what they say.

    Parameters
    ----------
    networks : sequence of nn.Module
        Dense networks with the same classes and margin.
    orientations : sequence of Orientation, optional
        Of the image; results are turned back before they are averaged.

    Attributes
    ----------
    divisor, z_divisor, margin : int
        Those of all networks together.
    keeps_windows : bool
        True: `forward` takes the window of the output to compute.
    """

    keeps_windows = True

    def __init__(
        self,
        networks: Sequence[nn.Module],
        orientations: Sequence[Orientation] = ORIENTATIONS["none"],
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.orientations = tuple(orientations)
        margins = {_geometry(network)[1] for network in networks}
        if len(margins) != 1:
            raise ValueError(
                f"The networks must eat the same margin (found: {sorted(margins)})."
            )
        self.divisor = math.lcm(*(_geometry(network)[0] for network in networks))
        self.z_divisor = math.lcm(*(z_divisor(network) for network in networks))
        self.margin = margins.pop()

    def forward(self, x: Tensor, keep: Slices | None = None) -> dict[str, Tensor]:
        """Logarithms of averaged probabilities, which serve as logits.

        Parameters
        ----------
        x : Tensor of shape (N, C, [D,] H, W)
            Of a size that is legal for all networks, also transposed.
        keep : sequence of slice, optional
            Window of the output.

        Returns
        -------
        dict
            ``"out"``: (N, K, ...), two classes where a network has one logit.
        """
        total: Tensor | None = None
        for orientation in self.orientations:
            turned = fast_layout(orientation.apply(x))
            size = [n - 2 * self.margin for n in x.shape[2:]]
            window = orientation.window(keep, size) if keep is not None else None
            for network in self.networks:
                found = orientation.undo(_probabilities(network, turned, window))
                total = found if total is None else total + found
        assert total is not None  # there is at least one network
        count = len(self.orientations) * len(self.networks)
        return {"out": (total / count).clamp_min(_LEAST).log()}

    def input_size(self, at_least: int) -> int:
        """Smallest input length that is legal for all networks."""
        size = at_least
        while True:
            wanted = max(legal_size(network, size) for network in self.networks)
            if wanted == size:
                return size
            size = wanted


def _probabilities(
    network: nn.Module, x: Tensor, window: Sequence[slice] | None
) -> Tensor:
    if window is not None and getattr(network, "keeps_windows", False):
        logits = network(x, keep=window)["out"]
    else:
        logits = network(x)["out"]
        if window is not None:
            logits = logits[(..., *window)]
    return class_probabilities(logits.float())


def class_probabilities(logits: Tensor) -> Tensor:
    """Probabilities that sum to 1 over the classes, axis 1; of one logit two."""
    if logits.shape[1] == 1:
        positive = torch.sigmoid(logits)
        return torch.cat([1 - positive, positive], dim=1)
    return torch.softmax(logits, dim=1)


def _geometry(network: nn.Module) -> tuple[int, int]:
    return int(getattr(network, "divisor", 1)), int(getattr(network, "margin", 0))


FAST_LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}
"""Layout of images and weights in which convolutions are fast, by dimensions."""


def z_divisor(network: nn.Module) -> int:
    """Total stride along the planes of a network in three dimensions."""
    return int(getattr(network, "z_divisor", _geometry(network)[0]))


def fast_layout(x: Tensor) -> Tensor:
    """Return images in the layout that convolutions are fast in."""
    return x.contiguous(memory_format=FAST_LAYOUTS[x.ndim - 2])


def legal_size(network: nn.Module, at_least: int) -> int:
    """Shortest input length (pixels along an axis) a network takes from `at_least` on.

    What the network says of itself (`input_size`), or what follows from its `divisor`
    and `margin`.
    """
    own = getattr(network, "input_size", None)
    if own is not None:
        return int(own(at_least))
    divisor, margin = _geometry(network)
    size = max(at_least, 2 * margin + divisor)
    return size + (margin - size) % divisor
