"""``napari-seg convert``: one line per complaint, nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import tifffile

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.dataset import add_items
from napari_seg.data.dataset_index import read_index
from napari_seg.data.dataset_reading import read_items
from napari_seg.data.formats.registry import FORMATS

Run = Callable[..., Any]


@pytest.fixture
def convert(run: Run) -> Run:
    """Call ``napari-seg convert`` in this process."""
    return partial(run, "convert")


def labels() -> np.ndarray:
    ids = np.zeros((24, 30), np.int32)
    ids[2:9, 2:9] = 3
    ids[4:6, 4:6] = 0
    ids[12:20, 12:20] = 70_001
    return ids


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Make a data set of five images, the objects of one verified."""
    items = [
        AnnotatedImage(
            f"i{number}",
            labels(),
            "YX",
            (labels() > 0).astype(np.uint8),
            (0.5, 0.5),
            states={3: "verified", 70_001: "proposed"} if number == 2 else {},
        )
        for number in range(5)
    ]
    add_items(tmp_path / "set", items)
    return tmp_path / "set"


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "tiff-pairs"])
def test_every_format_and_back(
    convert: Run, dataset: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "there"
    done = convert(dataset, "--to", name, "--out", out)
    assert done == (0, f"{out}: 5 images, 10 objects ({name})\n", "")
    if name == "csv":
        assert len(out.read_text().splitlines()) == 11
        return
    done = convert(out, "--to", "tiff-pairs", "--out", tmp_path / "back", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["objects"] == 10
    for before, after in zip(
        read_items(dataset), read_items(tmp_path / "back"), strict=True
    ):
        assert before.name == after.name
        np.testing.assert_array_equal(before.image, after.image)
        np.testing.assert_array_equal(before.labels > 0, after.labels > 0)
        if name != "yolo-seg":
            np.testing.assert_array_equal(before.labels, after.labels)


def test_only_verified_objects_crops_and_a_split(
    convert: Run, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "some"
    options = ("--verified-only", "--crops", "3", "--weights")
    done = convert(dataset, "--to", "tiff-pairs", "--out", out, *options)
    assert "1 images, 1 objects" in done.out
    (item,) = read_index(out)
    assert (item.name, item.weights) == ("i2_id3", "weights/i2_id3.tif")
    assert tifffile.imread(out / item.labels).shape == (12, 12)
    done = convert(
        dataset, "--to", "yolo-seg", "--out", tmp_path / "y", "--val-share", 0.4
    )
    assert done.code == 0
    assert len(list((tmp_path / "y/labels/val").iterdir())) == 2
    assert len(list((tmp_path / "y/labels/train").iterdir())) == 3


def test_more_is_added_to_a_data_set_but_no_name_twice(
    convert: Run, dataset: Path, tmp_path: Path
) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "pairs" / folder).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "pairs" / folder / "new.tif", labels())
    done = convert(tmp_path / "pairs", "--to", "tiff-pairs", "--out", dataset)
    assert done.code == 0
    assert [item.name for item in read_index(dataset)][-1] == "new"
    done = convert(tmp_path / "pairs", "--to", "tiff-pairs", "--out", dataset)
    assert done.code == 2
    assert "an item called new already" in done.err
    assert len(read_index(dataset)) == 6


def test_annotations_apart_from_their_images(convert: Run, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images/a.tif", np.zeros((20, 20), np.uint8))
    roi = roifile.ImagejRoi.frompoints([[2, 2], [6, 2], [6, 6], [2, 6]])
    roifile.roiwrite(tmp_path / "a.zip", [roi])
    out = tmp_path / "out"
    done = convert(tmp_path / "a.zip", "--to", "coco", "--out", out)
    assert done.code == 2
    assert "--images" in done.err
    assert not out.exists()
    images = ("--images", tmp_path / "images")
    done = convert(tmp_path / "a.zip", "--to", "coco", "--out", out, *images)
    assert "1 images, 1 objects" in done.out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--to", "word", "--out", "x"), "there is no format 'word'"),
        (("--from", "word", "--to", "coco", "--out", "x"), "there is no format 'word'"),
        (("--to", "coco"), "--out"),
        (("--out", "x"), "--to"),
        (("--to", "coco", "--out", "x.json"), "written as a folder"),
        (("--to", "coco", "--out", "x", "--weights"), "no border weights"),
        (("--to", "ome-zarr", "--out", "x", "--ngff", "0.9"), "no NGFF 0.9"),
        (("--to", "coco", "--out", "x", "--val-share", "2"), "between 0 and 1"),
        (("--to", "coco", "--out", "x", "--crops", "-1"), "not be negative"),
        (("--to", "coco", "--out", "x", "--from", "cellpose"), "no images"),
    ],
)
def test_mistakes_are_one_line(
    convert: Run,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    part: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = convert(dataset, *arguments)
    assert done.code == 2
    assert part in done.err
    assert "Traceback" not in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_bad_inputs_leave_nothing(convert: Run, dataset: Path, tmp_path: Path) -> None:
    (dataset / "labels" / "i3.tif").write_text("no TIFF")
    for source in (dataset, tmp_path / "gone"):
        done = convert(source, "--to", "coco", "--out", tmp_path / "out", "--json")
        assert done.code == 2
        assert len(done.err.splitlines()) == 1
        assert json.loads(done.out)["error"]
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
    assert "gone does not exist" in done.err


@pytest.mark.parametrize("error", [OSError(28, "No space left"), MemoryError()])
def test_a_full_disk_leaves_nothing(
    convert: Run,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr("napari_seg.data.formats.coco.write_plane", full)
    done = convert(dataset, "--to", "coco", "--out", tmp_path / "out")
    assert done.code == 2
    assert "could not finish" in done.err
    assert len(done.err.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_data_set_is_checked_and_repaired(convert: Run, dataset: Path) -> None:
    done = convert(dataset, "--check")
    assert done == (0, f"{dataset}: 5 items, 0 problems\n", "")
    (dataset / "images/i1.tif").unlink()
    (dataset / "labels/i1.tif").unlink()
    done = convert(dataset, "--check")
    assert done.code == 2
    assert len(done.err.splitlines()) == 2
    assert "i1: images/i1.tif is missing" in done.err
    done = convert(dataset, "--repair")
    assert (done.code, done.err) == (0, "")
    assert "i1: dropped" in done.out
    assert "4 items, 0 problems" in done.out
    done = convert(dataset, "--check", "--json")
    assert json.loads(done.out) == {"items": 4, "changes": [], "problems": []}
    done = convert(dataset.parent, "--check")
    assert done.code == 2


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_ctrl_c_leaves_nothing_half_written(
    convert: Run, dataset: Path, tmp_path: Path, name: str, monkeypatch: Any
) -> None:
    passed = []

    def interrupt(self: Any) -> Any:
        for item in self._items:
            if len(passed) == 2:
                raise KeyboardInterrupt
            passed.append(item)
            yield item

    monkeypatch.setattr("napari_seg.data.formats.selection.Counted.__iter__", interrupt)
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / ("out.csv" if name == "csv" else "out")
    done = convert(dataset, "--to", name, "--out", out)
    assert done.code == 130
    assert "nothing of" in done.err
    assert sorted(tmp_path.rglob("*")) == before
