"""Half precision where it is faster, and never where it crashes."""

import pytest
import torch
from torch import nn

from napari_seg.models.registry import ARCHITECTURES, build_network
from napari_seg.training.precision import half_type


@pytest.fixture
def capable(monkeypatch):
    """Let the processor multiply in bfloat16, whatever it is."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")


def test_plain_convolutions_are_trained_in_half_precision(capable):
    assert half_type("cpu", nn.Conv2d(1, 1, 3)) is torch.bfloat16
    assert half_type("cpu") is torch.bfloat16


def test_dilated_convolutions_are_not(capable):
    for dilated in (nn.Conv2d(1, 1, 3, dilation=2), nn.Conv3d(1, 1, 3, dilation=2)):
        assert half_type("cpu", nn.Sequential(dilated)) is None


@pytest.mark.parametrize(
    ("name", "half"),
    [("unet", True), ("segnet", True), ("drn", False), ("patch-classifier", False)],
)
def test_networks_by_what_they_are_made_of(capable, name, half):
    with torch.device("meta"):
        network = build_network(
            name,
            in_channels=1,
            num_classes=3,
            **ARCHITECTURES[name].training_arguments,
        )
    assert (half_type("cpu", network) is torch.bfloat16) == half
