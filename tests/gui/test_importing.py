"""Masks from files onto the open image: asked about, never overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
from fakes import pump_until
from napari.components import ViewerModel
from psygnal import Signal
from test_correct_controller import FakePanel as CorrectFakePanel

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.formats.coco import write_coco
from napari_seg.data.formats.overlaps import OverlapError, resolving
from napari_seg.data.formats.registry import FORMATS
from napari_seg.data.import_masks import import_masks, merge_masks
from napari_seg.data.io import write_labels
from napari_seg.errors import FormatError, LabelsError
from napari_seg.gui.correction.controller import CorrectController
from napari_seg.gui.importing import ImportController
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.offload import Offload
from napari_seg.state import Remembered


class FakeBox:
    import_requested = Signal(str)

    def __init__(self) -> None:
        self.note, self.overlaps, self.conflict = "", "", None
        self.asked: list[str] = []

    def set_note(self, text: str) -> None:
        self.note = text

    def ask_overlaps(self, text: str) -> str:
        self.asked.append(text)
        return self.overlaps

    def ask_conflict(self, text: str) -> bool | None:
        self.asked.append(text)
        return self.conflict


class Session:
    def __init__(self, folder: Path) -> None:
        self.viewer, self.box = ViewerModel(), FakeBox()
        self.jobs, correct_jobs = Jobs(), Jobs()
        self.all_jobs = [self.jobs, correct_jobs]
        self.corrector = CorrectController(
            self.viewer,
            CorrectFakePanel(),
            correct_jobs,
            Offload(),
            Remembered(folder / "settings.json"),
        )
        self.importer = ImportController(
            self.viewer, self.box, self.corrector, self.jobs
        )
        self.viewer.add_image(np.zeros((30, 40)), name="cells")

    def read(self, path: Path) -> str:
        self.box.import_requested.emit(str(path))
        for jobs in self.all_jobs:
            pump_until(jobs, lambda jobs=jobs: not jobs.is_busy)
        return self.box.note


@pytest.fixture
def session(tmp_path: Path) -> Any:
    made = Session(tmp_path)
    yield made
    made.importer.close()
    made.corrector.close()


def masks() -> np.ndarray:
    labels = np.zeros((30, 40), np.int32)
    labels[2:9, 2:9] = 3
    labels[4:6, 4:6] = 0
    labels[12:20, 12:20] = 70_001
    return labels


def written(folder: Path, kind: str, labels: np.ndarray | None = None) -> Path:
    """Write masks in a format, and return the file a user would choose."""
    labels = masks() if labels is None else labels
    item = AnnotatedImage("cells", labels, "YX", np.zeros(labels.shape, np.uint8))
    if kind == "labels":
        write_labels(folder / "other.tif", labels, "YX")
        return folder / "other.tif"
    FORMATS[kind].write([item], folder / kind)
    pattern = {"coco": "*.json", "cellpose": "*.npy", "imagej-roi": "*.zip"}[kind]
    return next((folder / kind).glob(pattern))


@pytest.mark.parametrize("kind", ["labels", "coco", "cellpose", "imagej-roi"])
def test_masks_of_any_format_become_a_layer(session, tmp_path, kind) -> None:
    said = session.read(written(tmp_path, kind))
    assert said == f"2 objects ({kind}) in the layer cells imported."
    layer = session.viewer.layers["cells imported"]
    np.testing.assert_array_equal(layer.data, masks())
    assert layer.metadata[METADATA_KEY]["image"] == "cells"


def test_another_size_is_refused_with_both_shapes(session, tmp_path) -> None:
    for kind in ("labels", "coco", "cellpose"):
        folder = tmp_path / kind
        folder.mkdir()
        said = session.read(written(folder, kind, masks()[:29]))
        assert "masks (29, 40), image (30, 40)" in said
    assert len(session.viewer.layers) == 1


@pytest.mark.parametrize(("answer", "count"), [(None, 2), (False, 3), (True, 2)])
def test_labels_that_are_there_are_asked_about(
    session, tmp_path, answer, count
) -> None:
    old = np.zeros((30, 40), np.int32)
    old[12:16, 12:30] = 3
    session.viewer.add_labels(old.copy(), name="mine")
    session.box.conflict = answer
    said = session.read(written(tmp_path, "labels"))
    (asked,) = session.box.asked
    assert "mine holds labels already" in asked
    assert "1 id is taken" in asked
    assert "32 pixels would stay" in asked
    assert len(session.viewer.layers) == count
    mine = session.viewer.layers["mine"]
    if not answer:
        np.testing.assert_array_equal(mine.data, old)
        return
    assert said.endswith("1 got new ids.")
    np.testing.assert_array_equal(mine.data == 3, old == 3)
    np.testing.assert_array_equal(mine.data == 70_002, masks() == 3)
    mine.undo()
    np.testing.assert_array_equal(mine.data, old)


@pytest.mark.parametrize("when", ["asked", "checked"])
def test_labels_that_change_meanwhile_stay(session, tmp_path, when, monkeypatch):
    old = np.zeros((30, 40), np.int32)
    old[25:28, 30:38] = 1
    mine = session.viewer.add_labels(old.copy(), name="mine")

    def paint(*_: object) -> bool:
        mine.paint((14, 14), 1)
        return True

    if when == "asked":
        monkeypatch.setattr(session.box, "ask_conflict", paint)
    else:
        session.box.conflict = True
        add = session.importer._add
        monkeypatch.setattr(
            session.importer, "_add", lambda *args: (add(*args), paint())
        )
    said = session.read(written(tmp_path, "labels"))
    assert said == "Nothing was imported: the labels were changed."
    assert set(np.unique(mine.data)) == {0, 1}
    assert mine.data[14, 14] == 1


def test_empty_labels_are_filled_without_a_question(session, tmp_path) -> None:
    session.viewer.add_labels(np.zeros((30, 40), np.int32), name="mine")
    session.read(written(tmp_path, "labels"))
    assert session.box.asked == []
    np.testing.assert_array_equal(session.viewer.layers["mine"].data, masks())


def overlapping(folder: Path) -> Path:
    """Write a square under a larger one, and a small one within that."""

    def square(y: int, x: int, side: int) -> list[list[int]]:
        return [[x, y, x + side, y, x + side, y + side, x, y + side]]

    entries = [(1, square(4, 8, 6)), (2, square(2, 2, 10)), (3, square(3, 3, 2))]
    content = {
        "images": [{"id": 1, "file_name": "cells.png", "height": 30, "width": 40}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "segmentation": s, "iscrowd": 0}
            for i, s in entries
        ],
    }
    (folder / "o.json").write_text(json.dumps(content))
    return folder / "o.json"


@pytest.mark.parametrize(
    ("policy", "areas"), [("", None), ("later", [12, 96, 4]), ("smaller", [36, 72, 4])]
)
def test_overlaps_are_the_users_to_decide(session, tmp_path, policy, areas) -> None:
    session.box.overlaps = policy
    said = session.read(overlapping(tmp_path))
    assert "overlap" in session.box.asked[0]
    assert "24 pixels" in session.box.asked[0]
    if areas is None:
        assert said == "Nothing was imported."
        assert len(session.viewer.layers) == 1
        return
    assert "28 pixels were claimed by two of them" in said
    found = session.viewer.layers["cells imported"].data
    assert np.bincount(found.ravel())[1:].tolist() == areas


def test_the_smaller_one_is_on_top_whichever_comes_first(tmp_path) -> None:
    large, small = np.zeros((2, 9, 9), bool)
    large[1:8, 1:8], small[2:4, 2:4] = True, True
    for first, second in ((large, small), (small, large)):
        labels = np.zeros((9, 9), np.int32)
        with resolving("smaller") as overlaps:
            overlaps.put(labels, first, 1, "a")
            overlaps.put(labels, second, 2, "a")
        assert overlaps.contested == 4
        assert sorted(np.bincount(labels.ravel())[1:]) == [4, 45]
    with pytest.raises(OverlapError), resolving("refuse") as overlaps:
        overlaps.put(labels, large, 3, "a")
    with pytest.raises(FormatError, match="no way 'top'"), resolving("top"):
        pass


def test_convert_says_how_many_pixels_were_contested(run, tmp_path) -> None:
    source, out = overlapping(tmp_path), tmp_path / "out"
    words = ("convert", source, "--to", "csv", "--out", tmp_path / "a.csv")
    refused = run(*words)
    assert refused.code == 2
    assert "--overlaps later" in refused.err
    done = run(*words, "--overlaps", "smaller")
    assert done.code == 0
    assert "28 pixels were claimed by two objects" in done.err
    assert not out.exists()


def test_a_file_of_many_images_is_searched_for_this_one(tmp_path) -> None:
    items = [
        AnnotatedImage(
            name, masks() * (name == "b"), "YX", np.zeros((30, 40), np.uint8)
        )
        for name in ("a", "b")
    ]
    write_coco(items, tmp_path / "coco")
    (file,) = (tmp_path / "coco").glob("*.json")
    found = import_masks(file, "b", "YX", (30, 40))
    np.testing.assert_array_equal(found.labels, masks())
    with pytest.raises(FormatError, match="those of a, b"):
        import_masks(file, "c", "YX", (30, 40))


def test_rois_need_no_image_of_their_name(tmp_path) -> None:
    ring = np.array([[2, 2], [9, 2], [9, 9], [2, 9]], float)
    path = tmp_path / "RoiSet.zip"
    roifile.roiwrite(path, [roifile.ImagejRoi.frompoints(ring)], name=["x"])
    found = import_masks(path, "cells", "CYX", (2, 30, 40))
    assert found.labels.shape == (30, 40)
    assert np.count_nonzero(found.labels) == 49


def test_merging_changes_nothing_that_was_there() -> None:
    old, new = np.zeros((2, 4, 4), np.int32)
    old[0], new[:2], new[3] = 5, 5, 2
    merged = merge_masks(old, new)
    assert merged.labels.tolist() == [[5] * 4, [6] * 4, [0] * 4, [2] * 4]
    assert (merged.renumbered, merged.hidden) == (1, 4)
    np.testing.assert_array_equal(merge_masks(0 * old, new).labels, new)


def test_labels_too_narrow_for_the_ids_are_refused_not_wrapped() -> None:
    old, new = np.zeros((20, 20), np.uint8), np.arange(400).reshape(20, 20)
    with pytest.raises(LabelsError, match="255, 399 is needed"):
        merge_masks(old, new.astype(np.int32))
    wide = merge_masks(old.astype(np.uint16), new.astype(np.int32))
    assert wide.labels.dtype == np.uint16
    assert np.array_equal(wide.labels, new)
    high = merge_masks(np.array([[3]], np.int64), np.array([[2**31 - 1]], np.int32))
    assert high.labels.tolist() == [[3]]
