"""The data set on disk: adding, checking, repairing, training on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from annotations import BIG, awkward, awkward_labels, image_of, volume

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.dataset import add_items
from napari_seg.data.dataset_check import check_dataset, repair_dataset
from napari_seg.data.dataset_index import (
    DatasetItem,
    array_sha256,
    locked,
    read_index,
    write_index,
)
from napari_seg.data.dataset_reading import read_items
from napari_seg.data.io import read_image
from napari_seg.data.provenance import Provenance
from napari_seg.errors import DatasetError, FormatError
from napari_seg.imaging.weightmap import BorderWeights
from napari_seg.training.folders import folder_sources
from napari_seg.training.sources import Reading, iter_read, marked_sides
from napari_seg.types import run


def test_what_is_added_comes_back(tmp_path: Path) -> None:
    item = awkward(
        states={3: "verified", 4: "proposed"},
        classes={3: "nucleus"},
        scores={4: 0.25},
        uncertainties={4: 0.5},
        channels=("DAPI",),
        group="dish 1",
        split="val",
        provenance=Provenance("raw.czi", 2, 0, "Ada", "unet", "ab" * 32, {"crf": {}}),
    )
    (added,) = add_items(tmp_path, [item], weights=BorderWeights())
    assert (added.image, added.labels) == ("images/cells.tif", "labels/cells.tif")
    assert added.image_sha256 == array_sha256(item.image)
    assert added.labels_sha256 == array_sha256(item.labels)
    assert added.provenance.software.startswith("napari-seg ")
    assert read_index(tmp_path) == [added]
    (back,) = read_items(tmp_path)
    np.testing.assert_array_equal(back.labels, item.labels)
    np.testing.assert_array_equal(back.image, item.image)
    assert back.spacing == pytest.approx((0.5, 0.25))
    for field in ("states", "classes", "scores", "uncertainties", "group", "split",
                  "channels", "ignored"):  # fmt: skip
        assert getattr(back, field) == getattr(item, field), field
    assert back.provenance.annotator == "Ada"
    weights = read_image(tmp_path / "weights/cells.tif").array
    np.testing.assert_array_equal(weights, BorderWeights().weigh(item.labels))
    assert check_dataset(tmp_path) == []


def test_films_are_weighed_frame_by_frame(tmp_path: Path) -> None:
    labels = np.stack([awkward_labels(), np.zeros_like(awkward_labels())])
    item = AnnotatedImage("film", labels, "TYX", image_of(labels.shape))
    add_items(tmp_path, [item], weights=BorderWeights())
    weights = read_image(tmp_path / "weights/film.tif").array
    np.testing.assert_array_equal(weights[0], BorderWeights().weigh(labels[0]))
    assert (weights[1] == 1).all()


def test_training_finds_it_and_leaves_out_what_is_not_verified(tmp_path: Path) -> None:
    items = [
        awkward("a", ignored=frozenset({3, 4}), split="train", group="dish"),
        awkward("b", split="val"),
        volume("c"),
    ]
    add_items(tmp_path, items)
    sources = folder_sources(tmp_path)
    assert [source.for_validation for source in sources] == [False, True, None]
    assert marked_sides(sources) == {"dish": False, str(sources[1].image): True}
    first, second, *rest = run(iter_read(sources, Reading(in_channels=1)))
    assert (first.labels[awkward_labels() == 3] == -1).all()
    assert (first.labels[awkward_labels() == BIG] > 0).all()
    assert (second.labels >= 0).all()
    assert len(rest) == 3
    (ours, *_) = read_items(tmp_path)
    assert ours.ignored == {3, 4}


def test_a_name_that_is_taken_is_refused_or_numbered(tmp_path: Path) -> None:
    add_items(tmp_path, [awkward()])
    before = sorted(p for p in tmp_path.rglob("*"))
    with pytest.raises(DatasetError, match="called cells already"):
        add_items(tmp_path, [awkward("new"), awkward("cells")])
    assert sorted(p for p in tmp_path.rglob("*")) == before
    stray = tmp_path / "images" / "cells-2.tif"
    stray.write_text("mine")
    (added,) = add_items(tmp_path, [awkward()], number_taken=True)
    assert added.name == "cells-3"
    assert stray.read_text() == "mine"


def test_names_are_no_paths(tmp_path: Path) -> None:
    (added,) = add_items(tmp_path / "set", [awkward("../x: y")])
    assert added.image == "images/_x_ y.tif"
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
    assert added.name == "../x: y"


def test_an_item_without_image_or_a_failing_reader_leaves_nothing(
    tmp_path: Path,
) -> None:
    with pytest.raises(FormatError, match="no image"):
        add_items(tmp_path, [awkward(), AnnotatedImage("m", awkward_labels())])
    assert [path.name for path in tmp_path.iterdir()] == [".dataset.lock"]
    with pytest.raises(FormatError, match="no image"):
        add_items(tmp_path / "new", [AnnotatedImage("m", awkward_labels())])
    assert not (tmp_path / "new").exists()


def test_pairs_that_no_index_names_are_not_hidden_behind_one(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match="no dataset"):
        add_items(tmp_path, [awkward()])
    assert not (tmp_path / "dataset.json").exists()


WRITER = """
import sys
import numpy as np
from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.dataset import add_items

for number in range(int(sys.argv[3])):
    labels = np.full((20, 20), number + 1, np.int32)
    item = AnnotatedImage(f"{sys.argv[2]}{number}", labels, "YX", labels.astype("u1"))
    add_items(sys.argv[1], [item])
"""


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    both = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name, "12"])
        for name in "ab"
    ]
    assert [process.wait(timeout=100) for process in both] == [0, 0]
    names = {item.name for item in read_index(tmp_path)}
    assert names == {f"{name}{number}" for name in "ab" for number in range(12)}
    assert check_dataset(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_writer_leaves_no_half_item(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), "a", "100000"]
    )
    while not (tmp_path / "labels").is_dir():
        time.sleep(0.01)
    time.sleep(0.3)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    items = read_index(tmp_path)
    assert items
    # a file that was moved in but not named yet may be left: it is not used
    assert all("is not used" in problem for problem in check_dataset(tmp_path))
    add_items(tmp_path, [awkward()])
    assert len(read_index(tmp_path)) == len(items) + 1


def test_a_lock_that_is_never_given_back_is_said(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("napari_seg.data.dataset_index.LOCK_TIMEOUT_S", 0.1)
    with (
        locked(tmp_path),
        pytest.raises(DatasetError, match="another program"),
        locked(tmp_path),
    ):
        pass


def test_check_names_everything_that_is_wrong(tmp_path: Path) -> None:
    add_items(
        tmp_path, [awkward(n, group="g") for n in "abcd"], weights=BorderWeights()
    )
    items = read_index(tmp_path)
    (tmp_path / "images/a.tif").unlink()
    tifffile.imwrite(tmp_path / "labels/b.tif", np.ones((3, 3), np.uint8))
    (tmp_path / "labels/c.tif").write_text("no TIFF")
    (tmp_path / "images/stray.tif").write_text("")
    (tmp_path / ".adding-x").mkdir()
    os.utime(tmp_path / ".adding-x", (0, 0))
    odd = [DatasetItem(**{**vars(items[3]), "split": s, "states": {99: "verified"}})
           for s in ("train", "val")]  # fmt: skip
    write_index(tmp_path, [*items[:3], *odd])
    text = "\n".join(check_dataset(tmp_path))
    for part in (
        "a: images/a.tif is missing",
        "b: labels/b.tif is not what was added",
        "b: labels/b.tif has the shape (3, 3)",
        "c: cannot read c.tif",
        "d: states of objects that are not there: [99]",
        "d: 2 items of this name",
        "group g is on both sides",
        "images/stray.tif is in no item",
        ".adding-x",
    ):
        assert part in text


def test_repair_drops_what_is_missing_and_keeps_a_backup(tmp_path: Path) -> None:
    add_items(tmp_path, [awkward(name) for name in "abc"])
    assert repair_dataset(tmp_path) == []
    index = (tmp_path / "dataset.json").read_text()
    (tmp_path / "labels/b.tif").unlink()
    lines = repair_dataset(tmp_path)
    assert lines[0] == "b: dropped, labels/b.tif is missing"
    assert [item.name for item in read_index(tmp_path)] == ["a", "c"]
    assert (tmp_path / "dataset.json.bak").read_text() == index
    (tmp_path / "labels/c.tif").unlink()
    assert repair_dataset(tmp_path)[-1].endswith("dataset.json.bak2")
    # what is left of b is named, and is not taken back
    assert "images/b.tif is in no item; it is not used" in check_dataset(tmp_path)


def test_an_index_may_not_name_files_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    add_items(folder, [awkward()])
    stored = json.loads((folder / "dataset.json").read_text())
    stored["pairs"][0]["image"] = "../secret.tif"
    (folder / "dataset.json").write_text(json.dumps(stored))
    (tmp_path / "secret.tif").write_text("")
    with pytest.raises(FormatError, match="out of its folder"):
        list(read_items(folder))
    assert "out of its folder" in check_dataset(folder)[0]
    assert "dropped" in repair_dataset(folder)[0]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"pairs": [{}]}', '{"pairs": [], "schema": 2}']
)
def test_an_index_that_cannot_be_understood_is_left_alone(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        add_items(tmp_path, [awkward()])
    assert (tmp_path / "dataset.json").read_text() == text


def test_an_index_written_by_hand_is_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((4, 5), np.uint8))
    labels = np.array([[1, 1, 2, 2, 0]] * 4, np.uint8)
    tifffile.imwrite(tmp_path / "l.tif", labels)
    pairs = [{"image": "i.tif", "labels": "l.tif", "correct_planes": []}]
    (tmp_path / "dataset.json").write_text(json.dumps({"pairs": pairs}))
    (item,) = read_items(tmp_path)
    assert (item.name, item.ignored) == ("i", {1, 2})
    pairs[0] |= {"correct_ids": [2]}
    (tmp_path / "dataset.json").write_text(json.dumps({"pairs": pairs}))
    (item,) = read_items(tmp_path)
    assert item.ignored == {1}


def test_the_hash_is_of_values_type_and_shape() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    same = np.asfortranarray(array.astype(">i4"))
    assert array_sha256(array) == array_sha256(same)
    others = [array.reshape(3, 2), array.astype(np.int64), array + 1]
    assert len({array_sha256(a) for a in (array, *others)}) == 4


def test_parameters_may_hold_numbers_of_numpy(tmp_path: Path) -> None:
    parameters = {"w0": np.float32(2), "path": Path("a")}
    item = awkward(provenance=Provenance(parameters=parameters, time_spent_s=1.5))
    add_items(tmp_path, [item])
    (back,) = read_index(tmp_path)
    assert back.provenance.parameters == {"w0": 2.0, "path": "a"}
    assert back.provenance.time_spent_s == 1.5
