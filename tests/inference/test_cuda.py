"""On a CUDA device: the labels of the processor, less memory, training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_seg.data.samples import read_sample, read_sample_truth
from napari_seg.imaging.metrics import evaluate
from napari_seg.inference.device import choose_device
from napari_seg.inference.predictor import Predictor
from napari_seg.inference.segment import segment
from napari_seg.models.checkpoint import load_model
from napari_seg.training.sources import ArraySource
from napari_seg.training.trainer import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("model", ["nuclei-unet", "nuclei-maskrcnn"])
def test_labels_are_those_of_the_processor(model: str) -> None:
    image = read_sample("nuclei").array
    found = segment(image, model, axes="YX", device="cuda")
    expected = segment(image, model, axes="YX", device="cpu")
    assert found.provenance["device"].startswith("cuda")
    metrics = evaluate(found.labels, expected.labels)
    assert metrics.average_precision(0.9) > 0.95  # half precision moves an edge


def test_where_memory_runs_out_smaller_steps_give_the_same() -> None:
    network = load_model("nuclei-unet").network
    tiles = np.random.default_rng(0).random((8, 1, 1024, 1024), np.float32)
    device = choose_device("cuda")
    expected = Predictor(network, device, batch=8).predict(tiles)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(600e6 / total)
    try:
        predictor = Predictor(network, device, batch=8)
        found = predictor.predict(tiles)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert predictor.batch < 8
    assert np.abs(found - expected).max() < 0.02


def test_training_there_ends_in_a_checkpoint_for_any_device(tmp_path: Path) -> None:
    image, truth = read_sample("nuclei").array, read_sample_truth("nuclei").array
    source = ArraySource(image, truth, axes="YX")
    out = tmp_path / "tuned.safetensors"
    tuned = train(
        [source], out=out, init="nuclei-unet", device="cuda", steps=20, patch_px=96
    )
    assert next(tuned.network.parameters()).device.type == "cpu"
    found = segment(image, out, axes="YX", device="cpu")
    assert evaluate(found.labels, truth).average_precision(0.5) > 0.7
