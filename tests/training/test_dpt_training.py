"""A network with a transformer, a stem and an auxiliary head, by the usual path."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from tiny import losses, params

from napari_seg.errors import DatasetError
from napari_seg.inference.segment import segment
from napari_seg.models.checkpoint import load_model
from napari_seg.models.registry import ARCHITECTURES
from napari_seg.training.describe import make_card
from napari_seg.training.pairs import TrainingPair
from napari_seg.training.params import TrainParams
from napari_seg.training.preparation import build_networks
from napari_seg.training.trainer import iter_train, train

DPT = {
    "encoder": "vit_tiny_patch16_224",
    "encoder_options": {"embed_dim": 24, "depth": 4, "num_heads": 2},
    "patch_px": 8,
    "image_px": 32,
    "stem": True,
    "channels": [4, 8, 12, 16],
    "fusion": 8,
}


def test_dpt_is_trained_saved_and_run_like_any_other(dataset, tmp_path):
    out = tmp_path / "mine.safetensors"
    made = params(architecture="dpt", arguments=DPT)
    found = losses(iter_train(dataset, out, made))
    assert len(found) == 4
    assert np.isfinite(found).all()
    checkpoint = load_model(out)
    assert checkpoint.card.arguments == DPT
    again = load_model(out)
    x = torch.rand(1, 1, 50, 41)
    with torch.inference_mode():
        expected = checkpoint.network(x)["out"]
        assert torch.equal(again.network(x)["out"], expected)
    image = np.random.default_rng(0).random((61, 83), np.float32)
    result = segment(image, checkpoint, device="cpu", diameter_px=12)
    assert result.labels.shape == image.shape


def test_dpt_is_fine_tuned_with_another_head(dataset, tmp_path):
    out = tmp_path / "first.safetensors"
    train(dataset, out=out, **vars(params(architecture="dpt", arguments=DPT, steps=2)))
    second = tmp_path / "second.safetensors"
    tuned = params(init=out, target="foreground", steps=2)
    assert np.isfinite(losses(iter_train(dataset, second, tuned))).all()
    assert load_model(second).card.classes == ("background", "foreground")


def test_the_auxiliary_head_counts_as_the_architecture_says(dataset, tmp_path):
    def first_loss(**fields):
        made = params(architecture="dpt", arguments=DPT, steps=1, **fields)
        return losses(iter_train(dataset, tmp_path / "a.safetensors", made))[0]

    without, half = first_loss(aux_weight=0.0), first_loss(aux_weight=0.1)
    assert first_loss() - without == pytest.approx(2 * (half - without), rel=1e-3)


def test_a_trained_encoder_is_only_for_who_has_one(dataset, tmp_path):
    out = tmp_path / "a.safetensors"
    with pytest.raises(DatasetError, match="no trained encoder for unet"):
        train(dataset, out=out, pretrained=True, steps=1)
    made = params(steps=1)
    train(dataset, out=out, **vars(made))
    with pytest.raises(DatasetError, match="not from both"):
        train(dataset, out=out, init=out, pretrained=True, steps=1)


def test_the_builder_is_asked_for_trained_weights(dataset, tmp_path, monkeypatch):
    from napari_seg.models import dpt
    from napari_seg.models.card import Card

    asked = []

    def build(in_channels, num_classes, **options):
        asked.append(options.pop("pretrained", False))
        return torch.nn.Conv2d(1, 2, 1)

    monkeypatch.setattr(dpt, "DPT", build)
    card = Card("fake", "dpt", {}, 1, ("background", "foreground"))
    build_networks(card, None, TrainParams(pretrained=True))
    build_networks(card, None, TrainParams())
    assert asked == [True, False]


@pytest.mark.parametrize(
    "name", [a.name for a in ARCHITECTURES.values() if a.pretrainable]
)
def test_a_trained_encoder_is_built_as_wide_as_its_weights(name, layers, monkeypatch):
    asked = []
    create = timm.create_model

    def remember(encoder, *, pretrained, **options):
        asked.append((encoder, pretrained, options))
        return create(encoder, **options)

    monkeypatch.setattr("timm.create_model", remember)
    made = params(architecture=name, arguments=None, pretrained=True)
    planes = [TrainingPair("a", layers[0][0][None], layers[0][1], 12.0)]
    card = make_card(planes, made, Path("a"))
    with torch.device("meta"):
        build_networks(card, None, made)
        [(encoder, pretrained, options)] = asked
        assert pretrained
        kept = ("in_chans", "features_only", "output_stride", "img_size", "patch_size")
        usual = create(encoder, num_classes=0)
        found = create(
            encoder,
            num_classes=0,
            **{k: v for k, v in options.items() if k not in (*kept, "num_classes")},
        )
    ours, theirs = found.state_dict(), usual.state_dict()
    shared = ours.keys() & theirs.keys()
    assert len(shared) > 100
    assert all(ours[key].shape == theirs[key].shape for key in shared)
