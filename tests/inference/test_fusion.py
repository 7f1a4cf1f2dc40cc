"""Folding batch normalisation changes nothing but the time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_seg.inference.fusion import fuse_for_inference
from napari_seg.models.registry import build_network


class Tangled(nn.Module):
    """Registers layers out of order, uses one twice, and has one norm too many."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 2, 1)
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.shared_norm = nn.BatchNorm2d(4)
        self.norm_of_sum = nn.BatchNorm2d(4)
        for norm in (self.norm, self.shared_norm, self.norm_of_sum):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            norm.running_mean.uniform_(-1, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = torch.relu(self.norm(self.first(x)))
        y = self.shared_norm(self.shared(x))
        y = self.shared_norm(self.shared(y))
        return {"out": self.last(self.norm_of_sum(x + y))}


class Reused(nn.Module):
    """Uses the output of a convolution before and after its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.norm.running_mean.fill_(3.0)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.conv(x)
        return {"out": x + self.norm(x)}


def norms(network: nn.Module) -> int:
    return sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())


def difference(first: nn.Module, second: nn.Module) -> float:
    x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = first.eval()(x)["out"]
        found = second(x)["out"]
    return float((found - expected).abs().max() / expected.abs().max())


def test_a_unet_loses_all_norms_and_keeps_its_output() -> None:
    torch.manual_seed(0)
    network = build_network(
        "unet",
        in_channels=1,
        num_classes=3,
        channels=(8, 16, 32),
        padding="same",
        norm="batch",
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
            module.running_mean.uniform_(-1, 1)
    fused = fuse_for_inference(network, torch.rand(1, 1, 16, 16))
    assert norms(network) == 10
    assert norms(fused) == 0
    assert difference(network, fused) < 1e-5


def test_only_what_is_safe_is_folded() -> None:
    torch.manual_seed(0)
    network = Tangled()
    fused = fuse_for_inference(network, torch.rand(1, 1, 16, 16))
    assert norms(fused) == norms(network) - 1
    assert difference(network, fused) < 1e-5


def test_a_network_that_folding_would_change_is_left_alone() -> None:
    network = Reused()
    fused = fuse_for_inference(network, torch.rand(1, 1, 16, 16))
    assert norms(fused) == 1
    assert difference(network, fused) == 0
