"""Every architecture by its name alone: trained on real nuclei, saved and run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_seg.cli import main
from napari_seg.data.io import read_labels
from napari_seg.data.samples import read_sample, read_sample_truth
from napari_seg.models.card import read_card
from napari_seg.models.registry import ARCHITECTURES

SIDE = 64


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cut two crops of 64 px with a few nuclei from the sample."""
    folder = tmp_path_factory.mktemp("nuclei")
    image = np.squeeze(read_sample("nuclei").array)
    labels = np.squeeze(read_sample_truth("nuclei").array)
    for number, corner in enumerate(((128, 512), (192, 576))):
        crop = tuple(slice(start, start + SIDE) for start in corner)
        assert len(np.unique(labels[crop])) > 5
        for kind, array in (("images", image), ("masks", labels.astype(np.uint16))):
            (folder / kind).mkdir(exist_ok=True)
            tifffile.imwrite(folder / kind / f"{number}.tif", array[crop])
    return folder


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_name_is_all_it_takes_to_train_and_to_segment(
    name: str,
    nuclei: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["napari-seg", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        assert not stop.value.code, captured.err
        return captured.out

    out = tmp_path / "own.safetensors"
    done = run(
        "train", nuclei, "--architecture", name, "--out", out, "--steps", 1,
        "--batch", 1, "--patch", SIDE, "--device", "cpu", "--json",
    )  # fmt: skip
    assert "ap_0.50" in json.loads(done)["scores"]
    assert read_card(out).architecture == name
    image = nuclei / "images" / "0.tif"
    run(
        "segment", image, "--model", out, "--out", tmp_path, "--device", "cpu",
        "--diameter", 20,
    )  # fmt: skip
    found = read_labels(tmp_path / "0.tif").array
    assert np.squeeze(found).shape == (SIDE, SIDE)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["unet", "attention=se"], {"attention": "se", "padding": "same"}),
        (["maskrcnn", "keypoints=true", "detections=9"], {"keypoints": True}),
        (["cspn", "propagation=spn", "width=4"], {"propagation": "spn", "width": 4}),
        (["segmenter", "decoder=linear"], {"decoder": "linear", "patch_px": 8}),
    ],
)
def test_a_network_is_built_otherwise_on_the_command_line(
    arguments: list[str],
    expected: dict[str, object],
    nuclei: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, *texts = arguments
    out = tmp_path / "own.safetensors"
    options = [word for text in texts for word in ("--argument", text)]
    words = [
        "train", nuclei, "--architecture", name, *options, "--out", out, "--steps", 1,
        "--batch", 1, "--patch", SIDE, "--device", "cpu", "--loss", "cross-entropy+aaf",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["napari-seg", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert expected.items() <= read_card(out).arguments.items()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--argument", "attention=dual"], "attention must be one of"),
        (["--argument", "colour=blue"], "colour"),
        (["--argument", "colour"], "NAME=VALUE"),
        (["--argument", "attention=se", "--init", "nuclei-unet"], "how it is built"),
    ],
)
def test_arguments_that_are_none_are_refused_in_one_line(
    options: list[str],
    says: str,
    nuclei: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["train", nuclei, *options, "--out", tmp_path / "a.safetensors"]
    monkeypatch.setattr(sys, "argv", ["napari-seg", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert says in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())
