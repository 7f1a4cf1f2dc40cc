"""Networks without pooling, with a sliding window, and dilated residual ones."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_seg.models.blocks.mirror import mirror_pad
from napari_seg.models.drn import DEPTHS, DRN, build_trunk
from napari_seg.models.equal_size import EqualSizeFCN
from napari_seg.models.patch_classifier import PatchClassifier

WINDOW = {"kernels_px": (4, 3), "width": 5, "hidden": 7}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return PatchClassifier(2, 3, **WINDOW).eval()


def test_the_window_of_the_paper_is_95_pixels():
    with torch.device("meta"):
        network = PatchClassifier(1, 2)
    assert network.window_px == 95
    assert [conv.kernel_size[0] for conv in network.convolutions] == [4, 5, 4, 4]


def test_dense_and_sliding_give_the_same_at_every_pixel(classifier):
    sliding = PatchClassifier(2, 3, sliding=True, windows=50, **WINDOW).eval()
    sliding.load_state_dict(classifier.state_dict())
    x = torch.rand(2, 2, 23, 31)
    with torch.inference_mode():
        dense, slow = classifier(x)["out"], sliding(x)["out"]
    assert dense.shape == slow.shape == (2, 3, 23, 31)
    torch.testing.assert_close(dense, slow, atol=1e-5, rtol=1e-5)


def test_a_pixel_is_classified_by_the_window_around_it(classifier):
    x = torch.rand(1, 2, 40, 40)
    half = classifier.window_px // 2
    with torch.inference_mode():
        found = classifier(x)["out"]
        for y, column in ((20, 20), (half, 39 - half), (15, 22)):
            window = x[..., y - half : y + half + 1, column - half : column + half + 1]
            expected = classifier.classify(window)
            torch.testing.assert_close(found[..., y, column], expected)


def test_dense_layers_as_convolutions_score_every_fourth_pixel(classifier):
    x = torch.rand(1, 2, 40, 44)
    with torch.inference_mode():
        strided = mirror_pad(x, classifier.window_px // 2)
        for conv in classifier.convolutions:
            strided = functional.max_pool2d(functional.relu(conv(strided)), 2)
        strided = classifier.head(functional.relu(classifier.hidden(strided)))
        dense = classifier(x)["out"]
    assert strided.shape[2:] == (10, 11)
    torch.testing.assert_close(strided, dense[..., ::4, ::4], atol=1e-5, rtol=1e-5)


def test_a_window_without_a_middle_is_refused():
    with pytest.raises(ValueError, match="middle"):
        PatchClassifier(1, 2, kernels_px=(3, 3))


def test_mirroring_is_torchs_and_goes_further():
    x = torch.rand(1, 2, 5, 7)
    expected = functional.pad(x, (4, 4, 4, 4), mode="reflect")
    assert torch.equal(mirror_pad(x, 4), expected)
    far = mirror_pad(x, 20)
    assert torch.equal(far[..., 20:25, 20:27], x)
    assert torch.equal(far[..., 0, 20:27], x[..., 4, :])  # 20 = 2 periods of 8, and 4
    assert torch.equal(mirror_pad(x[..., :1, :1], 2), x[..., :1, :1].expand(1, 2, 5, 5))


def test_the_equal_size_network_moves_with_its_image_exactly():
    torch.manual_seed(0)
    network = EqualSizeFCN(1, 2, width=4).eval()
    x = torch.rand(1, 1, 60, 60)
    with torch.inference_mode():
        whole = network(x)["out"]
        moved = network(x[..., 3:, 5:])["out"]
    inner = (..., slice(8, 40), slice(8, 40))
    torch.testing.assert_close(moved[inner], whole[..., 3:, 5:][inner])


def test_the_equal_size_network_sees_17_pixels():
    network = EqualSizeFCN(1, 2, width=2)
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    x = torch.ones(1, 1, 31, 31, requires_grad=True)
    network(x)["out"][0, 0, 15, 15].backward()
    rows = x.grad[0, 0].any(1).nonzero().flatten()
    assert (int(rows[0]), int(rows[-1])) == (15 - 8, 15 + 8)


def test_a_network_without_layers_is_refused():
    with pytest.raises(ValueError, match="layers"):
        EqualSizeFCN(1, 2, layers=0)


@pytest.mark.parametrize(
    ("variant", "depth", "size"),
    [
        ("A", 50, 23_508_032),
        ("C", 26, 20_613_584),
        ("C", 42, 30_721_744),
        # The authors' code also counts a shortcut that its blocks never use.
        ("C", 58, 41_078_608 - (2048 * 512 + 2 * 512)),
        ("D", 22, 15_880_752),
        ("D", 24, 20_601_392),
        ("D", 38, 25_988_912),
        ("D", 54, 35_296_176),
        ("D", 105, 54_288_304),
    ],
)
def test_drn_has_the_sizes_of_the_authors_code(variant, depth, size):
    with torch.device("meta"):
        assert count(build_trunk(3, variant, depth, 16)) == size


@pytest.mark.parametrize("variant", ["A", "C", "D"])
def test_drn_scores_at_stride_8(variant):
    network = DRN(1, 2, variant=variant, depth=DEPTHS[variant][0], width=2).eval()
    with torch.inference_mode():
        assert network.logits(torch.rand(1, 1, 64, 48))["out"].shape[2:] == (8, 6)


def dilated(trunk):
    return [
        layer.dilation[0]
        for layer in trunk.modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
    ]


def test_only_c_and_d_undo_the_grid():
    with torch.device("meta"):
        rates = {
            variant: dilated(build_trunk(1, variant, depth, 2))
            for variant, depth in (("A", 18), ("C", 26), ("D", 22))
        }
    assert rates["A"][-3:] == [4] * 3
    assert rates["C"][-8:] == [4] * 4 + [2, 2, 1, 1]
    assert rates["D"][-6:] == [4] * 4 + [2, 1]


def test_unknown_depths_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"DRN-C-50.*26, 42, 58"):
        DRN(1, 2, variant="C", depth=50)
