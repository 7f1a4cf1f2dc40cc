"""Segmenter's two decoders."""

import pytest
import torch
from torch import nn

from napari_seg.models.segmenter import MaskDecoder, Segmenter

TINY = {
    "encoder": "vit_tiny_patch16_224",
    "encoder_options": {"embed_dim": 24, "depth": 2, "num_heads": 2},
    "image_px": 32,
}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("embed", "linear", "mask"),
    [
        (192, 28_950, 1_029_996),
        (384, 57_750, 4_050_348),
        (768, 115_350, 16_063_020),
        (1024, 153_750, 28_495_148),
    ],
)
def test_decoders_have_the_parameters_of_the_paper(embed, linear, mask):
    with torch.device("meta"):
        assert count(nn.Linear(embed, 150)) == linear
        assert count(MaskDecoder(embed, 150)) == mask


class Reference(nn.Module):
    """The authors' decoder in torch's own words."""

    def __init__(self, embed, classes):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                embed,
                max(1, embed // 64),
                4 * embed,
                0.0,
                "gelu",
                batch_first=True,
                norm_first=True,
                layer_norm_eps=1e-5,
            )
            for _ in range(2)
        )

    def load(self, ours):
        names = {
            "norm1": "norm1",
            "self_attn.in_proj_": "attn.qkv.",
            "self_attn.out_proj": "attn.proj",
            "norm2": "norm2",
            "linear1": "mlp.fc1",
            "linear2": "mlp.fc2",
        }
        weights = {}
        for name in self.state_dict():
            source = name
            for theirs, mine in names.items():
                source = source.replace(theirs, mine)
            weights[name] = ours.state_dict()[source]
        self.load_state_dict(weights)


def test_mask_decoder_is_that_of_the_authors():
    torch.manual_seed(0)
    ours = MaskDecoder(128, 3, normalise=True).eval()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.1)
    for block in ours.blocks:
        block.norm1.eps = block.norm2.eps = 1e-5
    theirs = Reference(128, 3).eval()
    theirs.load(ours)
    tokens = torch.randn(2, 10, 128)
    x = torch.cat([ours.project(tokens), ours.classes.expand(2, -1, -1)], 1)
    for block in theirs.blocks:
        x = block(x)
    x = ours.norm(x)
    patches, classes = x[:, :-3] @ ours.of_patches, x[:, -3:] @ ours.of_classes
    patches = patches / patches.norm(dim=-1, keepdim=True)
    classes = classes / classes.norm(dim=-1, keepdim=True)
    expected = ours.mask_norm(torch.einsum("npd,nkd->npk", patches, classes))
    torch.testing.assert_close(ours(tokens), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("normalise", [True, False])
def test_masks_are_cosines_and_classes_may_change_places(normalise):
    torch.manual_seed(0)
    decoder = MaskDecoder(64, 4, normalise=normalise).eval()
    tokens = torch.randn(2, 6, 64)
    masks = decoder.masks(tokens)
    assert masks.abs().max() <= 1 + 1e-6
    nn.init.normal_(decoder.mask_norm.weight)
    before, order = decoder(tokens), torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        for value in (decoder.mask_norm.weight, decoder.mask_norm.bias):
            value.copy_(value[order])
        decoder.classes.copy_(decoder.classes[:, order])
    torch.testing.assert_close(
        decoder(tokens), before[..., order], atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("decoder", ["mask", "linear"])
def test_every_output_depends_on_every_patch(decoder):
    torch.manual_seed(0)
    network = Segmenter(1, 2, **TINY, decoder=decoder).eval()
    x = torch.rand(1, 1, 48, 64, requires_grad=True)
    network(x)["out"][0, 1, 5, 7].backward()
    reached = nn.functional.max_pool2d(x.grad.abs(), 16)
    assert reached.shape[2:] == (3, 4)
    assert (reached > 0).all()


def test_linear_decoder_classifies_patch_by_patch():
    network = Segmenter(1, 2, **TINY, decoder="linear").eval()
    x = torch.rand(1, 1, 32, 48)
    with torch.inference_mode():
        tokens = network.encoder.forward_features(x)[:, 1:]
        expected = network.head(tokens)
        found = network.logits(x)["out"]
    torch.testing.assert_close(found[0, :, 1, 2], expected[0, 5])


def test_other_decoders_are_refused():
    with pytest.raises(ValueError, match="decoder"):
        Segmenter(1, 2, **TINY, decoder="dpt")


def test_few_classes_are_scaled_and_many_normalised():
    torch.manual_seed(0)
    tokens = torch.randn(2, 6, 64)
    few, many = MaskDecoder(64, 2).eval(), MaskDecoder(64, 8).eval()
    torch.testing.assert_close(few(tokens), 10 * few.masks(tokens))
    torch.testing.assert_close(
        many(tokens).mean(2), torch.zeros(2, 6), atol=1e-5, rtol=0
    )
    # Two numbers, normalised, forget how far they were apart.
    masks = torch.tensor([[0.3, -0.2], [0.9, -0.9]])
    both = MaskDecoder(64, 2, normalise=True).mask_norm(masks)
    torch.testing.assert_close(both[0], both[1], atol=1e-3, rtol=0)
    assert not torch.allclose(*few.mask_norm(masks))
