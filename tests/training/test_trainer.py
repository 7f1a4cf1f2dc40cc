import math
from dataclasses import replace
from itertools import islice, product, starmap

import numpy as np
import pytest
import torch
from tiny import TINY, losses, params

from napari_seg.errors import CheckpointError
from napari_seg.models.card import Card, read_card
from napari_seg.models.checkpoint import load_model
from napari_seg.training.augmentation import Augmentation
from napari_seg.training.folders import read_pairs
from napari_seg.training.losses import weighted_cross_entropy
from napari_seg.training.pairs import TrainingPair
from napari_seg.training.params import TrainParams
from napari_seg.training.progress import TrainProgress
from napari_seg.training.schedule import (
    fraction_done,
    most_steps,
    rate_factor,
    running_average,
)
from napari_seg.training.state import Progression, state_path
from napari_seg.training.trainer import iter_train, train
from napari_seg.training.validation import (
    LARGEST_PX,
    SEED_THRESHOLDS,
    SMALLEST_SHARES,
    THRESHOLDS,
    crop,
    iter_calibrate,
    total_score,
    validate,
)
from napari_seg.types import run


def test_weighted_cross_entropy_by_hand():
    logits = torch.tensor([[[[0.0, math.log(3)]], [[0.0, 0.0]]]])
    classes = torch.tensor([[[0, 1]]])
    weights = torch.tensor([[[2.0, 1.0]]])
    expected = (2 * math.log(2) + math.log(4)) / 2
    found = weighted_cross_entropy(logits, classes, weights)
    assert float(found) == pytest.approx(expected, rel=1e-6)
    assert float(weighted_cross_entropy(logits, classes, weights * 0)) == 0


def test_a_run_yields_every_step_and_writes_a_described_checkpoint(dataset, tmp_path):
    out = tmp_path / "models" / "mine.safetensors"
    job = iter_train(dataset, out, params(description="Mine.", command="the command"))
    steps = list(job)
    trained = [step for step in steps if isinstance(step, TrainProgress)]
    assert [step.done for step in trained] == [1, 2, 3, 4]
    assert all(math.isfinite(step.loss) for step in trained)
    assert [step.metrics is not None for step in trained] == [False, True, False, True]
    card = read_card(out)
    assert card.name == "mine"
    assert (card.description, card.command) == ("Mine.", "the command")
    assert card.object_diameter_px == pytest.approx(12, rel=0.2)
    assert set(card.scores) >= {"ap_0.50", "ap_0.75", "mean_ap"}
    x = torch.zeros(1, 1, 16, 16)
    assert load_model(out).network(x)["out"].shape == (1, 3, 16, 16)


def test_the_same_seed_gives_the_same_losses(dataset, tmp_path):
    runs = [
        losses(iter_train(dataset, tmp_path / f"{name}.safetensors", params(seed=seed)))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_a_stopped_run_goes_on_where_it_was(dataset, tmp_path):
    whole = losses(iter_train(dataset, tmp_path / "whole.safetensors", params(steps=6)))
    out = tmp_path / "part.safetensors"
    job = iter_train(dataset, out, params(steps=6))
    before = []
    for step in job:
        if isinstance(step, TrainProgress):
            before.append(step.loss)
            if step.done == 4:
                break
    job.close()
    assert out.is_file(), "the best so far is kept"
    after = losses(iter_train(dataset, out, params(steps=6, resume=True)))
    assert len(before) == 4
    np.testing.assert_allclose(before + after, whole, rtol=1e-5)


@pytest.mark.parametrize("interrupt", [GeneratorExit, KeyboardInterrupt])
def test_a_run_stopped_before_its_first_validation_keeps_its_weights(
    dataset, tmp_path, interrupt
):
    whole = losses(iter_train(dataset, tmp_path / "whole.safetensors", params()))
    out = tmp_path / "early.safetensors"
    job = iter_train(dataset, out, params(validate_every=500))
    trained = (step for step in job if isinstance(step, TrainProgress))
    before = losses(islice(trained, 2))
    assert len(before) == 2
    with pytest.raises(interrupt):
        job.throw(interrupt)
    assert load_model(out).card.scores == {}
    rest = params(validate_every=500, resume=True)
    after = losses(iter_train(dataset, out, rest))
    np.testing.assert_allclose(before + after, whole, rtol=1e-5)
    assert load_model(out).card.scores, "the whole run has scores"


def test_resuming_another_network_is_refused(dataset, tmp_path):
    out = tmp_path / "net.safetensors"
    run(iter_train(dataset, out, params()))
    other = params(arguments={**TINY, "channels": (4, 6)}, resume=True)
    with pytest.raises(CheckpointError, match="does not fit"):
        run(iter_train(dataset, out, other))
    state_path(out).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="does not fit"):
        run(iter_train(dataset, out, params(resume=True)))


def test_fine_tuning_keeps_the_network_and_its_input(dataset, tmp_path):
    first = tmp_path / "first.safetensors"
    start = train(dataset, out=first, **vars(params(object_diameter_px=10.0)))
    second = tmp_path / "second.safetensors"
    tuned = train(dataset, out=second, **vars(params(init=first, steps=2)))
    assert tuned.card.arguments == start.card.arguments
    assert tuned.card.object_diameter_px == 10
    assert tuned.card.name == "second"


@pytest.mark.parametrize("target", ["interior-border", "foreground"])
def test_valid_convolutions_train_too(dataset, tmp_path, target):
    valid = params(
        arguments={"channels": (4, 6), "padding": "valid"}, patch_px=36, target=target
    )
    checkpoint = train(dataset, out=tmp_path / "v.safetensors", **vars(valid))
    assert checkpoint.network.margin == 8
    assert checkpoint.card.decoder == target


@pytest.mark.parametrize(
    ("shape", "count", "side"),
    [
        ((2000, 3000), 100, LARGEST_PX),
        ((2000, 3000), 8, LARGEST_PX),
        ((2000, 3000), 2, 2 * LARGEST_PX),
        ((300, 3000), 2, 2 * LARGEST_PX),
        ((3, 2000, 3000), 1, LARGEST_PX),
    ],
)
def test_of_few_images_larger_parts_are_judged(shape, count, side):
    labels = np.zeros(shape, np.int32)
    labels[..., 100:120, 100:120] = 1
    plane = TrainingPair("a", np.zeros((1, *shape), np.float32), labels, 20.0)
    card = Card("a", "unet", {}, 1, ("background", "interior"))
    window = crop(plane, card, count).labels
    assert window.shape[-2:] == (min(side, shape[-2]), side)
    assert window.any()


def test_calibration_never_scores_below_the_thresholds_it_started_from(
    dataset, tmp_path
):
    checkpoint = train(dataset, out=tmp_path / "c.safetensors", **vars(params(steps=8)))
    pairs = read_pairs(dataset)
    plain = replace(checkpoint.card, threshold=0.5, seed_threshold=0.5, smallest_px=0)
    before = validate(replace(checkpoint, card=plain), pairs)
    job = iter_calibrate(replace(checkpoint, card=plain), pairs)
    assert {step.done for step in job} == set(range(len(pairs) + 1))
    card = run(iter_calibrate(replace(checkpoint, card=plain), pairs))
    after = validate(replace(checkpoint, card=card), pairs)
    assert total_score(after) >= total_score(before)


def test_calibration_finds_what_trying_every_choice_finds(dataset, tmp_path):
    checkpoint = train(dataset, out=tmp_path / "c.safetensors", **vars(params(steps=8)))
    known = read_pairs(dataset)[:1]
    labels = known[0].labels.copy()
    labels[:, 40:] = -1
    pairs = [*known, replace(known[0], labels=labels)]
    card = run(iter_calibrate(checkpoint, pairs))
    disc = np.pi / 4 * checkpoint.card.object_diameter_px**2

    def score(threshold, seed_threshold, share):
        tried = replace(
            checkpoint.card,
            threshold=threshold,
            seed_threshold=seed_threshold,
            smallest_px=round(share * disc, 1),
        )
        return total_score(validate(replace(checkpoint, card=tried), pairs))

    best = max(starmap(score, product(THRESHOLDS, SEED_THRESHOLDS, SMALLEST_SHARES)))
    found = validate(replace(checkpoint, card=card), pairs)
    assert total_score(found) == pytest.approx(best)


@pytest.mark.slow
def test_a_small_network_learns_the_discs(dataset, tmp_path):
    checkpoint = train(
        dataset,
        out=tmp_path / "discs.safetensors",
        **vars(
            params(
                arguments={**TINY, "channels": (8, 16, 32)},
                steps=60,
                batch=4,
                patch_px=48,
                validate_every=30,
                learning_rate=1e-2,
                augmentation=Augmentation(scale=(0.9, 1.1), elastic_px=1),
            )
        ),
    )
    assert checkpoint.card.scores["ap_0.50"] > 0.8


def test_a_run_ends_by_steps_or_by_time_whichever_is_first():
    half = Progression(step=50, elapsed_s=30)
    assert fraction_done(half, TrainParams(steps=100)) == 0.5
    assert fraction_done(half, TrainParams(minutes=2)) == 0.25
    assert fraction_done(half, TrainParams(steps=60, minutes=0.5)) == 1
    assert fraction_done(half, TrainParams()) == pytest.approx(30 / 600)
    assert most_steps(TrainParams(steps=7)) == 7
    assert most_steps(TrainParams(minutes=1)) > 10_000


def test_learning_rate_warms_up_then_falls_to_nearly_nothing():
    rates = [rate_factor(i / 200) for i in range(201)]
    top = int(np.argmax(rates))
    assert rates[top] == pytest.approx(1, abs=0.01)
    assert 0 < top < 15
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 0.002


def test_the_running_average_forgets_the_start_and_counts_exactly():
    average = running_average(0.9)
    value = torch.tensor(100.0)
    for count in range(1, 60):
        value = average(value, torch.tensor(1.0), count)
    assert float(value) == pytest.approx(1, abs=0.2)
    assert average(torch.tensor(3), torch.tensor(7), 5).item() == 7
