"""Affinity fields against values worked out by hand."""

import math

import pytest
import torch

from napari_seg.training.affinity import ASCENT, AdaptiveAffinity, affinity_field
from napari_seg.training.losses import build_loss


def halves(side=8):
    """Two classes, left and right, all pixels known."""
    classes = torch.zeros(1, side, side, dtype=torch.int64)
    classes[..., side // 2 :] = 1
    return classes, torch.ones(1, side, side)


def certain(classes, count=2):
    truth = torch.nn.functional.one_hot(classes, count).movedim(-1, 1).float()
    return 30 * truth


def test_uniform_probabilities_cost_the_margin_across_borders_and_nothing_within():
    classes, weights = halves()
    edge, inner = affinity_field(torch.zeros(1, 2, 8, 8), classes, weights)
    torch.testing.assert_close(edge, torch.full((2, 3), 3.0))
    assert inner.eq(0).all()
    loss = AdaptiveAffinity()(torch.zeros(1, 2, 8, 8), classes, weights)
    assert loss.item() == pytest.approx(3.0)


def test_the_truth_costs_nothing():
    classes, weights = halves()
    edge, inner = affinity_field(certain(classes), classes, weights)
    assert edge.abs().max() < 1e-5
    assert inner.abs().max() < 1e-5


def test_one_pair_by_hand():
    p, q = 0.8, 0.3  # probabilities of class 1 in two neighbours
    logits = torch.tensor([[[0.0, 0.0]], [[math.log(p / 0.2), math.log(q / 0.7)]]])[
        None
    ]
    there = p * math.log(p / q) + 0.2 * math.log(0.2 / 0.7)
    back = q * math.log(q / p) + 0.7 * math.log(0.7 / 0.2)
    ones = torch.ones(1, 1, 2)
    edge, inner = affinity_field(logits, torch.tensor([[[1, 0]]]), ones)
    assert edge[0, 0].item() == pytest.approx(3 - (there + back) / 2, rel=1e-5)
    assert edge[1, 0].item() == pytest.approx(edge[0, 0].item(), rel=1e-5)
    assert inner.eq(0).all()
    edge, inner = affinity_field(logits, torch.tensor([[[1, 1]]]), ones)
    assert inner[0, 0].item() == pytest.approx((there + back) / 2, rel=1e-5)
    assert edge.eq(0).all()


def test_all_pairs_by_brute_force():
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 5, 6)
    classes = torch.randint(0, 3, (1, 5, 6))
    weights = (torch.rand(1, 5, 6) > 0.2).float()
    probabilities = logits.softmax(1)[0]
    sums, numbers = torch.zeros(2, 3, 3), torch.zeros(2, 3, 3)
    for size in (1, 2, 3):
        for y in range(5):
            for x in range(6):
                for dy in (-size, 0, size):
                    for dx in (-size, 0, size):
                        j, k = y + dy, x + dx
                        if (dy, dx) == (0, 0) or not (0 <= j < 5 and 0 <= k < 6):
                            continue
                        if not weights[0, y, x] or not weights[0, j, k]:
                            continue
                        for c in range(3):
                            p, q = probabilities[c, j, k], probabilities[c, y, x]
                            cost = p * (p / q).log()
                            cost += (1 - p) * ((1 - p) / (1 - q)).log()
                            same = (classes[0, y, x] == c) == (classes[0, j, k] == c)
                            kind = int(same)
                            cost = cost if same else (3 - cost).clamp(min=0)
                            sums[kind, c, size - 1] += cost
                            numbers[kind, c, size - 1] += 1
    expected = 3 * sums / numbers.sum(1, keepdim=True)
    found = affinity_field(logits, classes, weights)
    torch.testing.assert_close(torch.stack(found), expected, atol=1e-4, rtol=1e-4)


def test_the_distance_that_costs_most_gains_weight():
    loss = AdaptiveAffinity()
    costs = torch.tensor([[3.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    assert loss._worst("edge", costs).item() == pytest.approx(1.0)
    scores = loss._scores["edge"]
    torch.testing.assert_close(scores[0, 0], torch.tensor(ASCENT * (3 - 1) / 3))
    assert scores[0, 1] < 0
    assert scores[1].eq(0).all()
    for _ in range(5000):
        last = loss._worst("edge", costs)
    assert 1.6 < last.item() < 2  # towards (3 + 1) / 2


def test_every_run_begins_anew_and_the_parts_are_added():
    classes, weights = halves()
    logits = torch.randn(1, 2, 8, 8)
    loss = build_loss("cross-entropy+aaf")
    first = loss(logits, classes, weights).item()
    assert loss(logits, classes, weights).item() != first
    assert build_loss("cross-entropy+aaf")(logits, classes, weights).item() == first
    expected = build_loss("cross-entropy")(logits, classes, weights)
    expected = expected + AdaptiveAffinity()(logits, classes, weights)
    assert first == pytest.approx(expected.item(), rel=1e-5)
