from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.models.blocks.upsample import Upsampling
from napari_seg.models.registry import build_network
from napari_seg.models.unet import UNet

SMALL = {"channels": (4, 6, 8)}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("in_channels", "num_classes", "options", "expected"),
    [
        (1, 2, {}, 31_030_658),
        (1, 1, {}, 31_030_593),
        (3, 2, {}, 31_031_810),
        (3, 1, {"norm": "batch", "padding": "same"}, 31_037_633),
        (1, 2, {"norm": "batch", "padding": "same"}, 31_036_546),
    ],
)
def test_parameter_counts_of_the_2015_network(
    in_channels, num_classes, options, expected
):
    with torch.device("meta"):
        network = UNet(in_channels, num_classes, **options)
    assert count(network) == expected


def test_parameter_count_of_the_3d_unet_paper():
    with torch.device("meta"):
        network = UNet(3, 3, ndim=3, channels=(64, 128, 256, 512), scheme="2016")
    assert count(network) == 19_069_955


def test_572_pixels_become_388():
    with torch.device("meta"):
        network = UNet(1, 2)
        out = network(torch.zeros(1, 1, 572, 572))["out"]
    assert out.shape == (1, 2, 388, 388)
    assert (network.margin, network.divisor) == (92, 16)


def test_3d_paper_tile_132_132_116_becomes_44_44_28():
    with torch.device("meta"):
        network = UNet(3, 3, ndim=3, channels=(64, 128, 256, 512), scheme="2016")
        out = network(torch.zeros(1, 3, 132, 132, 116))["out"]
    assert out.shape == (1, 3, 44, 44, 28)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("upsampling", ["transposed", "resize-conv", "bed-of-nails"])
@pytest.mark.parametrize("depth", [1, 2])
def test_margin_is_what_the_network_really_eats(ndim, upsampling, depth):
    network = UNet(
        1, 2, ndim=ndim, channels=(2, 3, 4)[: depth + 1], upsampling=upsampling
    )
    size = network.input_size(2 * network.margin + 5)
    out = network(torch.zeros(1, 1, *(size,) * ndim))["out"]
    assert out.shape[2:] == (size - 2 * network.margin,) * ndim


@pytest.mark.parametrize("norm", [None, "batch", "group"])
@pytest.mark.parametrize(
    "upsampling", sorted(set(get_args(Upsampling)) - {"max-unpool"})
)
@pytest.mark.parametrize("channels", [1, 3])
def test_padded_networks_keep_any_size(norm, upsampling, channels):
    network = UNet(
        channels, 3, padding="same", norm=norm, upsampling=upsampling, **SMALL
    ).eval()
    assert network.margin == 0
    for size in ((37, 53), (4, 4), (1, 9)):
        out = network(torch.zeros(2, channels, *size))["out"]
        assert out.shape == (2, 3, *size)


def test_volumes_of_odd_size_keep_it():
    network = UNet(1, 2, ndim=3, padding="same", norm="group", **SMALL)
    assert network(torch.zeros(1, 1, 5, 9, 11))["out"].shape == (1, 2, 5, 9, 11)


def test_illegal_size_of_a_valid_network_names_the_next_legal_one():
    network = UNet(1, 2, **SMALL)
    legal = network.input_size(60)
    with pytest.raises(ValueError, match=str(legal)):
        network(torch.zeros(1, 1, legal - 1, legal))
    assert network(torch.zeros(1, 1, legal, legal))["out"].shape[2] > 0


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("norm", [None, "batch", "group"])
def test_a_gradient_reaches_every_parameter(padding, norm):
    network = UNet(1, 2, padding=padding, norm=norm, **SMALL)
    size = network.input_size(60)
    network(torch.randn(2, 1, size, size))["out"].square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_evaluation_is_repeatable_and_batches_do_not_mix():
    network = UNet(1, 2, padding="same", norm="batch", dropout=0.5, **SMALL).eval()
    x = torch.randn(2, 1, 24, 24)
    with torch.inference_mode():
        both = network(x)["out"]
        assert torch.equal(both, network(x)["out"])
        alone = torch.cat([network(x[:1])["out"], network(x[1:])["out"]])
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=0)


def test_dropout_acts_while_training_only():
    network = UNet(1, 2, padding="same", dropout=0.5, **SMALL)
    x = torch.randn(1, 1, 24, 24)
    assert not torch.equal(network.train()(x)["out"], network(x)["out"])
    assert torch.equal(network.eval()(x)["out"], network(x)["out"])


@pytest.mark.slow
def test_two_discs_are_learnt_within_a_hundred_steps():
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    truth = torch.stack(
        [(y - 40) ** 2 + (x - 30) ** 2 < 400, (y - 60) ** 2 + (x - 50) ** 2 < 250]
    )
    images = truth[:, None].float() + 0.3 * torch.randn(2, 1, 96, 96)
    network = build_network(
        "unet",
        in_channels=1,
        num_classes=2,
        channels=(8, 16, 32, 64),
        padding="same",
        norm="batch",
    )
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(network(images)["out"], truth.long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.inference_mode():
        found = network.eval()(images)["out"].argmax(1) == 1
    iou = (found & truth).sum() / (found | truth).sum()
    assert iou > 0.9


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ndim": 4}, "ndim"),
        ({"channels": (8,)}, "levels"),
        ({"padding": "reflect"}, "padding"),
        ({"upsampling": "spline"}, "upsampling"),
        ({"upsampling": "bicubic"}, "padding='same'"),
        ({"upsampling": "max-unpool"}, "SegNet"),
        ({"upsampling": "bicubic", "ndim": 3, "padding": "same"}, "two dimensions"),
        ({"norm": "layer"}, "norm"),
        ({"scheme": "2020"}, "scheme"),
    ],
)
def test_unknown_options_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        UNet(1, 2, **options)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    extent=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    upsampling=st.sampled_from(
        ["transposed", "resize-conv", "nearest", "bilinear", "bicubic"]
    ),
)
def test_a_window_equals_the_same_part_of_the_whole(size, corner, extent, upsampling):
    torch.manual_seed(0)
    network = UNet(1, 2, padding="same", norm="batch", upsampling=upsampling, **SMALL)
    keep = []
    for length, where, share in zip(size, corner, extent, strict=True):
        start = int(where * (length - 1))
        keep.append(slice(start, start + 1 + int(share * (length - start - 1))))
    x = torch.randn(1, 1, *size)
    with torch.inference_mode():
        whole = network.eval()(x)["out"][(..., *keep)]
        window = network(x, keep=keep)["out"]
    torch.testing.assert_close(window, whole, atol=1e-5, rtol=1e-5)


def test_valid_networks_and_volumes_give_windows_too():
    x = torch.randn(1, 1, 60, 60)
    valid = UNet(1, 2, **SMALL).eval()
    keep = [slice(3, 9), slice(2, 4)]
    with torch.inference_mode():
        whole = valid(x)["out"][(..., *keep)]
        assert torch.equal(valid(x, keep=keep)["out"], whole)
        volume = UNet(1, 2, ndim=3, padding="same", **SMALL).eval()
        cube = torch.randn(1, 1, 9, 16, 20)
        keep = [slice(2, 7), slice(5, 9), slice(0, 20)]
        torch.testing.assert_close(
            volume(cube, keep=keep)["out"],
            volume(cube)["out"][(..., *keep)],
            atol=1e-5,
            rtol=1e-5,
        )


def test_weights_are_drawn_for_relu_as_the_paper_says():
    torch.manual_seed(0)
    network = UNet(1, 2, channels=(64, 128), padding="valid")
    conv = network.encoder[1][1][0]  # 128 channels to 128
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    assert not conv.bias.any()


def test_dropout_is_at_the_end_of_the_contracting_path():
    network = UNet(1, 2, channels=(4, 8, 16), padding="same", dropout=1.0).train()
    seen = []
    for block in network.encoder:
        block.register_forward_hook(lambda *found: seen.append(found[1][0]))
    network(torch.rand(1, 1, 16, 16))
    # The first block's output reaches the second whole; the second's is dropped.
    assert seen[1].any()
    assert not seen[2].any()


@pytest.mark.parametrize("upsampling", ["transposed", "resize-conv"])
@pytest.mark.parametrize("flat", [0, 1, 2])
def test_flat_levels_leave_planes_alone(flat, upsampling):
    torch.manual_seed(0)
    network = UNet(
        1,
        2,
        ndim=3,
        channels=(2, 3, 4),
        padding="same",
        upsampling=upsampling,
        flat_levels=flat,
    ).eval()
    assert (network.z_divisor, network.divisor) == (2 ** (2 - flat), 4)
    image = torch.rand(1, 1, 5, 13, 16)
    whole = network(image)["out"]
    assert whole.shape == (1, 2, 5, 13, 16)
    window = (slice(1, 4), slice(2, 9), slice(5, 16))
    part = network(image, keep=window)["out"]
    assert torch.allclose(part, whole[(..., *window)], atol=1e-5)


def test_with_all_levels_flat_and_no_3d_kernels_planes_are_strangers():
    torch.manual_seed(0)
    network = UNet(1, 2, ndim=3, channels=(2, 3), padding="same", flat_levels=1).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv3d) and module.kernel_size[0] == 3:
                module.weight[:, :, [0, 2]] = 0
    image = torch.rand(1, 1, 4, 8, 8)
    changed = image.clone()
    changed[:, :, 0] += 1
    before, after = network(image)["out"], network(changed)["out"]
    assert torch.allclose(before[:, :, 1:], after[:, :, 1:])
    assert not torch.allclose(before[:, :, 0], after[:, :, 0])


@pytest.mark.parametrize(
    "options",
    [
        {"ndim": 2, "padding": "same"},
        {"ndim": 3, "padding": "valid"},
        {"ndim": 3, "padding": "same", "flat_levels": 3},
    ],
)
def test_impossible_flat_levels_are_refused(options):
    with pytest.raises(ValueError, match="flat_levels must be"):
        UNet(1, 2, channels=(2, 3, 4), **({"flat_levels": 1} | options))
