"""Average precision of a network on validation pairs, while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from napari_seg.imaging.instances import InstanceParams, probabilities_to_labels
from napari_seg.imaging.metrics import Metrics, evaluate, pool
from napari_seg.training.pairs import TrainingPair
from napari_seg.training.resize import resize_image, resize_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_PX = 1024
"""Larger validation images are cropped to this side (network pixels)."""


def predict_pair(
    network: nn.Module,
    pair: TrainingPair,
    diameter_px: float,
    *,
    device: str = "cpu",
    half: torch.dtype | None = None,
) -> NDArray[np.float32]:
    """Probabilities (K, Y, X) of one pair, its objects brought to a diameter."""
    zoom = diameter_px / pair.diameter_px if pair.diameter_px else 1.0
    rows, cols = (max(round(n * zoom), 16) for n in pair.labels.shape)
    image = resize_image(pair.image, (rows, cols))
    margin = int(getattr(network, "margin", 0))
    batch = torch.from_numpy(image)[None].to(device)
    if margin:
        batch = _mirror(batch, margin, network)
    kind = torch.device(device).type
    with torch.inference_mode(), torch.autocast(kind, half, enabled=half is not None):
        logits = network(batch)["out"][0, :, :rows, :cols]
    probabilities: NDArray[np.float32] = logits.float().softmax(0).cpu().numpy()
    return probabilities


def validate(
    network: nn.Module,
    pairs: Sequence[TrainingPair],
    classes: Sequence[str],
    diameter_px: float,
    *,
    params: InstanceParams | None = None,
    device: str = "cpu",
    half: torch.dtype | None = None,
) -> Metrics:
    """Pooled metrics at the images' own resolution, with the true object size."""
    network.eval()
    scores = []
    for full in pairs:
        pair = _crop(full, diameter_px)
        probabilities = predict_pair(
            network, pair, diameter_px, device=device, half=half
        )
        labels = probabilities_to_labels(probabilities, classes, params)
        shape = (pair.labels.shape[0], pair.labels.shape[1])
        scores.append(evaluate(resize_labels(labels, shape), pair.labels))
    return pool(scores)


def _crop(pair: TrainingPair, diameter_px: float) -> TrainingPair:
    zoom = diameter_px / pair.diameter_px if pair.diameter_px else 1.0
    side = max(int(LARGEST_PX / zoom), 1)
    image, labels = pair.image[:, :side, :side], pair.labels[:side, :side]
    return TrainingPair(pair.name, image, labels, pair.diameter_px)


def _mirror(batch: torch.Tensor, margin: int, network: nn.Module) -> torch.Tensor:
    """Extrapolate by mirroring to a legal input of a valid network (figure 2)."""
    pad: list[int] = []
    for length in reversed(batch.shape[2:]):
        legal = network.input_size(length + 2 * margin)  # type: ignore[operator]
        pad += [margin, legal - length - margin]
    image = batch.numpy(force=True)
    widths = [(0, 0), (0, 0), (pad[2], pad[3]), (pad[0], pad[1])]
    mirrored = np.pad(image, widths, mode="symmetric")
    return torch.from_numpy(mirrored).to(batch.device)
