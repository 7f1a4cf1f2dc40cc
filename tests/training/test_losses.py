"""Each loss against a value worked out by hand."""

import math

import numpy as np
import pytest
import torch

from napari_seg.errors import DatasetError
from napari_seg.training.losses import (
    LOSSES,
    build_loss,
    dice,
    distillation,
    focal,
    lovasz,
    tversky,
    weighted_cross_entropy,
    with_auxiliary,
)


def batch(probabilities, classes, weights=None):
    """Logits (1, 2, 1, n) whose softmax gives class 1 the probabilities."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    logits = torch.stack([torch.zeros_like(p), torch.log(p / (1 - p))])[None, :, None]
    weights = [1.0] * len(classes) if weights is None else weights
    return (
        logits.float().requires_grad_(),
        torch.tensor(classes)[None, None],
        torch.tensor(weights)[None, None],
    )


def test_cross_entropy_averages_over_the_pixels_that_count():
    found = weighted_cross_entropy(*batch([0.8, 0.4, 0.5], [1, 1, 0], [2.0, 1.0, 0.0]))
    expected = (2 * -math.log(0.8) - math.log(0.4)) / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_focal_fades_where_the_network_is_right():
    found = focal(*batch([0.8, 0.4], [1, 0]))
    expected = (0.2**2 * -math.log(0.8) + 0.4**2 * -math.log(0.6)) / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_dice_by_hand():
    found = dice(*batch([0.8, 0.4, 0.1], [1, 1, 0]))
    cells = 1 - 2 * 1.2 / (1.3 + 2)
    background = 1 - 2 * 0.9 / (1.7 + 1)
    assert found.item() == pytest.approx((cells + background) / 2, rel=1e-5)


def test_tversky_by_hand():
    found = tversky(*batch([0.8, 0.4, 0.1], [1, 1, 0]))
    cells = 1 - 1.2 / (1.2 + 0.3 * 0.1 + 0.7 * 0.8)
    background = 1 - 0.9 / (0.9 + 0.3 * 0.8 + 0.7 * 0.1)
    assert found.item() == pytest.approx((cells + background) / 2, rel=1e-5)


def test_lovasz_by_hand():
    # Class 1: errors .2 (true), .6 (true), .1 (false), sorted .6, .2, .1. IoU loss of
    # the first 1, 2, 3 errors: 1/2, 2/2, 1. So .6 * .5 + .2 * .5 + .1 * 0.
    # Class 0: errors .6 (false), .2 (false), .1 (true): 1/2, 2/3, 1.
    found = lovasz(*batch([0.8, 0.4, 0.1], [1, 1, 0]))
    cells = 0.6 * 0.5 + 0.2 * 0.5
    background = 0.6 / 2 + 0.2 * (2 / 3 - 1 / 2) + 0.1 / 3
    assert found.item() == pytest.approx((cells + background) / 2, rel=1e-5)


def test_lovasz_of_hard_predictions_is_one_minus_iou():
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, 2, (2, 40))
    logits, classes, weights = batch((guess * 0.999998 + 1e-6).tolist(), truth.tolist())
    expected = np.mean(
        [
            1
            - ((truth == c) & (guess == c)).sum() / ((truth == c) | (guess == c)).sum()
            for c in (0, 1)
        ]
    )
    assert lovasz(logits, classes, weights).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_ignored_pixels_have_no_gradient_and_no_say(name):
    loss = build_loss(name)
    logits, classes, weights = batch([0.7, 0.3, 0.6], [1, 0, 0], [1.0, 1.0, 0.0])
    whole = loss(logits, classes, weights)
    whole.backward()
    assert not logits.grad[..., 2].any()
    assert logits.grad[..., :2].abs().min() > 0
    short = build_loss(name)(*batch([0.7, 0.3], [1, 0]))
    assert whole.item() == pytest.approx(short.item(), rel=1e-5)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_perfect_is_nothing_and_nothing_to_learn_is_nothing(name):
    loss = build_loss(name)
    perfect = loss(*batch([0.999999, 1e-6], [1, 0]))
    assert perfect.item() == pytest.approx(0, abs=1e-4)
    nothing = loss(*batch([0.5, 0.5], [1, 0], [0.0, 0.0]))
    nothing.backward()
    assert nothing.item() == 0


def test_several_losses_are_added_and_unknown_ones_named():
    data = batch([0.7, 0.3], [1, 1])
    both = build_loss("cross-entropy + dice")(*data)
    assert both.item() == pytest.approx(
        weighted_cross_entropy(*data).item() + dice(*data).item(), rel=1e-5
    )
    with pytest.raises(DatasetError, match=r"'mse'.*lovasz"):
        build_loss("dice+mse")


def test_auxiliary_heads_count_less_and_may_be_coarser():
    logits, classes, weights = batch([0.8, 0.8], [1, 1])
    main = weighted_cross_entropy(logits, classes, weights)
    coarse = logits.mean(dim=3, keepdim=True)
    for aux in (coarse, [coarse], [logits, coarse]):
        heads = len(aux) if isinstance(aux, list) else 1
        total = with_auxiliary(
            {"out": logits, "aux": aux},
            classes,
            weights,
            weighted_cross_entropy,
            aux_weight=0.4,
        )
        assert total.item() == pytest.approx(main.item() * (1 + 0.4 * heads), rel=1e-5)
    only = {"out": logits}
    alone = with_auxiliary(
        only, classes, weights, weighted_cross_entropy, aux_weight=0.4
    )
    assert alone.item() == pytest.approx(main.item())


def test_distillation_is_the_divergence_from_the_old_answers():
    old, *_ = batch([0.8], [1])
    new, *_ = batch([0.5], [1])
    expected = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    found = distillation(new, old)
    found.backward()
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert old.grad is None
    assert distillation(old, old).item() == pytest.approx(0, abs=1e-6)
