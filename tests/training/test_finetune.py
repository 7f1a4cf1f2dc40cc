"""Learning something new without forgetting."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY, losses, params

from napari_seg.errors import DatasetError, DeviceError
from napari_seg.imaging.metrics import evaluate
from napari_seg.models.checkpoint import load_model, save_checkpoint
from napari_seg.training import finish, trainer
from napari_seg.training.augmentation import Augmentation
from napari_seg.training.describe import make_card
from napari_seg.training.pairs import TrainingPair
from napari_seg.training.params import PRESETS, SAMPLES, TrainParams
from napari_seg.training.rehearsal import Teacher, as_channels, rehearsal_sources
from napari_seg.training.sitting import Sitting
from napari_seg.training.sources import ArraySource
from napari_seg.training.state import state_path
from napari_seg.training.trainer import iter_train, train
from napari_seg.training.validation import Validation
from napari_seg.types import Progress, run


@pytest.fixture
def start(dataset, tmp_path):
    """Return a checkpoint that was trained for a few steps."""
    out = tmp_path / "start.safetensors"
    run(iter_train(dataset, out, params(steps=6, validate_every=6)))
    return out


def tune(start, data, name="tuned", **fields):
    fields = {"init": start, "average_decay": 0.0, "validate_every": 99} | fields
    out = start.with_name(f"{name}.safetensors")
    return run(iter_train(data, out, params(**fields)))


def changed(before, after):
    old, new = before.network.state_dict(), after.network.state_dict()
    return {name for name in new if not torch.equal(old[name], new[name])}


def test_frozen_batch_norm_stays_as_it_was_and_the_rest_learns(dataset, start):
    tuned = tune(start, dataset, freeze_norm=True)
    names = changed(load_model(start), tuned)
    assert not [name for name in names if "running" in name or "num_batches" in name]
    assert "head.weight" in names
    assert any(
        "running" in name for name in changed(load_model(start), tune(start, dataset))
    )


def test_a_still_encoder_is_spared(dataset, start):
    tuned = tune(start, dataset, freeze_norm=True, encoder_rate=0.0, weight_decay=0.0)
    names = changed(load_model(start), tuned)
    assert names
    assert not [name for name in names if name.startswith("encoder.")]


def test_new_weights_compete_with_old_ones_at_thresholds_of_neither(
    dataset, start, monkeypatch
):
    model = load_model(start)
    card = replace(model.card, threshold=0.4, seed_threshold=0.9, smallest_px=31.0)
    save_checkpoint(start, model.network, card)
    compared = []

    def validated(checkpoint, *args, **kwargs):
        compared.append(checkpoint.card)
        return (yield from trainer_validate(checkpoint, *args, **kwargs))

    trainer_validate = trainer.iter_validate
    monkeypatch.setattr(trainer, "iter_validate", validated)
    tune(start, dataset, steps=2)
    old, new = compared[:2]
    assert (old.threshold, old.seed_threshold, old.smallest_px) == (0.5, 0.5, 0.0)
    assert (new.threshold, new.seed_threshold, new.smallest_px) == (0.5, 0.5, 0.0)


@pytest.mark.parametrize(("architecture", "score"), [("unet", 0.5), ("maskrcnn", 0.4)])
def test_finds_of_a_detector_count_from_a_lower_score_on(layers, architecture, score):
    image, labels = layers[0]
    pair = TrainingPair("a", image[None].astype(np.float32), labels, 12.0)
    card = make_card([pair], TrainParams(architecture=architecture), Path("m"))
    assert (card.threshold, card.seed_threshold, card.smallest_px) == (0.5, score, 0.0)


def test_a_new_head_is_drawn_anew(dataset, start):
    kept = tune(start, dataset, steps=1, learning_rate=1e-9)
    new = tune(
        start, dataset, "new", steps=1, learning_rate=1e-9, new_head=True, seed=7
    )
    old = load_model(start).network.head.weight
    assert torch.allclose(kept.network.head.weight, old, atol=1e-3)
    assert not torch.allclose(new.network.head.weight, old, atol=1e-2)


def test_other_classes_and_channels_can_be_learned(dataset, start, layers):
    binary = tune(start, dataset, target="foreground")
    assert binary.card.classes == ("background", "foreground")
    image, labels = layers[0]
    colour = ArraySource(np.stack([image, image * 0, image / 2]), labels, axes="CYX")
    grey = tune(start, colour, "grey")
    wide = tune(start, colour, "wide", adapt_channels=True, rehearse=(SAMPLES,))
    assert (grey.card.in_channels, wide.card.in_channels) == (1, 3)
    assert wide.card.object_diameter_px == load_model(start).card.object_diameter_px


def forgotten(start, tuned, image):
    """How far a network has gone from its old answers."""
    teacher = Teacher.of(load_model(start).network)
    with torch.no_grad():
        return float(teacher.loss(image, tuned.network(image)["out"]))


def test_what_is_rehearsed_is_forgotten_less(start, dataset, layers):
    # The new images are inverted, which contradicts what was learned.
    sources = [
        ArraySource(-image, labels, f"l{i}") for i, (image, labels) in enumerate(layers)
    ]
    old = torch.from_numpy(layers[0][0])[None, None] / 200
    fields = {"steps": 12, "learning_rate": 1e-2, "freeze_norm": True, "batch": 4}
    plain = tune(start, sources, "plain", **fields)
    held = tune(
        start, sources, "held", **fields, rehearse=(dataset,), rehearse_share=0.5
    )
    assert forgotten(start, held, old) < 0.7 * forgotten(start, plain, old)


def test_a_network_with_a_new_head_rehearses_labels(start, dataset):
    steps = list(
        iter_train(
            dataset,
            start.with_name("h.safetensors"),
            params(init=start, new_head=True, rehearse=(dataset,), rehearse_share=0.5),
        )
    )
    assert all(np.isfinite(losses(steps)))


def test_the_shipped_samples_can_be_rehearsed():
    (sample,) = rehearsal_sources((SAMPLES,))
    assert sample.name == "nuclei"
    assert sample.labels.max() > 10


def test_grey_is_repeated_over_channels():
    grey = torch.rand(2, 1, 4, 5)
    assert as_channels(grey, 3).shape == (2, 3, 4, 5)
    assert as_channels(grey, 3)[:, 2].equal(grey[:, 0])
    assert as_channels(grey, 1) is grey


def test_a_run_that_no_longer_improves_stops_early(dataset, start):
    still = params(
        init=start, steps=40, validate_every=2, learning_rate=0.0, patience=2
    )
    steps = list(iter_train(dataset, start.with_name("p.safetensors"), still))
    # the first validation is the best; two more bring nothing
    assert len(losses(steps)) == 6


def test_a_tuned_model_is_never_worse_than_what_it_started_from(
    dataset, start, layers, monkeypatch
):
    truth = layers[0][1].astype(np.int32)
    finds = [truth, truth * 0, truth * 0]  # first all, then nothing

    def judge(*_, **__):
        found = finds.pop(0) if len(finds) > 1 else finds[0]
        yield Progress("validate", 0, 1)
        return Validation(evaluate(found, truth), None)

    for module in (trainer, finish):
        monkeypatch.setattr(module, "iter_validate", judge)
    tuned = tune(start, dataset, validate_every=2, learning_rate=0.1)
    assert changed(load_model(start), tuned) == set()


def test_the_last_weights_win_if_they_are_the_best_once_calibrated(
    dataset, start, layers, monkeypatch
):
    truth = layers[0][1].astype(np.int32)

    def judge(checkpoint, *_, **__):
        # In training the start seems best, but only for want of the right threshold.
        is_start = not changed(load_model(start), checkpoint)
        is_found = is_start != (checkpoint.card.threshold == 0.7)
        yield Progress("validate", 0, 1)
        return Validation(evaluate(truth if is_found else truth * 0, truth), None)

    def calibrate(checkpoint, *_, near=None, **__):
        assert near is None  # nothing is rehearsed: all thresholds may change
        yield Progress("calibrate", 0, 1)
        return replace(checkpoint.card, threshold=0.7)

    for module in (trainer, finish):
        monkeypatch.setattr(module, "iter_validate", judge)
    monkeypatch.setattr(finish, "iter_calibrate", calibrate)
    tuned = tune(start, dataset, validate_every=2, learning_rate=0.1)
    assert changed(load_model(start), tuned)
    assert tuned.card.threshold == 0.7
    assert tuned.card.scores["ap_0.50"] == 1


def test_a_finished_run_that_is_prolonged_gets_no_worse(
    dataset, start, layers, monkeypatch
):
    truth = layers[0][1].astype(np.int32)
    part = np.where(truth == truth.max(), 0, truth)
    finished = load_model(start)
    calibrated = replace(finished.card, threshold=0.6)
    save_checkpoint(start, finished.network, calibrated)

    def judge(checkpoint, *_, **__):
        # What is new beats the uncalibrated score of the old, not the old itself.
        is_new = changed(finished, checkpoint)
        yield Progress("validate", 0, 1)
        return Validation(evaluate(part if is_new else truth, truth), None)

    state = state_path(start)
    saved = torch.load(state, weights_only=True)
    saved["progression"]["best_score"] = 0.0
    torch.save(saved, state)
    for module in (trainer, finish):
        monkeypatch.setattr(module, "iter_validate", judge)
    more = params(steps=8, validate_every=7, resume=True, learning_rate=0.1)
    prolonged = run(iter_train(dataset, start, more))
    assert changed(finished, prolonged) == set()
    assert prolonged.card.scores["ap_0.50"] == 1


def test_thresholds_stay_near_those_of_a_model_that_is_to_be_kept(dataset, start):
    known = load_model(start)
    card = replace(known.card, threshold=0.4, seed_threshold=0.9, smallest_px=3.0)
    save_checkpoint(start, known.network, card)
    kept = tune(start, dataset, rehearse=(dataset,), learning_rate=0.0).card
    assert kept.threshold in (0.4, 0.5)
    assert kept.seed_threshold in (0.8, 0.9)
    assert kept.smallest_px <= 3.0
    free = tune(start, dataset, "free", learning_rate=0.0).card
    assert free.seed_threshold < 0.8


@pytest.mark.parametrize("rehearse", [True, False])
def test_a_model_that_knows_nothing_of_the_images_had_better_forget(
    dataset, start, layers, monkeypatch, rehearse
):
    truth = layers[0][1].astype(np.int32)

    def judge(*_, **__):
        yield Progress("validate", 0, 1)
        return Validation(evaluate(truth * 0, truth), None)

    for module in (trainer, finish):
        monkeypatch.setattr(module, "iter_validate", judge)
    fields = {"rehearse": (dataset,)} if rehearse else {}
    steps = iter_train(
        dataset, start.with_name("t.safetensors"), params(init=start, **fields)
    )
    advice = [s.message for s in steps if "forget" in s.message]
    assert len(advice) == rehearse
    assert all("0.00" in text for text in advice)


def test_presets_are_parameters_for_a_purpose():
    quick = TrainParams.quick_cpu()
    assert (quick.minutes, quick.rehearse, quick.freeze_norm) == (5, (), False)
    tuned = TrainParams.quick_cpu(init=Path("nuclei-unet"), minutes=2)
    assert (tuned.minutes, tuned.rehearse, tuned.freeze_norm) == (2, (SAMPLES,), True)
    free = TrainParams.quick_cpu(init=Path("nuclei-unet"), rehearse=())
    assert (free.rehearse, free.freeze_norm, free.encoder_rate) == ((), False, 1)
    assert free.augmentation == tuned.augmentation
    assert TrainParams.preset("thorough") == TrainParams.thorough()
    assert TrainParams.on_gpu().device == "cuda"
    assert TrainParams.on_gpu().batch > quick.batch
    with pytest.raises(DatasetError, match=r"'slow'.*quick"):
        TrainParams.preset("slow")
    assert set(PRESETS) == {"quick", "thorough", "gpu", "paper"}


def test_the_papers_recipe_is_whole(dataset, tmp_path):
    recipe = TrainParams.paper()
    assert (recipe.batch, recipe.momentum, recipe.optimiser) == (1, 0.99, "sgd")
    assert (recipe.w0, recipe.sigma_px, recipe.target) == (10, 5, "foreground")
    assert recipe.augmentation == Augmentation.paper()
    assert (recipe.augmentation.elastic_px, recipe.augmentation.rotate) == (10, True)
    assert recipe.arguments["padding"] == "valid"
    assert recipe.arguments["dropout"] == 0.5
    small = replace(
        recipe,
        arguments={**recipe.arguments, "channels": (4, 8)},
        patch_px=36,
        steps=3,
        device="cpu",
    )
    checkpoint = train(dataset, out=tmp_path / "p.safetensors", **vars(small))
    assert checkpoint.network.margin == 8
    assert checkpoint.card.arguments["dropout"] == 0.5


def test_momentum_descends_as_its_formula_says():
    from napari_seg.training.sitting import build_optimiser

    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    optimiser = build_optimiser(
        network, TrainParams.paper(learning_rate=0.1, momentum=0.9)
    )
    for _ in range(2):
        optimiser.zero_grad()
        network(torch.ones(1, 1)).backward()
        optimiser.step()
    # velocity 1, then 0.9 + 1
    assert network.weight.item() == pytest.approx(1 - 0.1 - 0.1 * 1.9)


def test_the_loss_of_a_run_can_be_chosen(dataset, tmp_path):
    first = {
        name: losses(
            iter_train(
                dataset, tmp_path / f"{i}.safetensors", params(steps=2, loss=name)
            )
        )[0]
        for i, name in enumerate(("cross-entropy", "dice", "cross-entropy+dice"))
    }
    total = first["cross-entropy"] + first["dice"]
    assert first["cross-entropy+dice"] == pytest.approx(total, rel=1e-4)
    with pytest.raises(DatasetError, match="no loss named"):
        train(
            dataset, out=tmp_path / "x.safetensors", loss="l1", steps=1, arguments=TINY
        )


def test_a_tuned_model_names_what_it_started_from(dataset, start):
    card = replace(load_model(start).card, training_data="Discs, CC0.")
    named = start.with_name("named.safetensors")
    save_checkpoint(named, load_model(start).network, card)
    tuned = tune(named, dataset, steps=1, training_data="My cells.")
    assert tuned.card.training_data == "My cells. Started from start: Discs, CC0."
    assert tuned.card.description == "Fine-tuned from start"


def test_too_little_memory_is_explained(dataset, tmp_path, monkeypatch):
    def exhausted(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(Sitting, "_forward", exhausted)
    with pytest.raises(DeviceError, match="smaller batch"):
        run(iter_train(dataset, tmp_path / "m.safetensors", params()))


def test_a_finished_run_keeps_no_network(dataset, tmp_path, monkeypatch):
    sittings = []
    release = Sitting.release
    monkeypatch.setattr(
        Sitting, "release", lambda self: (sittings.append(self), release(self))
    )
    run(iter_train(dataset, tmp_path / "m.safetensors", params()))
    (sitting,) = sittings
    assert not list(sitting.network.parameters())
    assert not sitting.optimiser.state
