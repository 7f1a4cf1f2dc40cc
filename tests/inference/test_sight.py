"""What one pixel's answer depends on, against networks of known reach."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_seg.errors import CheckpointError, ImageError
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.sight import iter_sight
from napari_seg.models.blocks.attention import PixelAttention, token_attention
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import Checkpoint
from napari_seg.models.looking import find_attention, gradient_of
from napari_seg.models.registry import build_network
from napari_seg.types import run

CLASSES = ("background", "interior", "border")
RESNET = {"channels": (4, 6, 8, 16), "layers": (1, 1, 1, 1), "zero_init_last": False}
VIT = {
    "encoder": "vit_tiny_patch16_224",
    "encoder_options": {"embed_dim": 24, "depth": 4, "num_heads": 2},
    "image_px": 32,
}


class Cross(nn.Module):
    """Adds up the four neighbours of a pixel; the one above counts twice."""

    divisor, margin = 1, 0

    def forward(self, x):
        kernel = torch.tensor([[0, 2.0, 0], [1, 0, 1], [0, 1, 0]]).expand(1, 1, 3, 3)
        total = nn.functional.conv2d(x[:, :1], kernel, padding=1)
        return {"out": torch.cat([0 * total, total, 0 * total - 9], dim=1)}


def checkpoint(network, name="none", **fields):
    card = Card("tiny", name, {}, 1, CLASSES, **{"object_diameter_px": 20.0, **fields})
    return Checkpoint(network.eval(), card)


def build(name, **arguments):
    torch.manual_seed(0)
    network = build_network(name, in_channels=1, num_classes=3, **arguments)
    for layer in network.modules():
        if isinstance(layer, PixelAttention):
            for parameter in layer.parameters():
                nn.init.normal_(parameter, std=0.3)
    return checkpoint(network, name)


def look(model, image, pixel, diameter=20.0, **fields):
    params = SegmentParams(diameter_px=diameter)
    return run(iter_sight(image, model, params, pixel, **fields))


@pytest.fixture
def image():
    return np.random.default_rng(0).random((90, 70)).astype(np.float32)


@pytest.mark.parametrize("pixel", [(40, 30), (0, 0), (89, 69), (1.4, 68.6)])
def test_the_field_of_a_kernel_is_the_kernel(image, pixel):
    found = look(checkpoint(Cross()), image, pixel)
    assert found.window == (slice(0, 90), slice(0, 70))
    expected = np.zeros((92, 72), np.float32)
    y, x = (int(p + 0.5) + 1 for p in pixel)
    expected[y - 1, x] = 1
    expected[y, x - 1] = expected[y, x + 1] = expected[y + 1, x] = 0.5
    expected = expected[1:-1, 1:-1] / expected[1:-1, 1:-1].max()
    np.testing.assert_allclose(found.field, expected, atol=1e-6)
    assert found.attention is None
    assert found.answer == "interior"
    assert found.reach_px == 1


def test_a_network_that_sees_the_image_larger_is_shown_in_image_pixels(image):
    found = look(checkpoint(Cross()), image, (40, 30), diameter=10.0)
    assert found.window == (slice(0, 90), slice(0, 70))
    assert found.field.shape == (90, 70)
    peak = np.unravel_index(found.field.argmax(), found.field.shape)
    assert np.abs(np.subtract(peak, (40, 30))).max() <= 1
    assert found.reach_px == 0.5
    rows, columns = np.nonzero(found.field)
    assert np.ptp(rows) <= 4
    assert np.ptp(columns) <= 4


def test_a_pixel_far_from_the_edges_of_a_large_image_has_a_window_of_its_own():
    image = np.random.default_rng(0).random((1500, 1400)).astype(np.float32)
    found = look(checkpoint(Cross()), image, (800, 700))
    rows, columns = found.window
    assert rows.start < 800 - 100 < 800 + 100 < rows.stop
    assert columns.stop - columns.start == found.field.shape[1] == 384
    peak = np.unravel_index(found.field.argmax(), found.field.shape)
    assert (peak[0] + rows.start, peak[1] + columns.start) == (799, 700)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_the_field_of_a_unet_lies_around_the_pixel(padding):
    image = np.random.default_rng(0).random((400, 410)).astype(np.float32)
    model = build("unet", channels=(4, 6, 8), padding=padding)
    found = look(model, image, (210, 190))
    rows, columns = np.nonzero(found.field)
    far = np.abs(rows + found.window[0].start - 210).max()
    assert 5 < far <= 24
    assert np.abs(columns + found.window[1].start - 190).max() <= 24
    assert found.field.max() == 1
    assert 0 < found.reach_px < far + 1
    assert found.attention is None


def test_the_gradient_is_that_of_finite_differences():
    network = build("unet", channels=(4, 6), padding="same").network.double()
    image = np.random.default_rng(1).random((1, 12, 14))
    answer, gradient = gradient_of(network, image, (5, 6))

    def score(x):
        with torch.inference_mode():
            logits = network(torch.from_numpy(x)[None])["out"][0, :, 5, 6]
        return float(logits[answer] - logits.mean())

    for at in ((5, 6), (4, 8), (7, 6)):
        more = image.copy()
        more[0][at] += 1e-6
        slope = (score(more) - score(image)) / 1e-6
        assert gradient[at] == pytest.approx(abs(slope), rel=1e-3, abs=1e-8)


def test_pixels_of_danet_attend_everywhere_and_their_row_is_shown(image):
    model = build("danet", encoder="resnet18", encoder_options=RESNET)
    found = look(model, image, (40, 30))
    assert found.attention.shape == found.field.shape == (90, 70)
    assert found.attention.max() == 1
    assert (found.attention > 0).all()
    blocks = found.attention[:88, :64].reshape(11, 8, 8, 8)  # squares of the stride
    assert np.ptp(blocks, axis=(1, 3)).max() == 0
    assert len(np.unique(blocks)) > 40


@pytest.mark.parametrize(
    ("name", "patch", "more"),
    [
        ("segmenter", 16, {}),
        ("dpt", 8, {"patch_px": 8, "channels": (4, 8, 12, 16), "fusion": 8}),
        ("dpt", 8, {"patch_px": 8, "stem": True, "channels": (4, 8, 12, 16)}),
    ],
)
def test_patches_of_a_transformer_attend_to_patches(name, patch, more):
    model = build(name, **VIT, **more)
    tile = np.random.default_rng(0).random((1, 64, 96)).astype(np.float32)
    attention = find_attention(model.network)
    gradient_of(model.network, tile, (37, 50), attention)
    found = attention.map_of((37, 50), (64, 96))
    assert found.shape == (64, 96)
    last = max(getattr(model.network, "taps", (-1,)))
    layer = model.network.encoder.blocks[last].attn
    at = 1 + (37 // patch) * (96 // patch) + 50 // patch
    row = token_attention(layer, attention._input, at)[0, 1:].detach().numpy()
    np.testing.assert_allclose(found[::patch, ::patch].ravel(), row, rtol=1e-5)
    assert np.ptp(found.reshape(64 // patch, patch, -1), axis=1).max() == 0


def test_a_unet_with_non_local_attention_has_a_map(image):
    for padding in ("same", "valid"):
        channels = (4, 4, 4, 6)
        model = build("unet", channels=channels, padding=padding, attention="non-local")
        found = look(model, image, (40, 30))
        assert found.attention.shape == found.field.shape
        assert np.isfinite(found.attention).all()
        assert found.attention.max() == 1


def test_planes_of_a_stack_are_told_apart():
    stack = np.random.default_rng(0).random((3, 40, 44)).astype(np.float32)
    model = build("unet", channels=(4, 6), padding="same")
    one = look(model, stack, (20, 20), plane=PlaneIndex(0, 1))
    alone = look(model, stack, (20, 20), plane=PlaneIndex(0, 2))
    assert not np.array_equal(one.field, alone.field)


def test_the_network_is_left_as_it_is_and_hears_nothing_afterwards(image):
    model = build("danet", encoder="resnet18", encoder_options=RESNET)
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    look(model, image, (40, 30))
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in model.network.parameters())
    assert not any(m._forward_pre_hooks for m in model.network.modules())


def test_what_has_no_answer_for_a_pixel_is_refused(image):
    detector = checkpoint(Cross(), decoder="detections")
    with pytest.raises(CheckpointError, match="classifies pixels"):
        look(detector, image, (1, 1))
    with pytest.raises(CheckpointError, match="volumes"):
        look(checkpoint(Cross(), ndim=3), image, (1, 1))
    with pytest.raises(ImageError, match="outside"):
        look(checkpoint(Cross()), image, (90, 1))


def test_the_size_of_the_objects_is_estimated_where_nobody_says_it(brightness, spots):
    image = spots((120, 150), 24.0)
    found = run(iter_sight(image, brightness, SegmentParams(), (24, 24)))
    assert found.diameter_px == pytest.approx(24, abs=4)
    assert found.answer == "interior"
