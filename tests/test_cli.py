"""The command line: results on stdout, one line per complaint on stderr."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from skimage.draw import disk

import napari_seg
from napari_seg.data.io import read_image, read_labels, write_labels
from napari_seg.data.samples import read_sample_truth
from napari_seg.imaging.instances import InstanceParams, probabilities_to_labels
from napari_seg.imaging.metrics import evaluate
from napari_seg.models.card import read_card
from napari_seg.models.catalogue import find_checkpoint
from napari_seg.refine.crf import CrfParams
from napari_seg.training.curve import read_curve

CENTRES = [(20, 20), (20, 60), (60, 40), (70, 80)]


Run = Callable[..., Any]


def discs() -> tuple[np.ndarray, np.ndarray]:
    """Return an image of four bright discs of diameter 17, and their labels."""
    labels = np.zeros((96, 112), np.int32)
    for number, centre in enumerate(CENTRES, start=1):
        labels[disk(centre, 8.5)] = number
    return np.where(labels > 0, 200, 10).astype(np.uint8), labels


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "discs.tif"
    path.parent.mkdir()
    tifffile.imwrite(
        path, discs()[0], imagej=True, resolution=(4, 4), metadata={"unit": "um"}
    )
    return path


def test_segment_writes_ids_at_full_size_with_the_pixel_size(
    run: Run, model: Path, image: Path, tmp_path: Path
) -> None:
    done = run("segment", image, "--model", model, "--out", tmp_path, "--diameter", 16)
    assert (done.code, done.err) == (0, "")
    assert "4 objects" in done.out
    found = read_labels(tmp_path / "discs.tif")
    assert found.spacing == pytest.approx((0.25, 0.25))
    assert evaluate(found.array, discs()[1]).average_precision(0.75) == 1.0


def test_segment_json_is_one_object_on_stdout(
    run: Run, model: Path, image: Path, tmp_path: Path
) -> None:
    done = run(
        "segment", image, "--model", model, "--out", tmp_path, "--json",
        "--diameter", "4um",
    )  # fmt: skip
    (result,) = json.loads(done.out)["results"]
    assert result["objects"] == 4
    assert result["diameter_px"] == 16
    assert result["spacing_um"] == [0.25, 0.25]
    assert len(result["provenance"]["sha256"]) == 64


def test_segment_averages_models_and_views(
    run: Run, model: Path, image: Path, tmp_path: Path
) -> None:
    done = run(
        "segment", image, "--model", model, "--model", model, "--out", tmp_path,
        "--json", "--diameter", 16, "--tta", "flips",
    )  # fmt: skip
    answer = json.loads(done.out)
    assert answer["model"] == "bright + bright"
    assert answer["results"][0]["objects"] == 4
    done = run("segment", image, "--model", model, "--out", tmp_path, "--tta", "x")
    assert done.code == 2
    assert "'x'" in done.err


def test_segment_writes_classes_when_asked(
    run: Run, model: Path, image: Path, tmp_path: Path
) -> None:
    done = run(
        "segment", image, "--model", model, "--out", tmp_path, "--json",
        "--diameter", 16, "--classes",
    )  # fmt: skip
    (result,) = json.loads(done.out)["results"]
    assert result["class_names"] == ["background", "object"]
    found = tifffile.imread(tmp_path / "classes" / "discs.tif")
    labels = tifffile.imread(tmp_path / "discs.tif")
    np.testing.assert_array_equal(found == 1, labels > 0)


def test_segment_crf_is_what_dense_crf_does(
    run: Run, image: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "crf"
    clean = tifffile.imread(image)
    noise = np.random.default_rng(0).normal(0, 0.3 * np.ptp(clean), clean.shape)
    noisy = np.clip(clean + noise, 0, np.iinfo(clean.dtype).max).astype(clean.dtype)
    image = tmp_path / "noisy.tif"
    tifffile.imwrite(image, noisy)
    options = ("--model", model, "--out", out, "--diameter", 16)
    done = run("segment", image, *options, "--crf", "--json")
    assert done.code == 0
    (result,) = json.loads(done.out)["results"]
    params = CrfParams(foreground_only=True)
    assert result["provenance"]["crf"]["engine"] == "pydensecrf"
    assert result["provenance"]["crf"]["appearance_sigma"] == params.appearance_sigma
    data = read_image(image)
    plain = napari_seg.segment(data.array, model, diameter_px=16)
    assert plain.zoom == 1
    refined = napari_seg.dense_crf(data.array, plain.probabilities, params=params)
    expected = probabilities_to_labels(
        refined, plain.classes, InstanceParams(**plain.provenance["instances"])
    )
    found = read_labels(out / f"{image.stem}.tif").array
    assert np.array_equal(found > 0, expected > 0)
    assert evaluate(found, expected).average_precision(0.95) == 1
    assert not np.array_equal(found > 0, plain.labels > 0)
    # Each class by itself is another calculation than objects against background.
    run("segment", image, *options, "--crf-preset", "tissue")
    other = read_labels(out / f"{image.stem}.tif").array
    assert other.shape == found.shape


def test_unknown_crf_settings_are_listed(run: Run, image: Path, tmp_path: Path) -> None:
    done = run("segment", image, "--out", tmp_path / "out", "--crf-preset", "fog")
    assert done.code == 2
    assert "general" in done.err
    assert not (tmp_path / "out").exists()


def test_bad_inputs_are_one_line_each_and_the_others_are_done(
    run: Run, model: Path, image: Path, tmp_path: Path
) -> None:
    text = tmp_path / "notes.tif"
    text.write_text("not an image")
    out = tmp_path / "out"
    done = run(
        "segment", text, tmp_path / "absent.tif", image, "--model", model,
        "--out", out, "--diameter", 16,
    )  # fmt: skip
    assert done.code == 2
    first, second = done.err.splitlines()
    assert "notes.tif" in first
    assert "absent.tif" in second
    assert sorted(path.name for path in out.iterdir()) == ["discs.tif", "run.json"]


def test_folder_of_images_is_segmented_one_by_one(
    run: Run, model: Path, image: Path, tmp_path: Path
) -> None:
    tifffile.imwrite(image.with_name("more.tif"), discs()[0])
    image.with_name("readme.txt").write_text("no image")
    out = tmp_path / "out"
    done = run("segment", image.parent, "--model", model, "--out", out, "--json")
    assert done.code == 0, done.err
    names = sorted(path.name for path in out.iterdir())
    assert names == ["discs.tif", "more.tif", "run.json"]


def test_stack_keeps_its_planes_and_axes_can_be_named(
    run: Run, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "stack.tif"
    stack = np.stack([discs()[0]] * 3)
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"})
    done = run(
        "segment", path, "--model", model, "--out", tmp_path / "out",
        "--axes", "TYX", "--diameter", 16, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)["results"]
    assert result["axes"] == "TYX"
    back = read_labels(tmp_path / "out" / "stack.tif")
    assert (back.axes, back.array.shape) == ("TYX", stack.shape)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--axes", "QYX"], "axes"),
        (["--axes", "ZYX"], "axes"),
        (["--device", "abacus"], "abacus"),
        (["--channel", "7"], "channel"),
    ],
)
def test_options_that_do_not_fit_the_image_are_explained(
    run: Run, model: Path, image: Path, tmp_path: Path,
    options: list[str], complaint: str,
) -> None:  # fmt: skip
    done = run("segment", image, "--model", model, "--out", tmp_path, *options)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert complaint in line.lower()
    assert not (tmp_path / "discs.tif").exists()


@pytest.mark.parametrize("size", ["0", "-3", "big", "nan", "um"])
def test_diameter_must_be_a_size(run: Run, tmp_path: Path, size: str) -> None:
    done = run("segment", tmp_path, "--out", tmp_path, f"--diameter={size}")
    assert done.code == 2
    assert "--diameter" in done.err


def test_diameter_in_um_needs_a_pixel_size(
    run: Run, model: Path, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", discs()[0])
    done = run(
        "segment", tmp_path / "a.tif", "--model", model, "--out", tmp_path / "out",
        "--diameter", "4um",
    )  # fmt: skip
    assert done.code == 2
    assert "pixel size" in done.err


def test_labels_never_overwrite_an_image_or_each_other(
    run: Run, model: Path, image: Path, tmp_path: Path
) -> None:
    before = image.read_bytes()
    done = run("segment", image, "--model", model, "--out", image.parent)
    assert done.code == 2
    assert image.read_bytes() == before
    other = tmp_path / "discs.tif"
    other.write_bytes(before)
    done = run("segment", image, other, "--model", model, "--out", tmp_path / "out")
    assert done.code == 2
    assert "overwrite those of" in done.err


def test_unknown_model_is_named_and_the_known_are_listed(
    run: Run, image: Path, tmp_path: Path
) -> None:
    done = run("segment", image, "--model", "nonesuch", "--out", tmp_path, "--json")
    assert done.code == 2
    assert "nonesuch" in done.err
    assert len(done.err.splitlines()) == 1
    assert "nonesuch" in json.loads(done.out)["error"]


def test_models_are_added_renamed_and_removed(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_SEG_MODELS", str(tmp_path / "own"))

    def own(*arguments: object) -> list[str]:
        done = run("models", *arguments, "--json")
        assert done.code == 0, done.err
        listed = json.loads(done.out)["models"]
        return [entry["name"] for entry in listed if entry["kind"] == "user"]

    assert own("--add", model) == ["bright"]
    assert own("--rename", "bright", "cells") == ["cells"]
    assert own("--remove", "cells") == []
    done = run("models", "--remove", "nuclei-unet")
    assert done.code == 2
    assert "not one of your own" in done.err


def test_models_lists_every_architecture(run: Run) -> None:
    done = run("models", "--json")
    names = {entry["name"]: entry for entry in json.loads(done.out)["models"]}
    assert names["unet"]["kind"] == names["maskrcnn"]["kind"] == "architecture"
    facts = names["danet"]["architecture"]
    assert (facts["family"], facts["year"]) == ("attention", 2019)
    assert facts["parameters"] > 1e6
    assert names["nuclei-unet"]["architecture"] is None
    lines = run("models").out.splitlines()
    families = [line.strip() for line in lines if re.fullmatch("  [a-z -]+", line)]
    assert {"dilated", "transformer", "encoder and decoder"} <= set(families)
    assert len(families) == len(set(families))
    (danet,) = [line for line in lines if line.startswith("    danet ")]
    assert facts["good_at"] in danet
    assert "2019" in danet


def test_own_checkpoints_are_listed_and_found_by_name(
    run: Run, model: Path, image: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("NAPARI_SEG_MODELS", str(model.parent))
    listed = json.loads(run("models", "--json").out)["models"]
    (entry,) = [e for e in listed if e["kind"] == "user"]
    assert (entry["name"], entry["card"]["object_diameter_px"]) == ("bright", 16)
    assert run("segment", image, "--model", "bright", "--out", tmp_path).code == 0


def test_evaluate_pools_folders_paired_by_stem(run: Run, tmp_path: Path) -> None:
    truth = discs()[1]
    for folder in ("ours", "theirs"):
        for name in ("a", "b"):
            write_labels(tmp_path / folder / f"{name}.tif", truth, "YX")
    write_labels(tmp_path / "ours" / "b.tif", np.where(truth > 2, truth, 0), "YX")
    done = run("evaluate", tmp_path / "ours", tmp_path / "theirs", "--json")
    scores = json.loads(done.out)
    assert done.code == 0
    assert scores["ap_0.50"] == pytest.approx(6 / 8)
    assert [one["ap_0.50"] for one in scores["per_image"]] == [1.0, 0.5]
    assert "0.7500" in run("evaluate", tmp_path / "ours", tmp_path / "theirs").out


def test_evaluate_names_files_without_partner(run: Run, tmp_path: Path) -> None:
    for path in ("ours/a", "ours/b", "theirs/a", "theirs/c"):
        write_labels(tmp_path / f"{path}.tif", discs()[1], "YX")
    done = run("evaluate", tmp_path / "ours", tmp_path / "theirs", "--json")
    assert done.code == 2
    assert {e["input"] for e in json.loads(done.out)["errors"]} == {"b", "c"}
    assert len(done.err.splitlines()) == 2


def test_evaluate_copes_with_empty_labels(run: Run, tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", np.zeros((9, 8), np.int32), "YX")
    done = run("evaluate", tmp_path / "a.tif", tmp_path / "a.tif", "--json")
    assert done.code == 0
    assert json.loads(done.out)["ap_0.50"] == 1.0


def test_evaluate_refuses_what_cannot_be_compared(run: Run, tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", np.ones((9, 8), np.int32), "YX")
    write_labels(tmp_path / "b.tif", np.ones((8, 9), np.int32), "YX")
    shapes = run("evaluate", tmp_path / "a.tif", tmp_path / "b.tif")
    assert shapes.code == 2
    assert "(9, 8)" in shapes.err
    assert run("evaluate", tmp_path / "a.tif", tmp_path).code == 2


def test_weightmap_is_highest_between_cells(run: Run, tmp_path: Path) -> None:
    labels = np.zeros((20, 31), np.int32)
    labels[:, :15], labels[:, 16:] = 1, 2
    write_labels(tmp_path / "l.tif", labels, "YX", (0.5, 0.5))
    out = tmp_path / "w.tif"
    assert run("weightmap", tmp_path / "l.tif", "--out", out, "--w0", 7).code == 0
    weights = read_image(out)
    assert weights.spacing == pytest.approx((0.5, 0.5))
    assert set(np.argmax(weights.array, axis=1)) == {15}
    assert weights.array.max() > 7 * np.exp(-4 / 50)


def test_weightmap_treats_frames_apart(run: Run, tmp_path: Path) -> None:
    frames = np.zeros((2, 20, 30), np.int32)
    frames[0, :, :10], frames[1, :, 12:] = 1, 2
    write_labels(tmp_path / "l.tif", frames, "TYX")
    done = run("weightmap", tmp_path / "l.tif", "--out", tmp_path / "w.tif")
    assert done.code == 0
    assert read_image(tmp_path / "w.tif").array.max() < 3  # no second cell anywhere


def test_weightmap_of_a_picture_is_refused(run: Run, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "p.tif", np.full((9, 8), 0.5, np.float32))
    done = run("weightmap", tmp_path / "p.tif", "--out", tmp_path / "w.tif")
    assert done.code == 2
    assert not (tmp_path / "w.tif").exists()


@pytest.mark.slow
def test_train_tunes_a_model_by_a_preset_and_its_exceptions(
    run: Run, tmp_path: Path
) -> None:
    image, labels = discs()
    for kind, array in (("images", image), ("masks", labels.astype(np.uint16))):
        for name in ("a", "b"):
            path = tmp_path / name / kind / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, array)
    out = tmp_path / "own.safetensors"
    done = run(
        "train", tmp_path / "a", tmp_path / "b", "--out", out, "--init", "nuclei-unet",
        "--preset", "quick", "--steps", 2, "--batch", 2, "--patch", 32, "--device",
        "cpu", "--rehearse", "samples", "--loss", "cross-entropy+dice", "--elastic", 1,
        "--patience", 3, "--hard-image", "a", "--no-new-head",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "2 planes in memory" in done.err
    assert "2 labelled images: too few to hold one out" in done.err
    card = read_card(out)
    assert card.arguments == read_card(find_checkpoint("nuclei-unet")).arguments
    assert "--preset quick" in card.command
    assert len(read_curve(out)) == 2
    done = run("train", tmp_path / "a", "--out", out, "--preset", "slow")
    assert (done.code, "quick, thorough" in done.err) == (2, True)


def test_train_explains_what_is_missing(run: Run, tmp_path: Path) -> None:
    done = run("train", tmp_path, "--out", tmp_path / "m.safetensors")
    assert done.code == 2
    assert "images/" in done.err
    assert run("train", tmp_path, "--out", tmp_path / "m.pt").code == 2
    assert list(tmp_path.iterdir()) == []


def test_demo_headless_segments_the_sample_with_the_shipped_model(
    run: Run, tmp_path: Path
) -> None:
    done = run("demo", "--headless", "--out", tmp_path)
    assert done.code == 0, done.err
    found = read_labels(tmp_path / "masks.tif").array
    truth = read_sample_truth("nuclei").array
    # a training image: this proves the path, not the model
    assert evaluate(found, truth).average_precision(0.5) > 0.8
    picture = read_image(tmp_path / "overlay.png").array
    assert picture.shape == (*truth.shape, 3)
    assert (picture[..., 0] != picture[..., 1]).any()


def test_demo_headless_takes_no_screenshot(run: Run, tmp_path: Path) -> None:
    done = run("demo", "--headless", "--screenshot", tmp_path / "a.png")
    assert done.code == 2
    assert "--screenshot" in done.err


def test_doctor_reports_what_a_bug_report_needs(run: Run) -> None:
    report = json.loads(run("doctor", "--json").out)
    assert report["napari-seg"] == napari_seg.__version__
    assert {"napari", "torch", "PyQt5"} <= report["packages"].keys()
    assert any(line.startswith("cpu") for line in report["devices"])
    assert report["window"].keys() & {"opengl", "problem"}
    assert "GiB" in report["memory"]["total"]


def test_module_runs_as_the_command_does(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "napari_seg", "weightmap", "absent.tif", "--out", "w"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("napari-seg: absent.tif does not exist")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["segment"], ["fly"], ["segment", "a", "--x"]])
def test_wrong_usage_exits_2_without_a_traceback(
    run: Run, arguments: list[str]
) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert "Error" in done.err
    assert "Traceback" not in done.err
