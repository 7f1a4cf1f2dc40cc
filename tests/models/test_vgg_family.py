"""VGG-16 and what was made of it: FCN, DeconvNet, SegNet, DeepLab, dilated VGG."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.vgg import cfgs, make_layers

from napari_seg.models.blocks.unpooling import UnpoolingDecoder
from napari_seg.models.blocks.vgg import VGGEncoder
from napari_seg.models.deconvnet import DeconvNet
from napari_seg.models.deeplab import DeepLabV1, DeepLabV2
from napari_seg.models.dilated_context import DilatedContext
from napari_seg.models.fcn import FCN8s, FCN16s, FCN32s
from napari_seg.models.segnet import SegNet

SLIM = {"width": 2, "dense": 6}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def field_of_view(*layers):
    """Receptive field and stride of layers in a row, by their kernels alone."""
    seen, step = 1, 1
    for layer in layers:
        for part in layer.modules():
            if isinstance(part, nn.Conv2d | nn.MaxPool2d):
                side, rate, stride = (
                    value[0] if isinstance(value, tuple) else value
                    for value in (part.kernel_size, part.dilation, part.stride)
                )
                seen += (side - 1) * rate * step
                step *= stride
    return seen, step


def interleaved(encoder):
    for stage, pool in zip(encoder.stages, encoder.pools, strict=True):
        yield from (stage, pool)


def test_the_encoder_is_torchvisions_vgg16():
    theirs = make_layers(cfgs["D"]).eval()
    ours = VGGEncoder(3).eval()
    assert count(ours) == count(theirs) == 14_714_688
    weights = list(theirs.state_dict().values())
    own = ours.state_dict()
    ours.load_state_dict(dict(zip(own, weights, strict=True)))
    x = torch.rand(1, 3, 64, 32)
    with torch.inference_mode():
        features = ours(x)
        torch.testing.assert_close(features.pooled[-1], theirs(x))
    assert [f.shape[1] for f in features.pooled] == list(ours.channels)
    assert features.sizes == [(64, 32), (32, 16), (16, 8), (8, 4), (4, 2)]


def test_switches_name_the_pixel_of_each_maximum():
    encoder = VGGEncoder(1, width=2)
    x = torch.rand(1, 1, 32, 32)
    before = encoder.stages[0](x)
    features = encoder(x)
    found = before.flatten(2).gather(2, features.switches[0].flatten(2))
    assert torch.equal(found, features.pooled[0].flatten(2))


@pytest.mark.parametrize(
    ("network", "with_kernels", "without"),
    [
        (FCN32s, 136_152_917, 134_346_581),
        (FCN16s, 134_815_994, 134_357_354),
        (FCN8s, 134_489_759, 134_362_751),
    ],
)
def test_fcn_has_the_published_sizes(network, with_kernels, without):
    with torch.device("meta"):
        built = network(3, 21)
    assert count(built) == with_kernels
    assert count(built) - count(built.enlarge) == without
    assert not any(p.requires_grad for p in built.enlarge.parameters())


def test_the_dense_layer_of_fcn_sees_404_pixels_at_stride_32():
    network = FCN32s(1, 2, **SLIM)
    layers = [*interleaved(network.encoder), network.dense[0]]
    assert field_of_view(*layers) == (404, 32)


@pytest.mark.parametrize("network", [FCN32s, FCN16s, FCN8s])
@pytest.mark.parametrize("rim", [100, 1])
@pytest.mark.parametrize("size", [(1, 1), (100, 130), (317, 211)])
def test_any_image_comes_back_in_its_size(network, rim, size):
    built = network(3, 5, rim_px=rim, **SLIM).eval()
    with torch.inference_mode():
        assert built(torch.rand(1, 3, *size))["out"].shape == (1, 5, *size)


@pytest.mark.parametrize("rim", [100, 1])
def test_fcn8s_without_skips_is_the_coarse_score_enlarged_thrice(rim):
    torch.manual_seed(0)
    network = FCN8s(1, 3, rim_px=rim, **SLIM).eval()
    for head in list(network.head)[1:]:
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    x = torch.rand(1, 1, 96, 128)
    with torch.inference_mode():
        coarse = network.head[0](network.dense(network.encoder(x).pooled[-1]))
        up = coarse
        for enlarge in network.enlarge:
            up = enlarge(up)
            if rim == 1 and enlarge is not network.enlarge[-1]:
                up = up[..., 1:-1, 1:-1]
        crop = 31 if rim == 100 else 4
        expected = up[..., crop : crop + 96, crop : crop + 128]
        found = network(x)["out"]
    torch.testing.assert_close(found, expected)
    assert found.std() > 0


def test_a_skip_lands_on_the_pixels_it_comes_from():
    # A bright spot in the third pooling moves the scores around its own place only.
    for rim in (100, 1):
        network = FCN8s(1, 1, rim_px=rim, **SLIM).eval()
        for head in network.head:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        nn.init.ones_(network.head[2].weight)
        x = torch.rand(1, 1, 96, 96)
        with torch.inference_mode():
            plain = network.encoder(x)
            seen = plain.pooled[2]
            seen.zero_()
            # Cell c of that map looks at pixels 8 c .. 8 c + 7, less the rim.
            cell = (48 + (rim - 1)) // 8
            seen[..., cell, cell] = 1.0
            network.encoder.forward = lambda _, plain=plain: plain
            spot = network(x)["out"][0, 0]
        rows = spot.amax(1)
        middle = (rows * torch.arange(96)).sum() / rows.sum()
        expected = 8 * cell + 3.5 - (rim - 1)
        assert abs(middle - expected) <= 0.5


def test_at_once_scales_weigh_the_skips():
    torch.manual_seed(0)
    network = FCN16s(1, 2, skip_scales=(0.0, 1.0), **SLIM).eval()
    nn.init.ones_(network.head[1].bias)
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        found = network(x)["out"]
        nn.init.normal_(network.head[1].weight)
        assert torch.equal(network(x)["out"], found)


@pytest.mark.parametrize(
    "options", [{"core_px": 3}, {"core_px": 4, "rim_px": 1}, {"core_px": 5}]
)
def test_a_core_that_would_shift_the_scores_is_refused(options):
    with pytest.raises(ValueError, match="core_px"):
        FCN8s(1, 2, **options, **SLIM)


def test_other_rims_are_refused():
    with pytest.raises(ValueError, match="100 or 1"):
        FCN8s(1, 2, rim_px=50, **SLIM)


@pytest.mark.parametrize("size", [(90, 70), (33, 47)])
def test_switches_bring_odd_sizes_back(size):
    encoder = VGGEncoder(1, width=2)
    decoder = UnpoolingDecoder(encoder.channels, "batch")
    features = encoder(torch.rand(1, 1, *size))
    assert decoder(features.pooled[-1], features).shape == (1, 2, *size)


def test_what_segnets_decoder_reads_is_zero_off_the_switches():
    network = SegNet(1, 2, width=2).eval()
    seen = []
    for stage in network.decoder.stages:
        stage.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.inference_mode():
        network(torch.rand(1, 1, 64, 64))
        features = network.encoder(torch.rand(1, 1, 64, 64))
    assert len(seen) == 5
    assert len(features.switches) == 5
    for unpooled in seen:
        assert (unpooled != 0).float().mean() <= 0.25
        assert (functional.max_pool2d((unpooled != 0).float(), 2) <= 1).all()
        cells = functional.avg_pool2d((unpooled != 0).float(), 2)
        assert cells.max() <= 0.25


def test_segnet_has_no_learnt_enlargement_and_no_skips():
    with torch.device("meta"):
        network = SegNet(3, 11)
    assert not any(isinstance(m, nn.ConvTranspose2d) for m in network.modules())
    assert network.head.weight.shape == (11, 64, 3, 3)


def test_deconvnet_shrinks_224_pixels_to_one():
    network = DeconvNet(1, 2, **SLIM).eval()
    seen = []
    network.dense[0].register_forward_hook(lambda *found: seen.append(found[2].shape))
    with torch.inference_mode():
        assert network(torch.rand(1, 1, 224, 224))["out"].shape[2:] == (224, 224)
        assert network(torch.rand(1, 1, 60, 300))["out"].shape[2:] == (60, 300)
    assert [tuple(shape[2:]) for shape in seen] == [(1, 1), (1, 4)]
    assert network.input_size(1) == 224


def test_deconvnet_trains_on_one_image_of_one_window():
    network = DeconvNet(1, 2, core_px=2, **SLIM).train()
    network(torch.rand(1, 1, 64, 64))["out"].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_the_dilated_front_end_sees_380_pixels_and_908_with_context():
    network = DilatedContext(1, 2, **SLIM)
    layers = [*interleaved(network.encoder), network.dense[0]]
    assert field_of_view(*layers) == (380, 8)
    assert field_of_view(*layers, network.context) == (908, 8)


def test_900_mirrored_pixels_become_66_scores():
    network = DilatedContext(1, 2, context=None, **SLIM).eval()
    assert network.mirror_px == 186
    with torch.inference_mode():
        scores = network.logits(torch.rand(1, 1, 528, 16))["out"]
    assert scores.shape[2:] == (66, 2)
    with torch.device("meta"):
        assert count(DilatedContext(3, 21, context=None)) == 134_346_581


def test_deeplab_v1_has_stride_8_and_its_3x3_looks_as_far_as_vggs_7x7():
    network = DeepLabV1(1, 2, **SLIM).eval()
    assert field_of_view(*interleaved(network.encoder))[1] == 8
    seven = nn.Conv2d(1, 1, 7, dilation=4)  # as in the paper's first version
    assert field_of_view(network.head[0]) == field_of_view(seven) == (25, 1)
    with torch.inference_mode():
        assert network.logits(torch.rand(1, 1, 64, 48))["out"].shape[2:] == (8, 6)


def test_deeplab_v2_on_vgg_has_the_size_of_the_authors_code():
    with torch.device("meta"):
        assert count(DeepLabV2(3, 21, encoder="vgg16")) == 37_877_652


def test_the_highest_score_of_all_scales_counts():
    options = {"encoder": "vgg16", "rates": (1, 2), **SLIM}
    torch.manual_seed(0)
    one = DeepLabV2(1, 3, **options).eval()
    several = DeepLabV2(1, 3, scales=(1.0, 0.75, 0.5), **options).eval()
    several.load_state_dict(one.state_dict())
    assert several.divisor == 32
    x = torch.rand(1, 1, 64, 96)
    with torch.inference_mode():
        parts = []
        for scale in (1.0, 0.75, 0.5):
            small = functional.interpolate(
                x, scale_factor=scale, mode="bilinear", align_corners=False
            )
            scores = one.logits(small)["out"]
            parts.append(functional.interpolate(scores, (8, 12), mode="bilinear"))
        expected = torch.stack(parts).amax(0)
        torch.testing.assert_close(several.logits(x)["out"], expected)


def test_scales_beyond_the_image_are_refused():
    with pytest.raises(ValueError, match="scales"):
        DeepLabV2(1, 2, encoder="vgg16", scales=(2.0,), **SLIM)
