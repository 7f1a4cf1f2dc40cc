"""Dilated encoders and the modules that pool around every pixel."""

import pytest
import torch
from torchvision.models import resnet18
from torchvision.models.segmentation import deeplabv3, deeplabv3_resnet50, fcn

from napari_seg.errors import UnknownModelError
from napari_seg.models.bisenet import BiSeNet, FeatureFusion, Refinement
from napari_seg.models.blocks.context import (
    ASPP,
    BatchNorm,
    PyramidPooling,
    fcn_head,
    resize,
)
from napari_seg.models.blocks.pyramid import Pyramid, set_dilation
from napari_seg.models.deeplab_v3 import DeepLabV3
from napari_seg.models.pspnet import PSPNet

TINY = {"channels": (4, 6, 8, 16), "layers": (1, 1, 1, 1)}
SLIM = {"encoder": "resnet18", "encoder_options": TINY}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def shake(network):
    """Make every layer matter, as after training."""
    torch.manual_seed(0)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) * 0.5 + (value.ndim < 2) * 0.5)
            if value.ndim > 1:
                value -= 0.25
                value /= value[0].numel() ** 0.5
    return network.eval()


def copy_in_order(ours, theirs):
    """Copy weights between modules of the same layers under other names."""
    values = list(theirs.state_dict().values())
    names = list(ours.state_dict())
    assert len(names) == len(values)
    ours.load_state_dict(dict(zip(names, values, strict=True)))
    return ours.eval()


def close(found, expected, tolerance=1e-5):
    scale = expected.abs().max()
    assert scale > 0
    torch.testing.assert_close(found / scale, expected / scale, atol=tolerance, rtol=0)


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_encoder_has_the_maps_of_torchvision_at_any_stride(stride):
    theirs = shake(resnet18())
    ours = Pyramid("resnet18", 3, output_stride=stride)
    missing = ours.net.load_state_dict(theirs.state_dict(), strict=False)
    assert not missing.missing_keys
    assert ours.channels == (64, 64, 128, 256, 512)
    assert max(ours.strides) == stride
    x = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        found = ours.eval()(x)
        y = theirs.relu(theirs.bn1(theirs.conv1(x)))
        assert torch.equal(found[0], y)
        y = theirs.maxpool(y)
        for level in range(1, 5):
            y = getattr(theirs, f"layer{level}")(y)
            if ours.strides[level] == 2 ** (level + 1):
                assert torch.equal(found[level], y)
            assert found[level].shape[2:] == (
                64 // ours.strides[level],
                96 // ours.strides[level],
            )


def test_a_dilated_encoder_keeps_every_value_of_the_strided_one():
    """Without normalisation of its own, dilation fills in what a stride leaves out."""
    coarse = shake(Pyramid("resnet18", 1, output_stride=32, options=TINY))
    fine = Pyramid("resnet18", 1, output_stride=16, options=TINY).eval()
    fine.load_state_dict(coarse.state_dict())
    x = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        close(fine(x)[-1][..., ::2, ::2], coarse(x)[-1])


def test_without_the_pooling_of_the_stem_maps_are_twice_as_fine():
    fine = Pyramid("resnet18", 1, output_stride=8, options=TINY, stem_pool=False)
    assert fine.strides == (2, 2, 4, 8, 8)
    found = fine(torch.rand(2, 1, 32, 48))
    assert [each.shape[2] for each in found] == [16, 16, 8, 4, 4]
    assert fine.at(8) == 4
    with pytest.raises(ValueError, match="wanted: 32"):
        fine.at(32)
    with pytest.raises(ValueError, match="no max-pooling"):
        Pyramid("convnext_atto", 1, stem_pool=False, output_stride=16)


@pytest.mark.parametrize("name", ["vgg11", "swin_tiny_patch4_window7_224"])
def test_an_encoder_that_cannot_be_dilated_is_refused(name):
    with torch.device("meta"), pytest.raises(UnknownModelError, match="ResNet"):
        Pyramid(name, 1, output_stride=16)


def test_multi_grid_multiplies_dilations_and_adds_no_weight():
    with torch.device("meta"):
        plain = Pyramid("resnet50", 3, output_stride=16)
        grid = Pyramid("resnet50", 3, output_stride=16, multi_grid=(1, 2, 4))
        network = DeepLabV3(3, 2, output_stride=8)
    rates = [block.conv2.dilation[0] for block in plain.net.layer4]
    assert rates == [1, 2, 2]  # the first still meets the finer map
    assert [b.conv2.dilation[0] for b in grid.net.layer4] == [1, 4, 8]
    assert [b.conv2.padding[0] for b in grid.net.layer4] == [1, 4, 8]
    assert count(plain) == count(grid)
    assert [b[0].dilation[0] for b in network.pyramid.branches] == [1, 12, 24, 36]


def test_dilation_is_set_and_repeated():
    layer = Pyramid("resnet18", 1, output_stride=8).net.layer3
    set_dilation(layer, (1, 5))
    rates = [(b.conv1.dilation[0], b.conv2.dilation[0]) for b in layer]
    assert rates == [(1, 1), (5, 5)]


def test_pyramid_is_that_of_torchvision():
    theirs = shake(deeplabv3.ASPP(12, [2, 4, 6], 8))
    ours = copy_in_order(ASPP(12, 8, (2, 4, 6)), theirs)
    x = torch.randn(2, 12, 9, 11)
    with torch.inference_mode():
        close(ours(x), theirs(x))


def test_auxiliary_head_is_the_head_of_torchvisions_fcn():
    theirs = shake(fcn.FCNHead(16, 3))
    ours = copy_in_order(fcn_head(16, 3), theirs)
    x = torch.randn(2, 16, 9, 11)
    with torch.inference_mode():
        close(ours(x), theirs(x), 1e-6)


def test_with_its_further_convolution_it_is_the_deeplab_of_torchvision():
    theirs = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=3)
    theirs = shake(theirs)
    ours = DeepLabV3(3, 3, output_stride=8, multi_grid=())
    head = theirs.classifier
    ours.encoder.net.load_state_dict(theirs.backbone.state_dict())
    copy_in_order(ours.pyramid, head[0])
    for branch, rate in zip(ours.pyramid.branches[1:], (12, 24, 36), strict=True):
        branch[0].dilation = branch[0].padding = (rate, rate)
    ours.head = torch.nn.Sequential(*list(head.children())[1:])
    x = torch.randn(1, 3, 48, 64)
    with torch.inference_mode():
        close(ours.eval()(x)["out"], theirs(x)["out"], 1e-4)


def test_a_rate_as_large_as_the_map_leaves_a_pointwise_convolution():
    aspp = ASPP(3, 4, (9,))
    conv = aspp.branches[1][0]
    x = torch.randn(1, 3, 9, 9)
    expected = torch.nn.functional.conv2d(x, conv.weight[..., 1:2, 1:2])
    torch.testing.assert_close(conv(x), expected)


def test_pyramid_pooling_by_hand():
    pool = PyramidPooling(4, (1, 2)).eval()
    for level in pool.levels:
        torch.nn.init.zeros_(level[1].weight)
        level[1].weight.data[0, 0] = 1  # pass the first channel on
        level[2].eps = 0
    x = torch.rand(1, 4, 4, 6)
    found = pool(x)
    assert found.shape == (1, 8, 4, 6)
    assert torch.equal(found[:, :4], x)
    torch.testing.assert_close(found[0, 4], x[0, 0].mean().expand(4, 6))
    corners = found[0, 6][::3, ::5]  # corners meet corners
    expected = x[0, 0].unflatten(0, (2, 2)).unflatten(2, (2, 3)).mean((1, 3))
    torch.testing.assert_close(corners, expected)


def test_one_pixel_of_one_image_is_normalised_as_in_evaluation():
    norm = BatchNorm(3)
    norm.running_mean[:] = torch.tensor([1.0, 2.0, 3.0])
    norm.eps = 1e-12
    x = torch.tensor([[3.0, 3.0, 3.0]])[..., None, None]
    expected = torch.tensor([2.0, 1.0, 0.0])
    torch.testing.assert_close(norm(x).flatten(), expected)
    assert norm.running_mean.tolist() == [1, 2, 3]
    two = norm(torch.cat([x, x + 2]))
    assert two[:, 0].flatten().tolist() == [-1, 1]


def test_bisenet_of_the_authors_has_the_sizes_they_have():
    with torch.device("meta"):
        network = BiSeNet(3, 19)
    assert count(network.encoder) == 299_448
    assert count(network) - count(network.auxiliary) == 1_541_963


def test_gates_of_bisenet():
    torch.manual_seed(0)
    refinement = Refinement(4, 6).eval()
    x = torch.randn(2, 4, 5, 7)
    plain = refinement.conv(x)
    scale = refinement(x) / plain
    known = scale[~scale.isnan()]
    assert ((known > 0) & (known < 1)).all()
    fusion = FeatureFusion(4).eval()
    torch.nn.init.zeros_(fusion.gate[3].weight)  # sigmoid(0): one half more
    left, right = torch.randn(2, 1, 2, 3, 3)
    joined = fusion.conv(torch.cat([left, right], 1))
    torch.testing.assert_close(fusion(left, right), 1.5 * joined)


def test_v3plus_joins_304_channels_at_a_stride_of_4():
    with torch.device("meta"):
        network = DeepLabV3(3, 2, decoder=True)
    assert network.decoder.refine[0][0].in_channels == 304
    assert network.encoder.strides[network._fine] == 4


def test_pspnet_with_the_stem_of_the_authors_has_their_size():
    with torch.device("meta"):
        assert count(PSPNet(3, 21, encoder="resnet50s")) == 49_081_578


@pytest.mark.parametrize("network", [DeepLabV3, PSPNet])
def test_the_same_weights_fit_another_stride(network):
    coarse = network(1, 2, **SLIM, output_stride=16)
    fine = network(1, 2, **SLIM, output_stride=8)
    fine.load_state_dict(coarse.state_dict())
    assert (coarse.divisor, fine.divisor) == (16, 8)


def test_enlarging_keeps_a_constant_and_the_corners():
    x = torch.rand(1, 1, 3, 4)
    found = resize(x, (7, 9), align_corners=True)
    torch.testing.assert_close(found[..., ::6, ::8], x[..., ::2, ::3])
    flat = torch.ones(1, 1, 2, 2)
    torch.testing.assert_close(resize(flat, (5, 3)), torch.ones(1, 1, 5, 3))
