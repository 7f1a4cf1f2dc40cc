"""Plans, tables and records of a batch, without a network."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import pytest

from napari_seg.data.batch_plan import plan
from napari_seg.data.batch_table import AppendedTable
from napari_seg.data.run_manifest import MANIFEST, RunManifest, Stamp
from napari_seg.errors import FormatError
from napari_seg.files import remove_leftovers

ABOUT = {"model": "m", "sha256": "0" * 64, "parameters": {"tta": "none", "axes": None}}


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    root = tmp_path / "plates"
    for name in (
        "p1/a.tif", "p1/b.png", "p2/a.tif", "p2/deep/a.tif", "p2/notes.txt",
        "p2/._a.tif", "labels/p1/a.tif", "v.zarr/zarr.json", "v.zarr/x.tif",
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(*inputs: Path, out: Path) -> list[str]:
    return [file.name for file in plan(inputs, out) if file.problem is None]


def test_pattern_keeps_sub_folders_and_leaves_results_and_insides_out(
    plates: Path,
) -> None:
    out = plates / "labels"
    found = plan([plates / "**/*"], out)
    assert [f.name for f in found] == ["p1/a", "p1/b", "p2/a", "p2/deep/a", "v"]
    assert found[2].target == out / "p2/a.tif"
    assert found[4].path == plates / "v.zarr"
    assert names(plates / "p?/*.tif", out=out) == ["p1/a", "p2/a"]


def test_several_inputs_share_the_folder_above_them(plates: Path) -> None:
    out = plates.parent / "out"
    assert names(plates / "p1", plates / "p2/*.tif", out=out) == [
        "p1/a", "p1/b", "p2/a",
    ]  # fmt: skip
    # a folder alone, and a file by itself, are as flat as ever
    assert names(plates / "p1", out=out) == ["a", "b"]
    assert names(plates / "p2/deep/a.tif", out=out) == ["a"]
    assert names(plates / "p1", plates / "p1", out=out) == ["a", "b"]


def test_a_name_with_brackets_is_a_file_if_there_is_one(plates: Path) -> None:
    (plates / "a[1].tif").touch()
    assert names(plates / "a[1].tif", out=plates / "out") == ["a[1]"]


def test_relative_patterns_mean_the_working_folder(
    plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plates)
    assert names(Path("*/*.tif"), out=Path("labels")) == ["p1/a", "p2/a"]
    (lost,) = plan([Path("nothing/**/*.tif")], Path("labels"))
    assert "nothing/**/*.tif" in str(lost.problem)


def test_rows_survive_a_cut_at_any_byte(tmp_path: Path) -> None:
    table = AppendedTable(tmp_path / "t.csv", ("image", "area"))
    table.write()
    rows = [{"image": "im1", "area": 12}, {"image": "im1", "area": 3}]
    end = len((tmp_path / "t.csv").read_bytes()) + len(b"im1,12\r\nim1,3\r\n")
    table.append(rows)
    table.append([{"image": "im10", "area": 7}, {"image": 'i"m, 2', "area": 8}])
    content = table.path.read_bytes()
    for length in range(end, len(content) + 1):
        table.path.write_bytes(content[:length])
        again = AppendedTable(table.path, ("image",))
        again.read()
        again.write({"im1"})
        assert table.path.read_bytes() == content[:end], length


def test_columns_that_come_later_are_empty_before(tmp_path: Path) -> None:
    table = AppendedTable(tmp_path / "t.csv", ("image",))
    table.write()
    table.append([{"image": "a", "area_px2": 1}])
    table.append([{"image": "b", "area_um2": 2}])
    with table.path.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["image", "area_px2", "area_um2"], ["a", "1", ""], ["b", "", "2"],
        ]  # fmt: skip


def test_full_disk_leaves_the_table_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = AppendedTable(tmp_path / "t.csv", ("image",))
    table.write()
    table.append([{"image": "a"}])
    before = table.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            table.append([{"image": "b"}])
    assert table.path.read_bytes() == before
    assert table.images == {"a"}


def test_manifest_is_refused_with_what_differs(tmp_path: Path) -> None:
    RunManifest(tmp_path / MANIFEST, ABOUT).save()
    other = {**ABOUT, "sha256": "1" * 64, "parameters": {"tta": "flips", "axes": None}}
    with pytest.raises(FormatError) as caught:
        RunManifest.open(tmp_path, other, "resume")
    assert "000000000000" in str(caught.value)
    assert "tta none, now flips" in str(caught.value)
    assert "axes" not in str(caught.value)
    assert RunManifest.open(tmp_path, ABOUT, "resume").files == {}
    assert RunManifest.open(tmp_path, other, "restart").about["sha256"] == "1" * 64


def test_unfinished_run_is_not_forgotten_by_chance(tmp_path: Path) -> None:
    image = tmp_path / "a.tif"
    image.touch()
    manifest = RunManifest(tmp_path / MANIFEST, ABOUT)
    manifest.begin({"a": image, "b": tmp_path / "b.tif"})
    assert RunManifest.open(tmp_path, ABOUT, "new").files.keys() == {"a", "b"}
    stamp = Stamp.of(image)
    entry = {"state": "done", "bytes": stamp.bytes, "modified_ns": stamp.modified_ns}
    manifest.record("a", entry)
    manifest.save()
    with pytest.raises(FormatError, match=r"1 of 2 images done.*--resume"):
        RunManifest.open(tmp_path, ABOUT, "new")
    again = RunManifest.open(tmp_path, ABOUT, "resume")
    assert again.lost() == {"b": tmp_path / "b.tif"}
    assert again.finished("a", stamp, [image]) is not None
    assert again.finished("a", stamp, [tmp_path / "gone.tif"]) is None
    assert again.finished("a", Stamp(stamp.bytes, 1), [image]) is None
    assert again.finished("b", stamp, [image]) is None


@pytest.mark.parametrize("text", ["", "[]", '{"napari_seg_run": 9}', '{"a": 1}'])
def test_foreign_run_json_is_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    for mode in ("new", "resume"):
        with pytest.raises(FormatError, match="record of a run"):
            RunManifest.open(tmp_path, ABOUT, mode)


def test_only_leftovers_of_these_files_are_removed(tmp_path: Path) -> None:
    for name in (".a-0a_b1c2d.part", ".b-0a_b1c2d.part", ".a-note.part", "a.tif"):
        (tmp_path / name).touch()
    remove_leftovers([tmp_path / "a.tif"])
    assert {p.name for p in tmp_path.iterdir()} == {
        ".b-0a_b1c2d.part", ".a-note.part", "a.tif",
    }  # fmt: skip
