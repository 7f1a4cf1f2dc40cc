import pytest
import torch
import transformers

from napari_seg.errors import CheckpointError, UnknownModelError
from napari_seg.models.blocks.encoder import build_encoder
from napari_seg.models.blocks.reassemble import Reassemble
from napari_seg.models.blocks.refinenet import Fusion, ResidualConvUnit
from napari_seg.models.dpt import DPT
from napari_seg.models.dpt_weights import arguments_of, load_published
from napari_seg.models.registry import ARCHITECTURES, build_network

TINY_ENCODER = {"embed_dim": 48, "depth": 4, "num_heads": 3}
TINY = {
    "encoder": "vit_tiny_patch16_224",
    "encoder_options": TINY_ENCODER,
    "image_px": 64,
    "channels": (12, 24, 36, 48),
    "fusion": 32,
}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def decoder(network):
    return count(network) - count(network.encoder) - count(network.auxiliary)


@pytest.mark.parametrize(
    ("readout", "expected"), [("ignore", 20_366_934), ("project", 25_088_598)]
)
def test_decoder_of_dpt_base_has_the_parameters_of_the_paper(readout, expected):
    unreached = 2 * 256 * 256 * 9 + 2 * 2 * 256  # the coarsest level's idle unit
    with torch.device("meta"):
        network = DPT(3, 150, readout=readout)
    assert decoder(network) == expected - unreached


def test_decoder_of_dpt_large_has_the_parameters_of_the_paper():
    with torch.device("meta"):
        network = DPT(
            3,
            150,
            encoder="vit_large_patch16_224",
            channels=(256, 512, 1024, 1024),
        )
    assert network.taps == (5, 11, 17, 23)
    assert decoder(network) == 39_640_726 - (2 * 256 * 256 * 9 + 2 * 2 * 256)


def test_what_is_trained_from_scratch_fits_the_package():
    with torch.device("meta"):
        network = build_network(
            "dpt",
            in_channels=1,
            num_classes=3,
            **ARCHITECTURES["dpt"].training_arguments,
        )
    assert count(network) * 2 < 24e6


@pytest.mark.parametrize("readout", ["ignore", "add", "project"])
@pytest.mark.parametrize("norm", ["batch", None])
def test_same_logits_as_transformers_with_its_weights(readout, norm):
    torch.manual_seed(0)
    config = transformers.DPTConfig(
        hidden_size=48,
        num_hidden_layers=4,
        num_attention_heads=3,
        intermediate_size=192,
        image_size=64,
        patch_size=16,
        num_channels=2,
        num_labels=5,
        is_hybrid=False,
        layer_norm_eps=1e-6,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[12, 24, 36, 48],
        fusion_hidden_size=32,
        readout_type=readout,
        use_batch_norm_in_fusion_residual=norm == "batch",
        use_auxiliary_head=True,
    )
    theirs = transformers.DPTForSemanticSegmentation(config).eval()
    with torch.no_grad():  # not the zeros and ones it starts from
        for value in theirs.state_dict().values():
            if value.is_floating_point() and value.ndim < 2:
                value.copy_(0.5 + torch.rand_like(value))
    ours = DPT(**arguments_of(config.to_dict())).eval()
    drawn = load_published(ours, theirs.state_dict())
    assert drawn
    assert all(name.startswith("auxiliary.") for name in drawn)
    x = torch.randn(2, 2, 64, 64)
    with torch.inference_mode():
        expected = theirs(x).logits
        found = ours(x)["out"]
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, atol=1e-6, rtol=0)


def test_weights_of_another_network_are_refused_by_name():
    network = DPT(1, 2, **TINY)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"cls_token is missing"):
        load_published(network, {"backbone.weight": torch.zeros(3)})
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_hybrid_of_transformers_is_refused():
    with pytest.raises(CheckpointError, match="plain vision transformer"):
        arguments_of({"is_hybrid": True})


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize(
    "options", [{}, {"patch_px": 8}, {"patch_px": 8, "stem": True}, {"stem": True}]
)
def test_any_size_comes_back(channels, options):
    network = DPT(channels, 3, **TINY, **options).eval()
    assert network.margin == 0
    with torch.inference_mode():
        for size in ((97, 131), (64, 64), (5, 40)):
            assert network(torch.rand(2, channels, *size))["out"].shape == (2, 3, *size)


@pytest.mark.parametrize("stem", [True, False])
@pytest.mark.parametrize("readout", ["add", "project"])
def test_a_gradient_reaches_every_parameter(stem, readout):
    network = DPT(1, 2, **TINY, stem=stem, readout=readout, patch_px=8).train()
    outputs = network(torch.randn(2, 1, 64, 64))
    (outputs["out"].square().mean() + outputs["aux"].square().mean()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_evaluation_is_repeatable_batches_do_not_mix_and_there_is_no_second_head():
    network = DPT(1, 2, **TINY, patch_px=8, stem=True).eval()
    x = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        both = network(x)
        assert set(both) == {"out"}
        assert torch.equal(both["out"], network(x)["out"])
        alone = torch.cat([network(x[:1])["out"], network(x[1:])["out"]])
    scale = alone.abs().max()
    torch.testing.assert_close(both["out"] / scale, alone / scale, atol=1e-5, rtol=0)


def test_readout_token_is_ignored_added_or_projected():
    tokens, readout = torch.rand(1, 4, 2, 3), torch.rand(1, 4)
    other = torch.rand(1, 4)
    ignoring = Reassemble(4, 5, scale=1, readout="ignore")
    assert torch.equal(ignoring(tokens, readout), ignoring(tokens, other))
    adding = Reassemble(4, 5, scale=1, readout="add")
    expected = adding.project(tokens + readout[..., None, None])
    assert torch.equal(adding(tokens, readout), expected)
    projecting = Reassemble(4, 5, scale=1)
    row = torch.cat([tokens[0, :, 1, 2], readout[0]])
    expected = projecting.project.weight[..., 0, 0] @ projecting.read(row)
    found = projecting(tokens, readout)[0, :, 1, 2]
    torch.testing.assert_close(found, expected + projecting.project.bias)


@pytest.mark.parametrize(
    ("scale", "size"), [(4, (8, 12)), (2, (4, 6)), (1, (2, 3)), (0.5, (1, 2))]
)
def test_maps_are_resampled_to_their_stride(scale, size):
    found = Reassemble(4, 5, scale=scale)(torch.rand(1, 4, 2, 3), torch.rand(1, 4))
    assert found.shape == (1, 5, *size)


def test_fusion_with_idle_units_adds_and_doubles():
    fusion = Fusion(3)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.zero_()
        fusion.project.weight[:] = torch.eye(3)[..., None, None]
    coarse, fine = torch.rand(1, 3, 2, 2), torch.rand(1, 3, 2, 2)
    found = fusion(coarse, fine)
    # Corners meet corners: that is what aligning them means.
    torch.testing.assert_close(found[..., ::3, ::3], coarse + fine)


def test_residual_unit_with_zero_weights_changes_nothing():
    unit = ResidualConvUnit(3)
    with torch.no_grad():
        for parameter in unit.parameters():
            parameter.zero_()
    x = torch.randn(1, 3, 4, 5)
    assert torch.equal(unit(x), x)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"patch_px": 12}, "power of 2"),
        ({"channels": (8, 8)}, "4 numbers"),
        ({"readout": "mean"}, "readout"),
    ],
)
def test_what_cannot_be_built_is_said(options, says):
    with pytest.raises(ValueError, match=says):
        DPT(1, 2, **(TINY | options))


def test_an_unknown_encoder_is_named():
    with pytest.raises(UnknownModelError, match="vit_nowhere"):
        build_encoder("vit_nowhere")


def test_trained_weights_that_cannot_be_had_are_explained(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UnknownModelError, match="Connect to the internet"):
        build_encoder("vit_tiny_patch16_224", pretrained=True)


@pytest.mark.slow
def test_two_discs_are_learnt():
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    truth = torch.stack(
        [(y - 40) ** 2 + (x - 30) ** 2 < 400, (y - 60) ** 2 + (x - 50) ** 2 < 250]
    )
    images = truth[:, None].float() + 0.3 * torch.randn(2, 1, 96, 96)
    network = DPT(1, 2, **(TINY | {"image_px": 96}), patch_px=8, stem=True)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(100):
        loss = torch.nn.functional.cross_entropy(network(images)["out"], truth.long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.inference_mode():
        found = network.eval()(images)["out"].argmax(1) == 1
    iou = (found & truth).sum() / (found | truth).sum()
    assert iou > 0.9
