"""Attention between pixels, channels and tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import Attention
from torchvision.ops import SqueezeExcitation as TheirSqueezeExcitation

from napari_seg.models.blocks import attention as module
from napari_seg.models.blocks.attention import (
    ChannelAttention,
    NonLocal,
    PositionAttention,
    SqueezeExcitation,
    attend,
    attention_rows,
    token_attention,
)
from napari_seg.models.danet import DANet
from napari_seg.models.unet import UNet

PIXELWISE = [PositionAttention(16), NonLocal(16)]


def awake(block):
    """Let a block do something, which before training it does not."""
    torch.manual_seed(0)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return block.eval()


def permute(x, order):
    return x.flatten(2)[..., order].view_as(x)


def test_attention_by_brute_force():
    torch.manual_seed(0)
    queries, keys, values = torch.randn(3, 2, 4, 5).unbind(0)
    found = attend(queries, keys, values)
    for n in range(2):
        for q in range(5):
            weights = torch.stack(
                [torch.exp(queries[n, :, q] @ keys[n, :, p]) for p in range(5)]
            )
            expected = (values[n] * weights).sum(1) / weights.sum()
            torch.testing.assert_close(found[n, :, q], expected)


def test_rows_made_in_parts_are_the_same(monkeypatch):
    torch.manual_seed(0)
    queries, keys, values = torch.randn(3, 1, 4, 7).unbind(0)
    expected = attend(queries, keys, values)
    monkeypatch.setattr(module, "QUERIES", 3)
    assert torch.allclose(attend(queries, keys, values), expected)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_rows_sum_to_one(seed):
    torch.manual_seed(seed)
    rows = attention_rows(5 * torch.randn(2, 3, 6), torch.randn(2, 3, 8))
    assert rows.shape == (2, 6, 8)
    assert (rows >= 0).all()
    torch.testing.assert_close(rows.sum(2), torch.ones(2, 6))


@pytest.mark.parametrize("block", PIXELWISE, ids=lambda b: type(b).__name__)
def test_pixels_may_change_places(block):
    block, x = awake(block), torch.randn(2, 16, 3, 4)
    order = torch.randperm(12)
    assert not torch.allclose(block(x), x)
    torch.testing.assert_close(
        block(permute(x, order)), permute(block(x), order), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("block", PIXELWISE, ids=lambda b: type(b).__name__)
def test_what_a_pixel_looks_at_is_its_row(block):
    block, x = awake(block), torch.randn(2, 16, 3, 4)
    row = block.look(x, (1, 2))
    assert row.shape == (2, 3, 4)
    torch.testing.assert_close(row.sum((1, 2)), torch.ones(2))
    queries, keys, values = block.features(x)
    gathered = (values * row.flatten(1)[:, None]).sum(2)
    torch.testing.assert_close(gathered, attend(queries, keys, values)[..., 6])


def test_channel_attention_by_brute_force_and_under_permutation():
    block, x = awake(ChannelAttention()), torch.randn(2, 5, 3, 4)
    energy = torch.einsum("nchw,ndhw->ncd", x, x)
    expected = (energy.amax(2, keepdim=True) - energy).softmax(2)  # as the authors
    torch.testing.assert_close(block.weights(x), expected)
    torch.testing.assert_close(block.weights(x).sum(2), torch.ones(2, 5))
    order, channels = torch.randperm(12), torch.randperm(5)
    torch.testing.assert_close(block(permute(x, order)), permute(block(x), order))
    torch.testing.assert_close(block(x[:, channels]), block(x)[:, channels])


@pytest.mark.parametrize(
    "block",
    [
        PositionAttention(8),
        ChannelAttention(),
        NonLocal(8),
        NonLocal(8, subsample=True),
    ],
)
def test_before_training_nothing_is_changed(block):
    x = torch.randn(1, 8, 4, 6)
    assert torch.equal(block(x), x)


def test_a_subsampled_non_local_block_looks_at_a_quarter():
    block, x = awake(NonLocal(8, subsample=True)), torch.randn(1, 8, 5, 7)
    assert block.look(x, (4, 6)).shape == (1, 2, 3)
    assert block(x).shape == x.shape


def test_published_sizes():
    def count(block):
        return sum(p.numel() for p in block.parameters())

    assert count(PositionAttention(512)) == 328_321
    assert count(ChannelAttention()) == 1
    assert count(NonLocal(256)) == 131_712
    assert count(SqueezeExcitation(256)) == 8_464
    with torch.device("meta"):
        network = DANet(3, 21)
    assert count(network) - count(network.encoder) == 23_957_697


def test_squeeze_and_excitation_is_that_of_torchvision():
    theirs = awake(TheirSqueezeExcitation(16, 8))
    ours = SqueezeExcitation(16, reduction=2)
    ours.load_state_dict(
        {
            name: value.flatten(1) if value.ndim > 1 else value
            for name, value in zip(
                ours.state_dict(), theirs.state_dict().values(), strict=True
            )
        }
    )
    x = torch.randn(2, 16, 3, 4)
    torch.testing.assert_close(ours(x), theirs(x))


def test_open_gates_change_nothing_and_gates_lie_between_0_and_1():
    block, x = awake(SqueezeExcitation(4)), torch.randn(2, 4, 2, 3, 5)
    gates = block.gates(x)
    assert ((gates > 0) & (gates < 1)).all()
    torch.testing.assert_close(block(x), x * gates[..., None, None, None])
    with torch.no_grad():
        block.excite.bias.fill_(1e4)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("attention", ["se", "non-local"])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_unet_with_attention_keeps_its_shape(ndim, attention, padding):
    network = UNet(
        1, 2, ndim=ndim, channels=(3, 4), padding=padding, attention=attention
    ).eval()
    side = network.input_size(18)
    found = network(torch.rand(1, 1, *(side,) * ndim))["out"]
    assert found.shape[2:] == (side - 2 * network.margin,) * ndim


def test_non_local_attention_is_silent_at_first_and_unknown_ones_are_refused():
    torch.manual_seed(0)
    plain = UNet(1, 2, channels=(3, 4), padding="same")
    torch.manual_seed(0)
    other = UNet(1, 2, channels=(3, 4), padding="same", attention="non-local")
    x = torch.rand(1, 1, 9, 12)
    assert torch.equal(plain(x)["out"], other(x)["out"])
    assert set(plain.state_dict()) < set(other.state_dict())
    with pytest.raises(ValueError, match="attention must be one of"):
        UNet(1, 2, attention="dual")


def test_attention_of_a_token_is_what_timm_computes():
    torch.manual_seed(0)
    layer = Attention(12, num_heads=3, qkv_bias=True)
    layer.fused_attn = False
    tokens, seen = torch.randn(2, 5, 12), []
    layer.attn_drop.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    layer(tokens)
    expected = seen[0].mean(1)
    for at in range(5):
        torch.testing.assert_close(token_attention(layer, tokens, at), expected[:, at])
