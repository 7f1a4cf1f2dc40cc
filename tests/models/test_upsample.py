"""Enlarging maps: each way against its definition, on maps small enough to check."""

from contextlib import nullcontext
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from napari_seg.models.blocks.bilinear import bilinear_kernel, fill_bilinear
from napari_seg.models.blocks.upsample import (
    Upsampling,
    build_upsampler,
    enlarge,
    overlap,
    unpool,
)

SQUARE = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])


def uneven():
    return pytest.warns(UserWarning, match="checkerboard")


def matrix(size, kernel, stride, padding):
    """Write a 1D convolution of a signal of `size` as X: one row for each output."""
    padded = size + 2 * padding
    rows = []
    for start in range(0, padded - len(kernel) + 1, stride):
        row = torch.zeros(padded)
        row[start : start + len(kernel)] = kernel
        rows.append(row[padding : padding + size])
    return torch.stack(rows)


def transposed(a, kernel, **options):
    return functional.conv_transpose1d(a[None, None], kernel[None, None], **options)[
        0, 0
    ]


def test_convolution_with_stride_1_is_the_matrix_of_the_lecture():
    a, k = torch.tensor([2.0, 3, 5, 7]), torch.tensor([11.0, 13, 17])
    x, y, z = k
    expected = torch.stack(
        [
            a[0] * y + a[1] * z,
            a[0] * x + a[1] * y + a[2] * z,
            a[1] * x + a[2] * y + a[3] * z,
            a[2] * x + a[3] * y,
        ]
    )
    assert torch.equal(matrix(4, k, 1, 1) @ a, expected)
    found = functional.conv1d(a[None, None], k[None, None], padding=1)
    assert torch.equal(found[0, 0], expected)


def test_transposed_convolution_with_stride_1_is_the_transposed_matrix():
    a, k = torch.tensor([2.0, 3, 5, 7]), torch.tensor([11.0, 13, 17])
    (a0, b, c, d), (x, y, z) = a, k
    expected = torch.stack(
        [
            a0 * x,
            a0 * y + b * x,
            a0 * z + b * y + c * x,
            b * z + c * y + d * x,
            c * z + d * y,
            d * z,
        ]
    )
    assert torch.equal(matrix(6, k, 1, 0).T @ a, expected)
    assert torch.equal(transposed(a, k), expected)
    # With stride 1 it is a convolution, padded fully, with the flipped kernel.
    full = functional.conv1d(a[None, None], k.flip(0)[None, None], padding=2)
    assert torch.equal(full[0, 0], expected)


def test_transposed_convolution_with_stride_2_is_the_transposed_matrix():
    a, k = torch.tensor([2.0, 3]), torch.tensor([11.0, 13, 17])
    (a0, b), (x, y, z) = a, k
    zero = torch.tensor(0.0)
    expected = torch.stack([a0 * x, a0 * y, a0 * z + b * x, b * y, b * z, zero])
    assert torch.equal(matrix(6, k, 2, 0).T @ a, expected)
    assert torch.equal(transposed(a, k, stride=2, output_padding=1), expected)
    # Padding takes entries away at both ends.
    assert torch.equal(transposed(a, k, stride=2, padding=1), expected[1:4])


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(1, 3), st.integers(1, 5), st.integers(0, 2**31))
def test_transposed_convolution_is_the_adjoint(size, stride, side, seed):
    torch.manual_seed(seed)
    rows = (size - 1) * stride + side
    kernel = torch.randn(2, 3, side, side, dtype=torch.double)
    image = torch.randn(1, 3, rows, rows, dtype=torch.double)
    small = torch.randn(1, 2, size, size, dtype=torch.double)
    down = functional.conv2d(image, kernel, stride=stride)
    up = functional.conv_transpose2d(small, kernel, stride=stride)
    torch.testing.assert_close((down * small).sum(), (image * up).sum())


def test_bed_of_nails_puts_values_in_the_corners_of_cells():
    expected = [[1.0, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]
    assert enlarge(SQUARE, "bed-of-nails", 2)[0, 0].tolist() == expected
    volume = enlarge(SQUARE[:, :, None], "bed-of-nails", 2)[0, 0]
    assert volume[0].tolist() == expected
    assert not volume[1].any()


def test_nearest_is_a_transposed_convolution_with_ones_and_the_adjoint_of_sums():
    x = torch.rand(1, 1, 3, 4)
    ones = torch.ones(1, 1, 3, 3)
    found = enlarge(x, "nearest", 3)
    torch.testing.assert_close(found, functional.conv_transpose2d(x, ones, stride=3))
    fine = torch.rand(1, 1, 9, 12)
    sums = functional.avg_pool2d(fine, 3, divisor_override=1)
    torch.testing.assert_close((found * fine).sum(), (x * sums).sum())


def test_bicubic_has_torchs_taps_and_bends_a_ramp():
    spike = torch.zeros(1, 1, 9, 9)
    spike[..., 4, :] = 1
    column = enlarge(spike, "bicubic", 2)[0, 0, :, 8]
    taps = {-0.03515625, 0.26171875, 0.87890625, -0.10546875}
    assert {round(v, 8) for v in column.tolist() if v} == taps
    assert sum(taps) == 1
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    exact = (torch.arange(32.0) + 0.5) / 2 - 0.5
    inner = slice(8, 24)
    bent = (enlarge(ramp, "bicubic", 2)[0, 0, 16] - exact)[inner].abs().max()
    assert bent.item() == pytest.approx(0.047, abs=0.001)
    straight = (enlarge(ramp, "bilinear", 2)[0, 0, 16] - exact)[inner].abs().max()
    assert straight < 1e-5


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 2**31))
def test_unpooling_puts_every_maximum_back_where_it_was(rows, columns, seed):
    torch.manual_seed(seed)
    x = torch.rand(2, 3, rows, columns) + 0.1
    pooled, switches = functional.max_pool2d(x, 2, return_indices=True)
    back = unpool(pooled, switches, size=(rows, columns))
    kept = back != 0
    assert back.shape == x.shape
    assert torch.equal(back[kept], x[kept])
    assert kept.sum() == pooled.numel()
    again = functional.max_pool2d(back, 2)
    assert torch.equal(again, pooled)
    expected = functional.max_unpool2d(pooled, switches, 2, output_size=x.shape)
    assert torch.equal(back, expected)


def test_unpooling_without_switches_is_refused():
    layer = build_upsampler("max-unpool", 2, 2)
    pooled, switches = functional.max_pool2d(
        torch.rand(1, 2, 4, 6), 2, return_indices=True
    )
    assert layer(pooled, switches).shape == (1, 2, 4, 6)
    with pytest.raises(TypeError, match="switches"):
        layer(pooled)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_bilinear_filler_is_interpolation(factor):
    side = 2 * factor - factor % 2
    pad = -(-(factor - 1) // 2)
    conv = nn.ConvTranspose2d(2, 2, side, stride=factor, padding=pad, groups=1)
    fill_bilinear(conv)
    assert bilinear_kernel(factor).sum().item() == pytest.approx(factor**2)
    x = torch.rand(1, 2, 5, 7)
    expected = enlarge(x, "bilinear", factor)
    rim = factor // 2
    inner = (..., slice(rim, -rim), slice(rim, -rim))
    torch.testing.assert_close(conv(x)[inner], expected[inner])
    # Beyond the border it takes zeros: replicate a pixel, and all agrees.
    wide = conv(functional.pad(x, (1, 1, 1, 1), mode="replicate"))
    cut = slice(factor, -factor)
    torch.testing.assert_close(wide[..., cut, cut], expected)


def test_bilinear_filler_refuses_kernels_that_would_be_lopsided():
    with pytest.raises(ValueError, match=r"4 pixels .found: 3"):
        fill_bilinear(nn.ConvTranspose2d(1, 1, 3, stride=2))
    kernel = bilinear_kernel(2)
    assert kernel[0].tolist() == [0.0625, 0.1875, 0.1875, 0.0625]


@pytest.mark.parametrize(
    ("side", "stride", "counts"),
    [
        (3, 2, [2, 1]),
        (4, 2, [2, 2]),
        (5, 3, [2, 2, 1]),
        (5, 4, [2, 1, 1, 1]),
        (6, 3, [2, 2, 2]),
    ],
)
def test_uneven_overlap_is_counted_and_warned_of(side, stride, counts):
    assert overlap(side, stride) == counts
    ones = torch.ones(1, 1, 12)
    line = functional.conv_transpose1d(ones, torch.ones(1, 1, side), stride=stride)
    assert line[0, 0, 3 * stride : 4 * stride].tolist() == counts
    if len(set(counts)) == 1:
        build_upsampler("transposed", 1, 1, factor=stride, kernel_px=side)
    else:
        with pytest.warns(UserWarning, match=f"multiple of {stride}, or resize-conv"):
            build_upsampler("transposed", 1, 1, factor=stride, kernel_px=side)


def checkerboard(layer):
    """Energy of what differs between neighbours, of a map without any structure."""
    found = layer(torch.ones(1, layer.in_channels_, 12, 12))[..., 4:-4, 4:-4]
    return (found - found.mean((2, 3), keepdim=True)).square().mean().item()


def test_a_resize_convolution_makes_no_checkerboard_and_a_transposed_one_does():
    torch.manual_seed(0)
    energies = {}
    for name, options in (
        ("uneven", {"mode": "transposed", "kernel_px": 3}),
        ("even", {"mode": "transposed", "kernel_px": 4}),
        ("resize", {"mode": "resize-conv"}),
    ):
        with uneven() if name == "uneven" else nullcontext():
            layer = build_upsampler(in_channels=8, out_channels=8, **options)
        conv = getattr(layer, "conv", layer)
        nn.init.kaiming_normal_(conv.weight)
        layer.in_channels_ = 8
        energies[name] = checkerboard(layer)
    assert energies["resize"] < 1e-10
    assert energies["uneven"] > 0.1
    # An even overlap helps kernels that are smooth; random ones are not.
    assert energies["even"] > 0.1
    even = nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1)
    fill_bilinear(even)
    even.in_channels_ = 8
    assert checkerboard(even) < 1e-10


@pytest.mark.parametrize("mode", sorted(set(get_args(Upsampling)) - {"max-unpool"}))
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(("n_in", "n_out"), [(3, 3), (3, 2)])
@pytest.mark.parametrize("factor", [2, 3])
def test_every_way_enlarges_by_the_factor(mode, ndim, n_in, n_out, factor):
    options = {"factor": factor, "ndim": ndim}
    if mode == "bicubic" and ndim == 3:
        with pytest.raises(ValueError, match="two dimensions"):
            build_upsampler(mode, n_in, n_out, **options)
        return
    size = (2, 4, 3)[:ndim]
    found = build_upsampler(mode, n_in, n_out, **options)(torch.rand(1, n_in, *size))
    assert found.shape == (1, n_out, *(factor * n for n in size))


@pytest.mark.parametrize("extra", [0, 1, 2, 3])
def test_a_wider_transposed_kernel_still_gives_the_factor(extra):
    with uneven() if extra % 2 else nullcontext():
        layer = build_upsampler("transposed", 1, 1, kernel_px=2 + extra)
    assert layer(torch.rand(1, 1, 5, 6)).shape[2:] == (10, 12)


def test_an_unknown_way_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="resize-conv"):
        build_upsampler("spline", 1, 1)
