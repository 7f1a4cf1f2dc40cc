"""``napari-seg average``, and what it takes runs apart: ``train --vary``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tifffile

from napari_seg.data.samples import read_sample, read_sample_truth
from napari_seg.models.checkpoint import load_model
from napari_seg.training.augmentation import Augmentation

Run = Callable[..., Any]


def write_pairs(folder: Path) -> Path:
    image = read_sample("nuclei").array[:160, :160]
    truth = read_sample_truth("nuclei").array[:160, :160]
    for side in ("train", "val"):
        for kind, array in (("images", image), ("masks", truth)):
            path = folder / side / kind / f"{side}.tif"
            path.parent.mkdir(parents=True)
            tifffile.imwrite(path, array)
    return folder


def test_the_mean_of_two_models_is_calibrated_and_written(
    run: Run, tmp_path: Path
) -> None:
    data, out = write_pairs(tmp_path / "data"), tmp_path / "mean.safetensors"
    done = run(
        "average", "nuclei-unet", "nuclei-unet", "--share", 1, "--share", 2,
        "--data", data, "--out", out, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    told = json.loads(done.out)
    card = load_model(out).card
    assert told == {"output": str(out), "scores": card.scores}
    assert card.scores["ap_0.50"] > 0.7
    assert card.name == "mean"


def test_what_cannot_be_averaged_is_one_line_and_writes_nothing(
    run: Run, tmp_path: Path
) -> None:
    data, out = write_pairs(tmp_path / "data"), tmp_path / "mean.safetensors"
    done = run("average", "nuclei-unet", "axons-unet", "--data", data, "--out", out)
    assert done.code == 2
    assert "nuclei-unet and axons-unet cannot be averaged" in done.err
    one_share = ("--share", 1, "--data", data, "--out", out)
    assert run("average", "nuclei-unet", "nuclei-unet", *one_share).code == 2
    wrong = run("average", "nuclei-unet", "--data", data, "--out", tmp_path / "m.pt")
    assert wrong.code == 2
    assert "does not end in .safetensors" in wrong.err
    assert list(tmp_path.iterdir()) == [data]


def test_train_varies_patches_as_strongly_as_told(
    run: Run, tmp_path: Path, monkeypatch
) -> None:
    from napari_seg.training import trainer

    told = []

    def stop(dataset: object, out: object, params: Any) -> Any:
        told.append(params.augmentation)
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(trainer, "iter_train", stop)
    out = tmp_path / "m.safetensors"
    run("train", tmp_path, "--out", out, "--vary", "strong")
    run("train", tmp_path, "--out", out, "--vary", "strong", "--elastic", 5)
    run("train", tmp_path, "--out", out)
    strong = Augmentation.strong()
    assert told == [strong, Augmentation(**vars(strong) | {"elastic_px": 5.0}),
                    Augmentation()]  # fmt: skip
    refused = run("train", tmp_path, "--out", out, "--vary", "wildly")
    assert refused.code == 2
    assert "wildly is none of gentle, usual, strong" in refused.err
