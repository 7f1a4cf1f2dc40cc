"""Mask R-CNN: sizes, gradients, and its losses and regions by hand."""

import math

import pytest
import torch
from torch.nn import functional

from napari_seg.inference.fusion import fuse_for_inference
from napari_seg.models.blocks.regions import (
    PyramidAlign,
    _without_ignored,
    ignored_share,
    mask_loss,
)
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import build_from_card, load_model, save_checkpoint
from napari_seg.models.registry import ARCHITECTURES, build_network

TINY = {
    "channels": (4, 8, 8, 8),
    "blocks": (1, 1, 1, 1),
    "pyramid": 8,
    "box_channels": 16,
    "mask_channels": 8,
    "diameter_px": 12.0,
}
LOSSES = {
    "loss_classifier",
    "loss_box_reg",
    "loss_mask",
    "loss_objectness",
    "loss_rpn_box_reg",
}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def tiny(in_channels=1, **options):
    torch.manual_seed(0)
    return build_network(
        "maskrcnn", in_channels=in_channels, num_classes=2, **(TINY | options)
    )


def squares(corners, side=12, size=48):
    """Targets of square objects of a side, at (x, y)."""
    masks = torch.zeros(len(corners), size, size, dtype=torch.bool)
    boxes = torch.zeros(len(corners), 4)
    for i, (x, y) in enumerate(corners):
        masks[i, y : y + side, x : x + side] = True
        boxes[i] = torch.tensor([x, y, x + side, y + side])
    labels = torch.ones(len(corners), dtype=torch.int64)
    return {"boxes": boxes, "labels": labels, "masks": masks}


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_the_file_of_the_default_network_stays_below_24_mb(channels):
    arguments = ARCHITECTURES["maskrcnn"].training_arguments
    with torch.device("meta"):
        network = build_network(
            "maskrcnn", in_channels=channels, num_classes=2, **arguments
        )
    assert sum(p.numel() for p in network.parameters()) < 12e6
    assert network.encoder.stem[0].weight.shape[1] == channels


def test_volumes_are_refused():
    with pytest.raises(ValueError, match="2 dimensions"):
        build_network("maskrcnn", in_channels=1, num_classes=2, ndim=3)


@pytest.mark.parametrize("size", [(97, 131), (16, 16), (5, 40), (33, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_give_objects_inside_them(size, channels):
    network = tiny(channels).eval()
    with torch.inference_mode():
        found = network(torch.rand(2, channels, *size))
    assert len(found) == 2
    for one in found:
        count = len(one["scores"])
        assert one["boxes"].shape == (count, 4)
        assert one["masks"].shape == (count, 1, 28, 28)
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"][:, 2] <= size[1]).all()
        assert (one["boxes"][:, 3] <= size[0]).all()
        assert (one["scores"].diff() <= 0).all()
        assert ((one["masks"] >= 0) & (one["masks"] <= 1)).all()


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_every_parameter_gets_a_gradient(norm):
    network = tiny(norm=norm).train()
    large = squares([(2, 2)], side=40)
    losses = network(torch.rand(2, 1, 48, 48), [squares([(4, 4), (30, 20)]), large])
    assert losses.keys() == LOSSES
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    names = ("encoder.stem.0", "heads.mask_head.0.0", "proposals.head.conv.0.0")
    for name in names:
        assert network.get_submodule(name).weight.grad.abs().sum() > 0


@pytest.mark.parametrize("known", [True, False])
def test_patches_without_an_object_have_losses_too(known):
    network = tiny().train()
    nothing = squares([]) | {"ignored": torch.full((48, 48), not known)}
    with_one = network(torch.rand(2, 1, 48, 48), [nothing, squares([(4, 4)])])
    assert all(loss.isfinite() for loss in with_one.values())
    if known:
        alone = network(torch.rand(1, 1, 48, 48), [nothing])
        assert all(loss.isfinite() for loss in alone.values())
        assert float(alone["loss_mask"].detach()) == 0


def test_losses_of_a_network_without_an_opinion_are_ln_2():
    network = tiny().train()
    heads = (
        network.heads.box_predictor.cls_score,
        network.heads.mask_predictor.mask_fcn_logits,
        network.proposals.head.cls_logits,
    )
    for head in heads:
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    losses = network(torch.rand(1, 1, 48, 48), [squares([(4, 4), (30, 20)])])
    for name in ("loss_classifier", "loss_mask", "loss_objectness"):
        assert float(losses[name].detach()) == pytest.approx(math.log(2), abs=1e-6)


def test_class_and_box_losses_of_a_perfect_network_are_0(monkeypatch):
    heads = tiny().heads.train()
    select = heads.select_training_samples
    drawn = []

    def record(*arguments):
        drawn.append(select(*arguments))
        return drawn[0]

    def answer(*_):
        _, _, classes, shifts = drawn[0]
        confident = 40.0 * functional.one_hot(torch.cat(classes), 2)
        return confident, torch.cat(shifts).repeat(1, 2)

    monkeypatch.setattr(heads, "select_training_samples", record)
    monkeypatch.setattr(heads, "_classify", answer)
    levels = {str(i): torch.rand(1, 8, 24 >> i, 24 >> i) for i in range(4)}
    proposals = [torch.tensor([[0.0, 0, 11, 13], [20, 20, 44, 44]])]
    _, losses = heads(levels, proposals, [(48, 48)], [squares([(0, 0), (30, 30)])])
    assert float(losses["loss_classifier"]) < 1e-6
    assert float(losses["loss_box_reg"]) < 1e-6


def test_only_the_mask_of_the_true_class_learns():
    logits = torch.zeros(2, 3, 4, 4, requires_grad=True)
    target = squares([(0, 0), (8, 8)], side=8, size=16)
    target["labels"] = torch.tensor([2, 1])
    loss = mask_loss(logits, [target["boxes"]], [torch.tensor([0, 1])], [target])
    loss.backward()
    touched = logits.grad.abs().sum(dim=(2, 3)) > 0
    assert touched.tolist() == [[False, False, True], [False, True, False]]
    assert (logits.grad[0, 2] < 0).all(), "all of the box is object"


def test_masks_are_learnt_without_a_shift():
    # The left half of a box of 8 is object: so must be the left half of its bins.
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, :, :4] = True
    target = {"masks": masks, "labels": torch.tensor([1])}
    box = torch.tensor([[0.0, 0, 8, 8]])
    logits = torch.zeros(1, 2, 8, 8, requires_grad=True)
    mask_loss(logits, [box], [torch.tensor([0])], [target]).backward()
    is_object = logits.grad[0, 1] < 0
    assert torch.equal(is_object, masks[0])


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1.0, 1.0, 5.0, 5.0), [2.5, 3.5, 6.5, 7.5]),
        ((1.2, 1.2, 5.2, 5.2), [3.0, 4.0, 7.0, 8.0]),
        ((2.8, 2.8, 6.8, 6.8), [7.0, 8.0, 11.0, 12.0]),
    ],
)
def test_regions_of_a_ramp_by_hand(box, expected):
    # A level of stride 2, so boxes count twice as many pixels as the ramp has.
    ramp = torch.arange(16.0).reshape(1, 1, 4, 4)
    found = PyramidAlign(2, 1, finest_px=9)({"0": ramp}, [torch.tensor([box])])
    assert found.flatten().tolist() == pytest.approx(expected)


def test_regions_are_read_from_the_level_of_their_size():
    levels = {str(i): torch.full((2, 1, 64 >> i, 64 >> i), float(i)) for i in range(4)}
    sides = [2, 10, 11, 20, 21, 40, 41, 90]
    boxes = torch.tensor([[0.0, 0, side, side] for side in sides])
    found = PyramidAlign(3, 2, finest_px=10)(levels, [boxes[:3], boxes[3:]])
    assert found.mean(dim=(1, 2, 3)).round().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_where_nobody_looked_no_proposal_is_wrong():
    ignored = torch.zeros(10, 20, dtype=torch.bool)
    ignored[:, 10:] = True
    boxes = torch.tensor(
        [[0.0, 0, 5, 5], [8, 0, 12, 4], [12, 2, 40, 8], [7, 0, 11, 4], [30, 30, 40, 40]]
    )
    assert ignored_share(ignored, boxes).tolist() == [0, 0.5, 1, 0.25, 0]
    labels = [torch.tensor([0, 0, 1, 0, 0])]
    found = _without_ignored(labels, [boxes], [{"ignored": ignored}])
    assert found[0].tolist() == [0, -1, 1, 0, 0]


def test_the_same_image_gives_the_same_objects():
    network = tiny().eval()
    x = torch.rand(2, 1, 40, 40)
    with torch.inference_mode():
        one, again, alone = network(x), network(x), network(x[1:])
    for a, b in zip(one, again, strict=True):
        assert all(torch.equal(a[key], b[key]) for key in a)
    torch.testing.assert_close(one[1]["scores"], alone[0]["scores"])


def test_a_saved_detector_comes_back_from_its_card_alone(tmp_path):
    arguments = TINY | {"channels": [4, 8, 8, 8], "blocks": [1, 1, 1, 1]}
    classes = ("background", "object")
    card = Card("d", "maskrcnn", arguments, 1, classes, decoder="detections")
    network = build_from_card(card).eval()
    path = save_checkpoint(tmp_path / "d.safetensors", network, card, half=False)
    loaded = load_model(path)
    assert loaded.card.finds_objects
    x = torch.rand(1, 1, 50, 40)
    with torch.inference_mode():
        before, after = network(x)[0], loaded.network(x)[0]
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_norms_are_folded_into_the_trunk():
    network = tiny().eval()
    for module in network.encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    x = torch.rand(1, 1, 48, 48)
    fused = fuse_for_inference(network, x)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.modules())
    with torch.inference_mode():
        for name, value in network.encoder(x).items():
            torch.testing.assert_close(
                fused.encoder(x)[name], value, rtol=1e-3, atol=1e-4
            )
