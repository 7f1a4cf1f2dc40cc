"""Folders overnight: what fails is named, what was killed goes on."""

from __future__ import annotations

import csv
import errno
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from torch import nn

from napari_seg.cli.output import time_left
from napari_seg.data import io, run_manifest
from napari_seg.inference import batch
from napari_seg.inference.batch import run_about
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.recipe import Recipe, write_recipe
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import Checkpoint

Run = Callable[..., Any]
KILLED_WHILE_WRITING = """
import os, signal, sys
from napari_seg.data import io
write = io.write_tiff
def write_half(path, *rest):
    if "d-" in path.name:
        path.write_bytes(b"II*")
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, *rest)
io.write_tiff = write_half
from napari_seg.cli import main
main()
"""


def squares(count: int) -> np.ndarray:
    image = np.full((48, 64), 10, np.uint8)
    for number in range(count):
        image[8:24, 2 + 20 * number : 18 + 20 * number] = 200
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write five images with 0 to 2 objects; two are called a, in other folders."""
    for number, name in enumerate(("x/a", "x/b", "y/a", "y/c", "y/d")):
        path = tmp_path / "in" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, squares(number % 3))
    return tmp_path / "in"


@pytest.fixture
def segment(run: Run, model: Path, folder: Path) -> Run:
    def call(out: Path, *options: object) -> Any:
        return run(
            "segment", folder / "**/*.tif", "--model", model, "--out", out,
            "--diameter", 16, *options,
        )  # fmt: skip

    return call


def entries(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text())["files"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, bytes]:
    files = (p for p in out.rglob("*") if p.is_file() and p.name != "run.json")
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files}


def test_run_is_recorded_and_measured(
    segment: Run, folder: Path, tmp_path: Path
) -> None:
    out, table = tmp_path / "out", tmp_path / "t.csv"
    done = segment(out, "--csv", table)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "5 images: 5 done, 0 skipped, 0 failed"
    stored = json.loads((out / "run.json").read_text())
    assert (stored["model"], len(stored["sha256"])) == ("bright", 64)
    assert stored["parameters"]["diameter_px"] == 16
    assert stored["software"].startswith("napari-seg ")
    entry = stored["files"]["y/d"]
    assert entry["objects"] == 1
    assert entry["output"] == "y/d.tif"
    assert entry["seconds"] > 0
    assert entry["bytes"] == (folder / "y/d.tif").stat().st_size
    counts = {row["image"]: row["objects"] for row in rows(tmp_path / "t-counts.csv")}
    assert counts == {"x/a": "0", "x/b": "1", "y/a": "2", "y/c": "0", "y/d": "1"}
    measured = [row["image"] for row in rows(table)]
    assert measured == ["x/b", "y/a", "y/a", "y/d"]
    assert float(rows(table)[0]["mean_intensity_channel0"]) > 150
    again = segment(tmp_path / "other", "--csv", table)
    assert again.code == 2
    assert "t.csv exists already" in again.err


def test_killed_run_goes_on_to_the_same_files(
    segment: Run, model: Path, folder: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert segment(whole, "--csv", whole / "t.csv").code == 0
    arguments = (
        "segment", folder / "**/*.tif", "--model", model, "--out", killed,
        "--diameter", "16", "--csv", killed / "t.csv",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_WRITING, *map(str, arguments)],
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [e["state"] for e in entries(killed).values()] == ["done"] * 4 + ["pending"]
    assert len(rows(killed / "t-counts.csv")) == 4
    assert list((killed / "y").glob(".d-*.part"))
    refused = segment(killed)
    assert refused.code == 2
    assert "4 of 5 images done" in refused.err
    again = segment(killed, "--csv", killed / "t.csv", "--resume")
    assert again.code == 0, again.err
    assert again.out.splitlines()[-1] == "5 images: 1 done, 4 skipped, 0 failed"
    assert contents(killed) == contents(whole)


def test_resume_redoes_what_changed_failed_or_is_gone(
    segment: Run, folder: Path, tmp_path: Path
) -> None:
    out, table = tmp_path / "out", tmp_path / "t.csv"
    good = (folder / "x/b.tif").read_bytes()
    (folder / "x/b.tif").write_text("not an image")
    first = segment(out, "--csv", table)
    assert first.code == 2
    assert "4 done, 0 skipped, 1 failed" in first.out
    assert "b.tif" in first.out.splitlines()[-1]
    assert entries(out)["x/b"]["state"] == "failed"
    (folder / "x/b.tif").write_bytes(good)
    tifffile.imwrite(folder / "y/a.tif", squares(1))
    (out / "y/d.tif").unlink()
    again = segment(out, "--csv", table, "--resume", "--json")
    assert (again.code, again.err) == (0, "")
    report = json.loads(again.out)
    assert [Path(r["input"]).stem for r in report["results"]] == ["b", "a", "d"]
    assert [Path(s).stem for s in report["skipped"]] == ["a", "c"]
    counts = {row["image"]: row["objects"] for row in rows(tmp_path / "t-counts.csv")}
    assert counts == {"x/a": "0", "x/b": "1", "y/a": "1", "y/c": "0", "y/d": "1"}
    assert sorted(row["image"] for row in rows(table)) == ["x/b", "y/a", "y/d"]


def test_resume_refuses_other_parameters_and_restart_does_not(
    segment: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert segment(out).code == 0
    done = segment(out, "--resume", "--channel", 0)
    assert done.code == 2
    assert "channel None, now 0" in done.err
    assert segment(out, "--resume", "--restart").code == 2
    assert segment(out, "--restart", "--channel", 0).code == 0
    assert json.loads((out / "run.json").read_text())["parameters"]["channel"] == 0


def test_table_asked_for_later_is_made_from_the_labels(
    segment: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert segment(out, "--csv", tmp_path / "t.csv").code == 0
    monkeypatch.setattr(batch, "iter_segment_file", None)
    done = segment(out, "--resume", "--csv", tmp_path / "later.csv")
    assert done.code == 0, done.err
    for suffix in (".csv", "-counts.csv"):
        expected = (tmp_path / f"t{suffix}").read_bytes()
        assert (tmp_path / f"later{suffix}").read_bytes() == expected


def test_file_that_vanishes_after_listing_is_named(
    segment: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = batch.iter_segment_file

    def vanish(*given: Any, **more: Any) -> Generator[Any, None, Any]:
        (folder / "y/c.tif").unlink(missing_ok=True)
        return (yield from steps(*given, **more))

    monkeypatch.setattr(batch, "iter_segment_file", vanish)
    out = tmp_path / "out"
    done = segment(out)
    assert done.code == 2
    assert "c.tif does not exist" in done.err
    assert "4 done, 0 skipped, 1 failed" in done.out


def test_planned_file_that_is_gone_on_resume_is_named(
    segment: Run, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    segment(out)
    text = (out / "run.json").read_text()
    entry = json.dumps(entries(out)["y/c"])
    gone = json.dumps({"state": "pending", "input": str(folder / "y/c.tif")})
    assert entry in text
    (out / "run.json").write_text(text.replace(entry, gone))
    (folder / "y/c.tif").unlink()
    done = segment(out, "--resume")
    assert done.code == 2
    assert "c.tif is gone" in done.err
    assert "0 done, 4 skipped, 1 failed" in done.out


def test_full_disk_costs_one_image_and_no_half_file(
    segment: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, out = io.write_tiff, tmp_path / "out"

    def write_half(path: Path, *rest: Any) -> None:
        if "b-" in path.name:
            path.write_bytes(b"II*")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(io, "write_tiff", write_half)
        done = segment(out)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "b.tif" in line
    assert "No space left" in line
    assert [p.name for p in (out / "x").iterdir()] == ["a.tif"]
    assert segment(out, "--resume").out.endswith("1 done, 4 skipped, 0 failed\n")


def test_record_that_cannot_be_saved_is_saved_later(
    segment: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = run_manifest.RunManifest.save, []

    def fail_at_first(manifest: Any) -> None:
        calls.append(1)
        if len(calls) in (2, 3):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(manifest)

    with monkeypatch.context() as patch:
        patch.setattr(run_manifest.RunManifest, "save", fail_at_first)
        assert segment(tmp_path / "out").code == 0
        assert {e["state"] for e in entries(tmp_path / "out").values()} == {"done"}
    always = OSError(errno.ENOSPC, "No space left on device")
    calls.clear()

    def fail(manifest: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise always
        save(manifest)

    monkeypatch.setattr(run_manifest.RunManifest, "save", fail)
    done = segment(tmp_path / "other")
    assert done.code == 2
    assert "run.json" in done.err
    assert (tmp_path / "other/y/d.tif").exists()


def test_image_without_permission_is_named(
    segment: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def guarded(path: Path, *given: Any, **more: Any) -> Any:
        if path.name == "c.tif":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *given, **more)

    monkeypatch.setattr(Path, "open", guarded)
    done = segment(tmp_path / "out")
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "c.tif (found: Permission denied)" in line


def test_folder_that_cannot_be_written_is_said_before_the_work(
    segment: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(batch, "iter_segment_file", None)
    done = segment(tmp_path / "file/out")
    assert done.code == 2
    assert "cannot write" in done.err
    assert len(done.err.splitlines()) == 1


def test_stopping_says_how_to_go_on(
    segment: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = batch.iter_segment_file

    def stop(path: Path, *given: Any, **more: Any) -> Any:
        if path.stem == "c":
            raise KeyboardInterrupt
        return steps(path, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "iter_segment_file", stop)
        done = segment(tmp_path / "out")
    assert done.code == 130
    assert "stopped after 3 of 5 images; the same with --resume goes on" in done.err
    assert segment(tmp_path / "out", "--resume").out.endswith("3 skipped, 0 failed\n")


def test_recipe_takes_patterns_and_exports_equal_names(
    run: Run, model: Path, folder: Path, tmp_path: Path
) -> None:
    params = SegmentParams(diameter_px=16)
    recipe = Recipe(str(model), params, export="csv")
    write_recipe(tmp_path / "r.yaml", recipe)
    out = tmp_path / "out"
    done = run("run", tmp_path / "r.yaml", folder / "**/*.tif", "--out", out)
    assert done.code == 0, done.err
    assert (out / "x/a.tif").exists()
    measured = [row["image"] for row in rows(out / "objects.csv")]
    assert measured == ["x/b", "y/a", "y/a", "y/d"]


def test_time_left_is_told_in_a_log(
    segment: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert time_left([], 3) == ""
    assert time_left([2.0, 4.0], 3) == ", about 9 s left"
    assert time_left([60.0], 125) == ", about 2 h 5 min left"
    monkeypatch.setattr("napari_seg.cli.segment._NOTE_SECONDS", 0.0)
    lines = segment(tmp_path / "out").err.splitlines()
    assert lines[0] == "1 of 5: x/a"
    assert lines[4].startswith("5 of 5, about ")
    assert lines[4].endswith("left: y/d")


def test_a_window_and_the_command_line_mean_the_same_run() -> None:
    known = Checkpoint(
        nn.Identity(), Card("a", "unet", {}, 1, ("b", "i"), threshold=0.4)
    )
    card = known.card
    said = SegmentParams(threshold=0.4, seed_threshold=card.seed_threshold)
    assert run_about(known, said, classes=False) == run_about(
        known, SegmentParams(), classes=False
    )
    other = SegmentParams(threshold=0.5)
    assert run_about(known, other, classes=False) != run_about(
        known, SegmentParams(), classes=False
    )
