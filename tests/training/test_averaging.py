"""The mean of weights: right numbers, clear refusals, thresholds of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.errors import CheckpointError
from napari_seg.models.checkpoint import Checkpoint, load_model, save_checkpoint
from napari_seg.models.soup import mean_of_weights
from napari_seg.training.averaging import iter_average
from napari_seg.training.sources import ArraySource
from napari_seg.types import run


@pytest.fixture(scope="module")
def unet() -> Checkpoint:
    return load_model("nuclei-unet")


def times(checkpoint: Checkpoint, factor: float) -> Checkpoint:
    """Return a checkpoint whose weights are multiples of another's."""
    from copy import deepcopy

    network = deepcopy(checkpoint.network)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.mul_(factor)
    return replace(checkpoint, network=network)


@settings(max_examples=5, deadline=None)
@given(shares=st.lists(st.floats(0.1, 5), min_size=1, max_size=3))
def test_each_weight_is_the_weighted_mean(unet: Checkpoint, shares) -> None:
    factors = [1.0, 3.0, -2.0][: len(shares)]
    mean = mean_of_weights([times(unet, f) for f in factors], shares)
    factor = np.dot(factors, shares) / sum(shares)
    before = unet.network.state_dict()
    for name, value in mean.network.state_dict().items():
        expected = before[name] * factor if value.is_floating_point() else before[name]
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    assert not mean.card.scores


def test_the_mean_of_equals_is_what_they_are(unet: Checkpoint) -> None:
    mean = mean_of_weights([unet, unet, unet])
    for name, value in mean.network.state_dict().items():
        torch.testing.assert_close(value, unet.network.state_dict()[name])


@pytest.mark.parametrize(
    "shares", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0] * 3, [1.0, np.nan], [1.0, np.inf]]
)
def test_a_share_is_needed_for_each(unet: Checkpoint, shares) -> None:
    with pytest.raises(CheckpointError, match="one positive share"):
        mean_of_weights([unet, unet], shares)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(CheckpointError, match="0 checkpoints"):
        mean_of_weights([])


def test_what_does_not_fit_is_named(unet: Checkpoint) -> None:
    other = load_model("axons-unet")
    with pytest.raises(CheckpointError, match=r"classes is .*interior.*myelin"):
        mean_of_weights([unet, other])


def test_training_data_of_all_are_named_and_other_licences_refused(
    unet: Checkpoint,
) -> None:
    data = replace(unet.card, training_data="Further images.")
    mean = mean_of_weights([unet, replace(unet, card=data), unet])
    assert mean.card.training_data == f"{unet.card.training_data} Further images."
    other = replace(unet, card=replace(unet.card, licence="MIT"))
    with pytest.raises(CheckpointError, match="licence is CC0"):
        mean_of_weights([unet, other])


def test_a_mean_is_written_with_thresholds_and_scores(
    unet: Checkpoint, tmp_path: Path
) -> None:
    from napari_seg.data.samples import read_sample, read_sample_truth

    image = read_sample("nuclei").array[:200, :200]
    truth = read_sample_truth("nuclei").array[:200, :200]
    source = ArraySource(image, truth, axes="YX")
    deaf = replace(unet, card=replace(unet.card, threshold=0.99, scores={}))
    save_checkpoint(tmp_path / "deaf.safetensors", unet.network, deaf.card)
    out = tmp_path / "mean.safetensors"
    job = iter_average(
        [tmp_path / "deaf.safetensors", "nuclei-unet"],
        [source, replace(source, name="other")],
        out,
        command="napari-seg average ...",
    )
    card = run(job).card
    assert load_model(out).card == card
    assert (card.name, card.command) == ("mean", "napari-seg average ...")
    assert card.threshold < 0.9
    assert card.scores["ap_0.50"] > 0.7
