import pytest
import torch

from napari_seg.errors import CheckpointError
from napari_seg.models.card import Card
from napari_seg.models.catalogue import list_models
from napari_seg.models.checkpoint import build_from_card, load_model, save_checkpoint
from napari_seg.models.collection import (
    add_checkpoint,
    remove_checkpoint,
    rename_checkpoint,
)

CARD = Card(
    "tiny",
    "unet",
    {"channels": [2, 2], "padding": "same"},
    1,
    ("background", "foreground"),
)


@pytest.fixture
def own(tmp_path, monkeypatch):
    folder = tmp_path / "own"
    monkeypatch.setenv("NAPARI_SEG_MODELS", str(folder))
    return folder


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    return save_checkpoint(tmp_path / "tiny.safetensors", build_from_card(CARD), CARD)


def names():
    return [entry.name for entry in list_models() if entry.kind == "user"]


def test_an_added_model_is_listed_and_the_file_stays_where_it_was(own, file):
    assert add_checkpoint(file) == "tiny"
    assert names() == ["tiny"]
    assert (own / "tiny.safetensors").read_bytes() == file.read_bytes()
    assert load_model("tiny").sha256 == load_model(file).sha256


def test_the_same_name_twice_gets_a_number_and_loses_nothing(own, file):
    assert [add_checkpoint(file) for _ in range(3)] == ["tiny", "tiny-2", "tiny-3"]
    with pytest.raises(CheckpointError, match="already a model named tiny"):
        add_checkpoint(file, "tiny")
    with pytest.raises(CheckpointError, match="already a model named nuclei-unet"):
        add_checkpoint(file, "nuclei-unet")


@pytest.mark.parametrize("damage", ["foreign", "cut", "suffix"])
def test_what_is_no_checkpoint_is_refused_and_nothing_is_left(
    own, file, tmp_path, damage
):
    bad = tmp_path / "bad.safetensors"
    if damage == "foreign":
        bad.write_bytes(b"not a checkpoint at all")
    elif damage == "cut":
        bad.write_bytes(file.read_bytes()[:-100])
    else:
        bad = tmp_path / "bad.pth"
        bad.write_bytes(file.read_bytes())
    with pytest.raises(CheckpointError, match="bad"):
        add_checkpoint(bad)
    assert not own.exists() or not list(own.iterdir())


def test_renaming_keeps_the_bytes_and_takes_the_curve_along(own, file):
    add_checkpoint(file)
    (own / "tiny.safetensors.log.csv").write_text("step")
    assert rename_checkpoint("tiny", " my cells ") == "my cells"
    assert names() == ["my cells"]
    assert (own / "my cells.safetensors.log.csv").read_text() == "step"
    assert (own / "my cells.safetensors").read_bytes() == file.read_bytes()
    assert rename_checkpoint("my cells", "my cells") == "my cells"


@pytest.mark.parametrize("name", ["", "../out", "a/b", ".hidden", "a\0b", "con:", "a."])
def test_names_that_are_no_file_names_are_refused(own, file, name):
    add_checkpoint(file)
    with pytest.raises(CheckpointError, match="cannot be the name"):
        rename_checkpoint("tiny", name)
    assert names() == ["tiny"]


def test_a_model_is_removed_with_what_lies_beside_it_and_no_more(own, file):
    add_checkpoint(file)
    add_checkpoint(file)
    (own / "tiny.safetensors.state").write_text("")
    remove_checkpoint("tiny")
    assert [path.name for path in own.iterdir()] == ["tiny-2.safetensors"]


@pytest.mark.parametrize("name", ["nuclei-unet", "unet", "nobody"])
def test_shipped_models_and_strangers_are_left_alone(own, name):
    with pytest.raises(CheckpointError, match="not one of your own"):
        remove_checkpoint(name)
    with pytest.raises(CheckpointError, match="not one of your own"):
        rename_checkpoint(name, "other")
