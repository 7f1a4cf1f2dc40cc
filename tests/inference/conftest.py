"""Networks with known answers, and real small ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_seg.inference.device import Device
from napari_seg.inference.predictor import Predictor
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import Checkpoint
from napari_seg.models.registry import build_network

sys.path.insert(0, str(Path(__file__).parent))

CLASSES = ("background", "interior", "border")


class Log(list[tuple[int, ...]]):
    """A list that copies of a network share."""

    def __deepcopy__(self, memo: object) -> Log:
        """Return the list itself."""
        return self


class Brightness(nn.Module):
    """Calls everything brighter than half the intensity range interior."""

    divisor = 4
    margin = 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(20.0), requires_grad=False)
        self.sizes = Log()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits of background, interior and border."""
        self.sizes.append(tuple(x.shape))
        interior = self.weight * (x.mean(dim=1, keepdim=True) - 0.5)
        return {"out": torch.cat([0 * interior, interior, 0 * interior - 9], dim=1)}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def brightness() -> Checkpoint:
    """Return a model that segments bright spots 12 pixels across, exactly."""
    card = Card("brightness", "none", {}, 1, CLASSES, object_diameter_px=12.0)
    return Checkpoint(Brightness().eval(), card)


@pytest.fixture
def cpu() -> Device:
    """Return the device that is always there."""
    return Device("cpu", "CPU: chosen")


@pytest.fixture
def unet_predictor(cpu: Device) -> Callable[..., Predictor]:
    """Make a predictor with a small U-Net, He-initialised, norms not trivial."""

    def make(padding: str = "same", depth: int = 2, **options: int) -> Predictor:
        torch.manual_seed(0)
        channels = [4 * 2**i for i in range(depth + 1)]
        network = build_network(
            "unet",
            in_channels=1,
            num_classes=3,
            channels=channels,
            padding=padding,
            norm="batch",
        )
        randomise_norms(network)
        return Predictor(network.eval(), cpu, **options)

    return make


def randomise_norms(network: nn.Module) -> None:
    """Give batch normalisation statistics that training would give it."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)


@pytest.fixture
def spots() -> Callable[..., NDArray[np.float32]]:
    """Draw bright discs on a grid, none touching, one count per plane known."""

    def draw(
        shape: tuple[int, int] = (120, 150), diameter: float = 12.0
    ) -> NDArray[np.float32]:
        y, x = np.indices(shape)
        pitch = 2 * diameter
        distance = np.hypot(y % pitch - pitch / 2, x % pitch - pitch / 2)
        return np.clip(diameter / 2 + 0.55 - distance, 0, 1).astype(np.float32)

    return draw
