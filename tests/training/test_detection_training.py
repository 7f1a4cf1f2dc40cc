"""Training a network that finds objects, by the same trainer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import losses, params

from napari_seg.inference.segment import segment
from napari_seg.models.card import DETECTIONS
from napari_seg.models.checkpoint import load_model
from napari_seg.training.augmentation import Augmentation
from napari_seg.training.instance_targets import instance_targets
from napari_seg.training.objectives import DetectionObjective
from napari_seg.training.progress import TrainProgress
from napari_seg.training.sources import ArraySource
from napari_seg.training.trainer import iter_train, train
from napari_seg.training.validation import MASK_THRESHOLDS, SCORES, SMALLEST_SHARES
from napari_seg.types import run

TINY = {
    "channels": (4, 8, 8, 8),
    "blocks": (1, 1, 1, 1),
    "pyramid": 8,
    "box_channels": 16,
    "mask_channels": 8,
}
TINY_AS_READ = {k: list(v) if isinstance(v, tuple) else v for k, v in TINY.items()}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def settings(**fields):
    return params(architecture="maskrcnn", **({"arguments": TINY} | fields))


def test_boxes_and_masks_by_hand():
    labels = np.zeros((12, 16), np.int32)
    labels[2:6, 3:9] = 7
    labels[5, 9] = 7
    labels[8:12, 10:15] = 3
    found = instance_targets(labels, 8)
    assert found["boxes"].tolist() == [[10, 8, 15, 12], [3, 2, 10, 6]]
    assert found["labels"].tolist() == [1, 1]
    assert torch.equal(found["masks"][1], torch.from_numpy(labels == 7))
    assert found["masks"].dtype == torch.bool
    assert not found["ignored"].any()


def test_slivers_and_unknown_pixels_are_not_judged():
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 0:4] = 1  # cut to a fifth of an ordinary object
    labels[0:10, 20:35] = 2  # cut to a half
    labels[20, 20:30] = 3  # too thin
    labels[30:, 30:] = -1
    found = instance_targets(labels, 20)
    assert found["boxes"].tolist() == [[20, 0, 35, 10]]
    expected = (labels == 1) | (labels == 3) | (labels == -1)
    np.testing.assert_array_equal(found["ignored"].numpy(), expected)


@pytest.mark.parametrize(("value", "objects"), [(0, 0), (-1, 0), (5, 1)])
def test_patches_of_one_value(value, objects):
    found = instance_targets(np.full((20, 20), value, np.int32), 10)
    assert found["boxes"].shape == (objects, 4)
    assert found["masks"].shape == (objects, 20, 20)
    assert found["ignored"].all() == (value < 0)


def test_targets_of_a_patch_are_its_ids():
    labels = np.array([[0, 4], [-1, 4]], np.int32)
    ids, weights = DetectionObjective(10, settings()).targets(labels)
    assert ids.tolist() == [[0, 4], [0, 4]]
    assert weights.tolist() == [[1, 1], [0, 1]]


def test_a_run_writes_a_detector_that_segments(dataset, tmp_path):
    out = tmp_path / "found.safetensors"
    steps = list(iter_train(dataset, out, settings(balance_classes=True)))
    trained = [step for step in steps if isinstance(step, TrainProgress)]
    assert [step.done for step in trained] == [1, 2, 3, 4]
    assert all(np.isfinite(step.loss) for step in trained)
    card = load_model(out).card
    assert (card.architecture, card.decoder) == ("maskrcnn", DETECTIONS)
    assert card.classes == ("background", "object")
    assert card.arguments["diameter_px"] == pytest.approx(
        card.object_diameter_px, abs=0.01
    )
    assert card.threshold in MASK_THRESHOLDS
    assert card.seed_threshold in SCORES
    shares = card.smallest_px / (np.pi / 4 * card.object_diameter_px**2)
    assert min(abs(shares - share) for share in SMALLEST_SHARES) < 0.01
    image = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    assert segment(image, out, diameter_px=12).labels.shape == (40, 50)


def test_a_stopped_run_goes_on_where_it_was(dataset, tmp_path):
    whole = losses(iter_train(dataset, tmp_path / "w.safetensors", settings(steps=5)))
    out = tmp_path / "part.safetensors"
    job = iter_train(dataset, out, settings(steps=5))
    before = []
    for step in job:
        if isinstance(step, TrainProgress):
            before.append(step.loss)
            if step.done == 3:
                job.close()
                break
    after = losses(iter_train(dataset, out, settings(steps=5, resume=True)))
    assert before + after == whole


def test_fine_tuning_rehearses_by_labels_and_may_widen_the_input(dataset, tmp_path):
    start = tmp_path / "start.safetensors"
    train(dataset, out=start, **vars(settings(steps=1)))
    tuned = settings(init=start, rehearse=(dataset,), steps=2, freeze_norm=True)
    found = run(iter_train(dataset, tmp_path / "t.safetensors", tuned))
    assert found.card.decoder == DETECTIONS
    assert found.card.classes == ("background", "object")
    colour = np.random.default_rng(0).random((48, 48, 3)).astype(np.float32)
    labels = np.zeros((48, 48), np.int32)
    labels[10:22, 10:22] = 1
    wide = replace(tuned, adapt_channels=True, rehearse=(), object_diameter_px=15)
    source = ArraySource(colour, labels, "colour", "YXC")
    found = run(iter_train(source, tmp_path / "c.safetensors", wide))
    assert found.card.in_channels == 3
    assert found.card.arguments == TINY_AS_READ | {"diameter_px": 15}


def test_what_is_unknown_takes_no_part(dataset):
    torch.manual_seed(0)
    from napari_seg.models.registry import build_network

    network = build_network("maskrcnn", in_channels=1, num_classes=2, **TINY)
    objective = DetectionObjective(12, settings())
    ids = torch.zeros(1, 32, 32, dtype=torch.int64)
    patch = (torch.rand(1, 1, 32, 32), ids, torch.zeros(1, 32, 32))
    loss = objective.loss(network.train(), patch, None, None, "cpu")
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(p.grad is None or not p.grad.isnan().any() for p in network.parameters())


@pytest.mark.slow
def test_discs_are_found_after_a_few_hundred_steps(layers, tmp_path):
    sources = [
        ArraySource(image, labels.astype(np.int32), str(number), "YX")
        for number, (image, labels) in enumerate(layers[:3])
    ]
    narrow = {
        "channels": (8, 16, 24, 32),
        "blocks": (1, 1, 1, 1),
        "pyramid": 32,
        "box_channels": 64,
        "mask_channels": 16,
    }
    job = iter_train(
        sources,
        tmp_path / "discs.safetensors",
        settings(
            arguments=narrow,
            steps=300,
            patch_px=64,
            validate_every=100,
            average_decay=0.98,
            learning_rate=2e-3,
            augmentation=Augmentation.gentle(),
        ),
    )
    card = run(job).card
    assert card.scores["ap_0.50"] > 0.9  # processors round differently
