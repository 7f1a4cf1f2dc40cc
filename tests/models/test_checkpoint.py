import json
import pickle
import struct
from dataclasses import replace

import pytest
import torch

from napari_seg.errors import CheckpointError, UnknownModelError
from napari_seg.imaging.normalise import Normalisation
from napari_seg.models.card import Card, read_card
from napari_seg.models.catalogue import find_checkpoint, list_models
from napari_seg.models.checkpoint import build_from_card, load_model, save_checkpoint
from napari_seg.models.registry import build_network

CARD = Card(
    name="tiny",
    architecture="unet",
    arguments={"channels": [4, 8], "padding": "same", "norm": "batch"},
    in_channels=2,
    classes=("background", "interior", "border"),
    normalisation=Normalisation(2, 98),
    object_diameter_px=17.5,
    description="For tests.",
    scores={"ap_0.50": 0.5},
)


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    network = build_from_card(CARD).eval()
    return network, save_checkpoint(tmp_path / "tiny.safetensors", network, CARD)


def test_a_saved_network_comes_back_from_its_card_alone(checkpoint, tmp_path):
    network, _ = checkpoint
    path = save_checkpoint(tmp_path / "full.safetensors", network, CARD, half=False)
    loaded = load_model(path)
    x = torch.randn(1, 2, 20, 20)
    with torch.inference_mode():
        assert torch.equal(loaded.network(x)["out"], network(x)["out"])
    assert loaded.card == CARD
    assert len(loaded.sha256) == 64


def test_half_precision_halves_the_file_and_hardly_changes_the_output(
    checkpoint, tmp_path
):
    network, small = checkpoint
    full = save_checkpoint(tmp_path / "full.safetensors", network, CARD, half=False)
    weights = sum(p.numel() for p in network.parameters())
    assert full.stat().st_size - small.stat().st_size >= 2 * weights
    loaded = load_model(small)
    assert next(loaded.network.parameters()).dtype == torch.float32
    x = torch.randn(1, 2, 20, 20)
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded.network(x)["out"], network(x)["out"], atol=2e-2, rtol=0
        )


def test_the_card_is_read_without_the_tensors(checkpoint):
    _, path = checkpoint
    assert read_card(path) == CARD


def foreign(header):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "damaged"),
        (b"short", "damaged"),
        (b"\xff" * 64, "damaged"),
        (pickle.dumps({"a": 1}) + b"." * 20, "damaged"),
        (foreign({}), "not written by napari-seg"),
        (foreign({"__metadata__": {"card": "{}"}}), "not written by napari-seg"),
        (foreign({"__metadata__": {"card": "{"}}), "damaged"),
        (
            foreign({"__metadata__": {"card": '{"format":"napari-seg"}'}}),
            "newer napari-seg",
        ),
        (
            foreign(
                {"__metadata__": {"card": '{"format":"napari-seg","format_version":1}'}}
            ),
            "incomplete",
        ),
    ],
)
def test_damaged_foreign_and_incomplete_files_are_refused(tmp_path, content, says):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        read_card(path)
    with pytest.raises(CheckpointError, match=says):
        load_model(path)


def test_a_checkpoint_from_the_future_asks_for_an_update(tmp_path):
    text = CARD.to_json().replace('"format_version": 1', '"format_version": 2')
    path = tmp_path / "new.safetensors"
    path.write_bytes(foreign({"__metadata__": {"card": text}}))
    with pytest.raises(CheckpointError, match="Update napari-seg"):
        read_card(path)


def test_a_cut_off_file_is_refused(checkpoint):
    _, path = checkpoint
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="does not hold the network"):
        load_model(path)


def test_a_card_that_names_another_network_is_refused(checkpoint, tmp_path):
    network, _ = checkpoint
    other = replace(CARD, arguments={"channels": [4, 6], "padding": "same"})
    path = save_checkpoint(tmp_path / "other.safetensors", network, other)
    with pytest.raises(CheckpointError, match="does not hold the network"):
        load_model(path)


def test_a_failed_save_leaves_the_old_file(checkpoint, monkeypatch):
    network, path = checkpoint
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("napari_seg.models.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, network, CARD)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_own_checkpoints_are_listed_and_found_by_name(checkpoint, monkeypatch):
    _, path = checkpoint
    (path.parent / "broken.safetensors").write_bytes(b"no")
    monkeypatch.setenv("NAPARI_SEG_MODELS", str(path.parent))
    own = {entry.name: entry for entry in list_models() if entry.kind == "user"}
    assert own["tiny"].card == CARD
    assert own["broken"].card is None
    assert "damaged" in own["broken"].summary
    assert find_checkpoint("tiny") == path
    assert find_checkpoint(path) == path


def test_architectures_are_listed_after_checkpoints():
    kinds = [entry.kind for entry in list_models()]
    assert kinds[-1] == "architecture"
    assert "unet" in [e.name for e in list_models() if e.kind == "architecture"]


def test_an_unknown_name_lists_what_there_is(checkpoint, monkeypatch):
    _, path = checkpoint
    monkeypatch.setenv("NAPARI_SEG_MODELS", str(path.parent))
    with pytest.raises(UnknownModelError, match="tiny"):
        load_model("nothing")
    with pytest.raises(UnknownModelError, match="no checkpoint file"):
        load_model("nowhere/model.safetensors")
    with pytest.raises(UnknownModelError, match="unet"):
        build_network("vnet", in_channels=1, num_classes=2)
