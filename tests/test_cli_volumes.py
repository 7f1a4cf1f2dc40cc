from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

Run = Callable[..., Any]
PX = ("--diameter", "16")


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    image = np.zeros((3, 70, 90), np.uint16)
    image[:, 10:22, 10:22] = image[1:, 40:52, 60:72] = 900
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, image, metadata={"axes": "ZYX"}, imagej=True)
    return path


def labels(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(path / "0", mode="r")[...])


def test_a_volume_becomes_ome_zarr(
    run: Run, model: Path, stack: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels.zarr"
    done = run("segment", stack, "--out", out, "--model", model, *PX, "--json")
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)["results"]
    assert (result["objects"], result["failed"]) == (2, 0)
    found = labels(out)
    assert found[2, 16, 16] != found[2, 46, 66]
    assert (found[:, 16, 16] == found[0, 16, 16]).all()


def test_several_volumes_go_into_a_folder(
    run: Run, model: Path, stack: Path, tmp_path: Path
) -> None:
    other, out = tmp_path / "other.tif", tmp_path / "o"
    other.write_bytes(stack.read_bytes())
    given = ("--model", model, *PX, "--format", "ome-zarr", "--out", out)
    missing = tmp_path / "no.tif"
    done = run("segment", stack, missing, other, *given)
    assert done.code == 2
    assert "no.tif does not exist" in done.err
    assert done.out.count("2 objects") == 2
    np.testing.assert_array_equal(
        labels(out / "other.zarr"), labels(out / "stack.zarr")
    )


def test_labels_that_are_there_are_kept(
    run: Run, model: Path, stack: Path, tmp_path: Path
) -> None:
    given = ("segment", stack, "--out", tmp_path / "o.zarr", "--model", model, *PX)
    assert run(*given).code == 0
    refused = run(*given)
    assert refused.code == 2
    assert "there already" in refused.err
    assert run(*given, "--restart").code == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--out", "o", "--workers", "2"), "--format ome-zarr"),
        (("--out", "o.zarr", "--block", "16x16"), "128x1024x1024"),
        (("--out", "o.zarr", "--csv", "t.csv"), "--format tif"),
        (("--out", "o", "--format", "png"), "not tif or ome-zarr"),
        (("--out", "o.zarr", "--workers", "1", "--scheduler", "tcp://a:1"), "not both"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    run: Run, stack: Path, options: tuple[str, ...], complaint: str
) -> None:
    done = run("segment", stack, *options)
    assert done.code == 2
    assert complaint in " ".join(done.err.split())


def test_without_distributed_the_install_line_is_shown(
    run: Run,
    model: Path,
    stack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    given = ("--out", tmp_path / "o.zarr", "--model", model, *PX, "--workers", "2")
    done = run("segment", stack, *given)
    assert done.code == 2
    assert 'pip install "napari-seg[cluster]"' in done.err
    assert not (tmp_path / "o.zarr.run").exists()


@pytest.mark.parametrize("mode", [(), ("--restart",)])
def test_neither_the_image_nor_a_folder_of_somebody_is_ever_replaced(
    run: Run, model: Path, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    image, data = tmp_path / "lab" / "v.zarr", tmp_path / "data"
    array = zarr.create_array(image, shape=(3, 40, 40), dtype="u2", fill_value=7)
    array[...] = 9
    data.mkdir()
    (data / "thesis.txt").write_text("years of work")
    given = ("segment", image, "--model", model, *PX, "--format", "ome-zarr", *mode)
    places = [("--out", image), ("--out", image.parent)]
    kept = "--out", tmp_path / "o.zarr", "--probabilities"
    places += [(*kept, data), (*kept, tmp_path / "o.zarr"), (*kept, image)]
    for place in places:
        assert run(*given, *place).code == 2, place
        assert (np.asarray(zarr.open_array(image, mode="r")[...]) == 9).all()
        assert (data / "thesis.txt").read_text() == "years of work"
