"""Maps that flow along affinities."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.models.blocks.propagation import NEIGHBOURS, cspn, cspn_kernels, spn
from napari_seg.models.cspn import CSPN

seeds = given(st.integers(0, 10_000))
few = settings(max_examples=15, deadline=None)


def one_step(x, guidance, *, positive):
    """CSPN by its formula, pixel by pixel."""
    rows, columns = x.shape
    out = torch.zeros_like(x)
    for i in range(rows):
        for j in range(columns):
            gates, values = [], []
            for number, (dy, dx) in enumerate(NEIGHBOURS):
                y, k = i + dy, j + dx
                inside = 0 <= y < rows and 0 <= k < columns
                gate = guidance[number, y, k] if inside else torch.tensor(0.0)
                gates.append(gate.abs() if positive else gate)
                values.append(x[y, k] if inside else torch.tensor(0.0))
            gates, values = torch.stack(gates), torch.stack(values)
            gates = gates / gates.abs().sum()
            out[i, j] = (1 - gates.sum()) * x[i, j] + (gates * values).sum()
    return out


@pytest.mark.parametrize("positive", [True, False])
def test_one_step_is_the_formula(positive):
    torch.manual_seed(0)
    x, guidance = torch.rand(4, 5), torch.randn(8, 4, 5)
    kernels = cspn_kernels(guidance[None], positive=positive)
    found = cspn(x[None, None], kernels, steps=1)[0, 0]
    expected = one_step(x, guidance, positive=positive)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@seeds
@few
def test_kernels_are_normalised_and_a_constant_stays(seed):
    torch.manual_seed(seed)
    guidance = torch.randn(2, 8, 4, 6)
    for positive in (True, False):
        kernels = cspn_kernels(guidance, positive=positive)
        assert kernels.abs().sum(1).sub(1).abs().max() < 1e-3
        flat = torch.full((2, 3, 4, 6), 2.5)
        if positive:
            assert (kernels >= 0).all()
        inside = cspn(flat, kernels, steps=4)
        torch.testing.assert_close(inside, flat, atol=1e-3, rtol=0)


@seeds
@few
def test_nothing_rises_above_what_was_there(seed):
    torch.manual_seed(seed)
    x = torch.rand(1, 2, 5, 4)
    found = cspn(x, cspn_kernels(torch.randn(1, 8, 5, 4)), steps=7)
    assert found.max() <= x.max() + 1e-4
    found = spn(x, torch.rand(1, 24, 5, 4))
    assert found.max() <= x.max() + 1e-5
    assert found.min() >= x.min() - 1e-5


def test_anchors_stay_what_they_are():
    torch.manual_seed(0)
    x, known = torch.rand(1, 2, 5, 5), torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    known[..., 2, 3] = True
    kernels = cspn_kernels(torch.randn(1, 8, 5, 5))
    found = cspn(x, kernels, steps=5, anchors=(known, torch.ones_like(x)))
    assert found[..., 2, 3].eq(1).all()
    assert not torch.allclose(found, cspn(x, kernels, steps=5))


def test_without_weights_an_spn_changes_nothing_and_a_constant_stays():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(spn(x, torch.zeros(2, 36, 4, 5)), x)
    flat = torch.full_like(x, -1.5)
    torch.testing.assert_close(spn(flat, torch.randn(2, 36, 4, 5)), flat)


def test_an_impulse_reaches_one_pixel_more_to_each_side_in_every_row():
    x = torch.zeros(1, 1, 4, 11)
    x[..., 0, 5] = 1
    guidance = torch.zeros(1, 4, 1, 3, 4, 11)
    guidance[:, 0] = 1  # downwards only
    found = spn(x, guidance.view(1, 12, 4, 11))[0, 0]
    assert [int((row > 0).sum()) for row in found] == [1, 3, 5, 7]
    torch.testing.assert_close(found.sum(1), torch.ones(4))  # all of it arrives
    torch.testing.assert_close(found[1, 4:7], torch.full((3,), 1 / 3))


def test_an_spn_looks_from_all_four_sides():
    x = torch.zeros(1, 1, 7, 7)
    x[..., 3, 3] = 1
    found = spn(x, torch.full((1, 12, 7, 7), 0.2))[0, 0]
    assert (found.diagonal() > 0).all()
    torch.testing.assert_close(found, found.flip(0))
    torch.testing.assert_close(found, found.flip(1))
    torch.testing.assert_close(found, found.T)


def test_any_dense_network_can_be_refined_but_none_that_eats_pixels():
    arguments = {"encoder_options": {"channels": (4, 4, 4, 8), "layers": (1, 1, 1, 1)}}
    network = CSPN(
        1, 2, base="pspnet", base_arguments={"encoder": "resnet18", **arguments}
    )
    assert network.divisor == 8
    found = network.train()(torch.rand(1, 1, 40, 36))
    assert found["out"].shape == (1, 2, 40, 36)
    assert [each.shape for each in found["aux"]] == [(1, 2, 40, 36)] * 2
    with pytest.raises(ValueError, match="padding='same'"):
        CSPN(1, 2, base_arguments={"channels": (2, 2)})
    with pytest.raises(ValueError, match="propagation"):
        CSPN(1, 2, propagation="crf")
