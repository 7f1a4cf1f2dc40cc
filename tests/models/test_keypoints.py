"""Points of objects: by hand, learnt, and there and back."""

import math

import pytest
import torch
from torchvision.models.detection.roi_heads import keypointrcnn_inference

from napari_seg.models.blocks.keypoints import (
    KEYPOINTS,
    keypoint_loss,
    keypoints_of,
    places_of,
)
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import build_from_card, load_model, save_checkpoint
from napari_seg.training.instance_targets import instance_targets

TINY = {
    "channels": [4, 8, 8, 8],
    "blocks": [1, 1, 1, 1],
    "pyramid": 8,
    "box_channels": 16,
    "mask_channels": 8,
    "diameter_px": 12.0,
    "keypoints": True,
}
CARD = Card("tiny", "maskrcnn", TINY, 1, ("background", "object"))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def triangle():
    """Columns 4 to 8; a tip at the top left, and a long lower edge."""
    mask = torch.zeros(12, 14, dtype=torch.bool)
    mask[3, 4] = True
    mask[4, 4:7] = True
    mask[5, 4:9] = True
    return mask


def test_points_of_a_triangle_by_hand():
    found = keypoints_of(triangle()[None])[0]
    rows = (3 + 3 * 4 + 5 * 5) / 9 + 0.5
    columns = (4 + (4 + 5 + 6) + (4 + 5 + 6 + 7 + 8)) / 9 + 0.5
    expected = {
        "centre": (columns, rows),
        "top": (4.5, 3.5),
        "left": (4.5, 4.5),
        "bottom": (6.5, 5.5),
        "right": (8.5, 5.5),
    }
    for name, point in zip(KEYPOINTS, found.tolist(), strict=True):
        assert point == pytest.approx((*expected[name], 1)), name


def test_mirrored_masks_have_mirrored_points_and_masks_do_not_mix():
    mask = triangle()
    both = keypoints_of(torch.stack([mask, mask.flip(1)]))
    torch.testing.assert_close(both[:1], keypoints_of(mask[None]))
    mirrored = both[0].clone()
    mirrored[:, 0] = mask.shape[1] - mirrored[:, 0]
    order = [KEYPOINTS.index(n) for n in ("centre", "top", "right", "bottom", "left")]
    torch.testing.assert_close(both[1], mirrored[order])
    assert keypoints_of(torch.zeros(0, 5, 5, dtype=torch.bool)).shape == (0, 5, 3)


def test_knowing_nothing_costs_the_logarithm_of_the_pixels():
    targets = [{"masks": triangle()[None]}]
    box, matched = torch.tensor([[4.0, 3, 9, 6]]), torch.tensor([0])
    logits = torch.zeros(1, 5, 56, 56)
    found = keypoint_loss(logits, [box], [matched], targets)
    assert found.item() == pytest.approx(math.log(56**2))
    none = keypoint_loss(logits[:0], [box[:0]], [matched[:0]], targets)
    assert none.item() == 0


def test_what_costs_nothing_is_where_the_points_are():
    """Give the true pixels all weight: no loss, and the points come back."""
    targets = [{"masks": triangle()[None]}]
    box, matched = torch.tensor([[4.0, 3, 9, 6]]), torch.tensor([0])
    points = keypoints_of(targets[0]["masks"])
    logits = torch.zeros(1, 5, 56, 56)
    for number, (x, y, _) in enumerate(points[0].tolist()):
        logits[0, number, int((y - 3) * 56 / 3), int((x - 4) * 56 / 5)] = 100
    assert keypoint_loss(logits, [box], [matched], targets).item() < 1e-4
    bins = torch.arange(56) + 0.5
    for number, (x, y, _) in enumerate(points[0].tolist()):
        rows, columns = bins - (y - 3) * 56 / 3, bins - (x - 4) * 56 / 5
        logits[0, number] = -(rows[:, None] ** 2) - columns**2
    found = places_of(logits, box)
    assert (found - points).abs().max() < 0.5 * 5 / 56 + 1e-4
    theirs, _ = keypointrcnn_inference(logits, [box])
    assert (found - theirs[0]).abs().max() <= 1  # which rounds to whole pixels


def square_image():
    labels = torch.zeros(48, 48, dtype=torch.int64)
    labels[6:18, 6:18] = 1
    labels[26:38, 24:36] = 2
    return labels


def test_the_head_is_trained_and_returns_points():
    network = build_from_card(CARD).train()
    labels = square_image()
    image = (labels > 0).float()[None, None]
    targets = [instance_targets(labels.numpy(), 12.0)]
    losses = network(image, targets)
    assert losses["loss_keypoint"].item() == pytest.approx(math.log(56**2), rel=0.2)
    laid_out = image.to(memory_format=torch.channels_last)  # as in a training
    network(laid_out.repeat(2, 1, 1, 1), targets * 2)["loss_keypoint"].backward()
    for name in ("heads.keypoint_head.0", "heads.keypoint_predictor.kps_score_lowres"):
        assert network.get_submodule(name).weight.grad.abs().sum() > 0
    assert network.encoder.stem[0].weight.grad.abs().sum() > 0
    with torch.inference_mode():
        (found,) = network.eval()(image)
    count = len(found["boxes"])
    assert found["keypoints"].shape == (count, len(KEYPOINTS), 3)
    x, y = found["keypoints"][..., 0], found["keypoints"][..., 1]
    x0, y0, x1, y1 = (found["boxes"][:, i : i + 1] for i in range(4))
    assert ((x >= x0) & (x <= x1.maximum(x0 + 1))).all()
    assert ((y >= y0) & (y <= y1.maximum(y0 + 1))).all()


def test_a_card_brings_the_head_back_and_without_it_there_are_no_points(tmp_path):
    network = build_from_card(CARD).eval()
    path = save_checkpoint(tmp_path / "a.safetensors", network, CARD, half=False)
    image = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        (one,) = network(image)
        (two,) = load_model(path).network(image)
    assert torch.equal(one["keypoints"], two["keypoints"])
    plain = Card("p", "maskrcnn", TINY | {"keypoints": False}, 1, CARD.classes)
    with torch.inference_mode():
        assert "keypoints" not in build_from_card(plain).eval()(image)[0]
