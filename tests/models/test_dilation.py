"""Dilated ("atrous") convolutions: what they compute, see and miss."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from napari_seg.models.deeplab import ASPPSum
from napari_seg.models.dilated_context import RATES, ContextModule
from napari_seg.models.hdc import HDC


def largest_gap(rates):
    """Largest distance between pixels that the second layer sees: M_2 of equation 2.

    Parameters
    ----------
    rates : sequence of int
        Dilations of 3x3 convolutions in a row, two or more.

    Returns
    -------
    int
        Nothing is missed if it is at most 3, the side of the kernels, and the rates
        have no common factor.
    """
    gap = rates[-1]
    for rate in reversed(rates[1:-1]):
        gap = max(gap - 2 * rate, 2 * rate - gap, rate)
    return gap


def seen_pixels(rates, kernel_px=3):
    """Which pixels of its receptive field an output of dilated convolutions sees.

    Returns
    -------
    ndarray of bool, shape (R, R)
        R = 1 + (kernel_px - 1) * sum(rates).
    """
    line = np.ones(1, bool)
    for rate in rates:
        longer = np.zeros(len(line) + (kernel_px - 1) * rate, bool)
        for tap in range(kernel_px):
            longer[tap * rate : tap * rate + len(line)] |= line
        line = longer
    return np.logical_and.outer(line, line)


def share(rates):
    return seen_pixels(rates).mean()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.sampled_from([1, 2, 3]), st.integers(0, 2**31))
def test_atrous_is_a_kernel_with_zeros_between(rate, side, seed):
    torch.manual_seed(seed)
    x, kernel = torch.randn(2, 3, 13, 15), torch.randn(2, 3, side, side)
    wide = side + (side - 1) * (rate - 1)
    holes = torch.zeros(2, 3, wide, wide)
    holes[..., ::rate, ::rate] = kernel
    found = functional.conv2d(x, kernel, dilation=rate)
    torch.testing.assert_close(found, functional.conv2d(x, holes))
    # By definition, at one pixel.
    y, x0 = 1, 2
    taps = x[:, :, y : y + wide : rate, x0 : x0 + wide : rate]
    by_hand = torch.einsum("ncij,kcij->nk", taps, kernel)
    torch.testing.assert_close(found[..., y, x0], by_hand, atol=1e-5, rtol=1e-5)


def test_atrous_is_an_ordinary_convolution_of_every_phase():
    x, kernel = torch.randn(1, 2, 12, 12), torch.randn(3, 2, 3, 3)
    whole = functional.conv2d(x, kernel, dilation=3, padding=3)
    for dy in range(3):
        for dx in range(3):
            part = functional.conv2d(x[..., dy::3, dx::3], kernel, padding=1)
            torch.testing.assert_close(whole[..., dy::3, dx::3], part)


def test_a_rate_as_large_as_the_map_leaves_the_middle_tap_alone():
    x = torch.randn(1, 4, 9, 11)
    aspp = ASPPSum(
        nn.Conv2d(4, 2, 3, padding=rate, dilation=rate) for rate in (11, 12, 30)
    )
    weight = sum(branch.weight[..., 1:2, 1:2] for branch in aspp)
    bias = sum(branch.bias for branch in aspp)
    torch.testing.assert_close(
        aspp(x), functional.conv2d(x, weight, bias), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("rate", "all_taps"),
    [(6, 0.665), (12, 0.398), (18, 0.199), (24, 0.068), (36, 0.0)],
)
def test_how_often_a_kernel_fits_into_a_map_of_65_pixels(rate, all_taps):
    ones = torch.ones(1, 1, 65, 65)
    taps = functional.conv2d(ones, torch.ones(1, 1, 3, 3), padding=rate, dilation=rate)
    assert (taps == 9).float().mean().item() == pytest.approx(all_taps, abs=6e-4)


def test_aspp_is_the_sum_of_its_branches():
    branches = [nn.Conv2d(3, 2, 3, padding=r, dilation=r) for r in (1, 2, 3)]
    x = torch.randn(1, 3, 8, 8)
    expected = branches[0](x) + branches[1](x) + branches[2](x)
    torch.testing.assert_close(ASPPSum(branches)(x), expected)


@pytest.mark.parametrize(
    ("rates", "gap"), [([1, 2, 5], 2), ([1, 2, 9], 5), ([2, 2, 2], 2), ([1, 2, 3], 2)]
)
def test_largest_gap_of_the_hdc_paper(rates, gap):
    assert largest_gap(rates) == gap


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_seen_pixels_are_those_with_a_gradient(rates):
    expected = seen_pixels(rates)
    side = len(expected)
    x = torch.zeros(1, 1, side, side, requires_grad=True)
    out = x
    for rate in rates:
        out = functional.conv2d(out, torch.ones(1, 1, 3, 3), dilation=rate)
    assert out.shape[2:] == (1, 1)
    out.sum().backward()
    assert np.array_equal(x.grad[0, 0].numpy() > 0, expected)


def test_2_2_2_sees_a_grid_and_1_2_5_everything():
    gridded = seen_pixels([2, 2, 2])
    assert (gridded.sum(), gridded.size) == (49, 169)
    assert not gridded[1::2].any()
    assert gridded[::2, ::2].all()
    for whole in ([1, 2, 5], [1, 2, 3]):
        assert seen_pixels(whole).all()
    assert share([1, 2, 9]) == pytest.approx(0.71, abs=0.01)
    assert share([5, 9, 17]) == pytest.approx(0.18, abs=0.01)


def dilations(stage):
    return [
        layer.dilation[0]
        for layer in stage.modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
    ]


@pytest.mark.parametrize(
    ("rates", "fourth", "fifth"),
    [
        ("2-2-2", [2] * 6, [4] * 3),
        ("1-2-5", [1, 2, 5, 1, 2, 5], [1, 2, 5]),
        ("1-2-5-9", [1, 2, 5, 9, 1, 2], [5, 9, 17]),
    ],
)
def test_hdc_dilates_the_blocks_of_the_last_two_stages(rates, fourth, fifth):
    with torch.device("meta"):
        network = HDC(3, 19, encoder="resnet50", rates=rates)
        plain = HDC(3, 19, encoder="resnet50")
    assert dilations(network.encoder.net.layer3) == fourth
    assert dilations(network.encoder.net.layer4) == fifth
    size = sum(p.numel() for p in network.parameters())
    assert size == sum(p.numel() for p in plain.parameters())


def test_dense_upsampling_puts_channels_into_cells():
    network = HDC(
        1,
        3,
        encoder="drn",
        encoder_options={"width": 2},
        cell_px=4,
        head_rates=(1, 2),
    ).eval()
    x = torch.rand(1, 1, 16, 24)
    with torch.inference_mode():
        scores = network.head(network.encoder(x))
        found = network.logits(x)["out"]
    assert found.shape == (1, 3, 8, 12)
    for k, a, b in ((0, 0, 0), (1, 2, 3), (2, 3, 1)):
        expected = scores[:, k * 16 + a * 4 + b]
        assert torch.equal(found[:, k, a::4, b::4], expected)


def test_the_context_module_starts_as_the_identity():
    torch.manual_seed(0)
    for size in ("basic", "large"):
        module = ContextModule(3, size, noise=0.0)
        x = torch.rand(2, 3, 40, 37)
        torch.testing.assert_close(module(x), x, atol=1e-5, rtol=0)
        noisy = ContextModule(3, size)(x)
        assert 1e-4 < (noisy - x).abs().mean() < 0.1


@pytest.mark.parametrize(("size", "count"), [("basic", 28_392), ("large", 6_803_139)])
def test_the_context_module_has_the_published_size(size, count):
    with torch.device("meta"):
        module = ContextModule(21, size)
    assert sum(p.numel() for p in module.parameters()) == count


def test_the_context_module_sees_67_pixels():
    seen, reached = 1, []
    for rate in RATES:
        seen += 2 * rate
        reached.append(seen)
    assert reached == [3, 5, 9, 17, 33, 65, 67]
    module = ContextModule(1, noise=0.0)
    for layer in module.layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    x = torch.ones(1, 1, 81, 81, requires_grad=True)
    module(x)[0, 0, 40, 40].backward()
    rows = x.grad[0, 0].any(1).nonzero().flatten()
    assert (rows[0], rows[-1], len(rows)) == (40 - 33, 40 + 33, 67)


def test_a_context_of_another_size_is_refused():
    with pytest.raises(ValueError, match="basic or large"):
        ContextModule(2, "huge")
