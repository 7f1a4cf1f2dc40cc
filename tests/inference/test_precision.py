"""Half precision where it is faster, and never where it crashes."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_seg.inference import precision
from napari_seg.inference.precision import half_type
from napari_seg.inference.predictor import Predictor
from napari_seg.inference.segment import segment
from napari_seg.models.registry import ARCHITECTURES, build_network


@pytest.fixture
def capable(monkeypatch):
    """Let the processor multiply in bfloat16, whatever it is."""
    monkeypatch.setattr(precision, "is_half_faster", lambda: True)
    monkeypatch.delenv(precision.SWITCH, raising=False)


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


def test_full_precision_can_be_asked_for(capable, monkeypatch):
    monkeypatch.setenv(precision.SWITCH, "full")
    assert half_type("cpu") is None


@pytest.mark.parametrize(
    ("supported", "seconds", "faster"),
    [(True, (0.2, 0.1), True), (True, (0.1, 0.2), False), (False, (0.2, 0.1), False)],
)
def test_half_precision_is_measured_not_assumed(
    monkeypatch, supported, seconds, faster
):
    full, half = seconds
    monkeypatch.setattr(
        torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported
    )
    monkeypatch.setattr(
        precision,
        "_seconds",
        lambda layer, image, *, is_half: half if is_half else full,
    )
    assert precision.is_half_faster.__wrapped__() is faster


def test_the_measurement_takes_a_moment_and_a_time():
    layer, image = nn.Conv2d(2, 2, 3), torch.zeros(1, 2, 16, 16)
    assert precision._seconds(layer, image, is_half=False) > 0


def test_predictions_in_half_precision_are_close(capable, unet_predictor):
    inputs = np.random.default_rng(0).random((1, 1, 64, 64), np.float32)
    half = unet_predictor()
    assert half.half is torch.bfloat16
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(precision.SWITCH, "full")
        full = unet_predictor()
    assert full.half is None
    found, expected = half.predict(inputs), full.predict(inputs)
    assert found.dtype == np.float32
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-5
    assert 0 < np.abs(found - expected).max() < 0.05


def test_a_network_that_overflows_goes_on_in_full(capable, cpu):
    class Overflowing(nn.Module):
        divisor, margin = 1, 0

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x):
            is_half = torch.is_autocast_enabled("cpu")
            return {"out": x * (torch.inf if is_half else 1.0)}

    predictor = Predictor(Overflowing().eval(), cpu)
    found = predictor.predict(np.ones((1, 1, 8, 8), np.float32))
    assert np.isfinite(found).all()
    assert predictor.half is None


def test_the_precision_is_written_down(capable, brightness, spots):
    found = segment(spots(), brightness, diameter_px=12.0)
    assert found.provenance["precision"] == "bfloat16"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(precision.SWITCH, "full")
        full = segment(spots(), brightness, diameter_px=12.0)
    assert full.provenance["precision"] == "float32"
    assert found.labels.max() == full.labels.max()


def test_devices_without_half_precision_have_none(capable):
    assert half_type("mps") is None
