"""From ticked labels to files of other programs."""

import csv
import json

import numpy as np
import pytest
from fakes import pump_until
from napari.components import ViewerModel
from psygnal import Signal

from napari_seg.data.dataset_reading import read_items
from napari_seg.gui.correction.locks import LOCKED_KEY
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.training import exporter as exporter_module
from napari_seg.gui.training.data import TrainingData
from napari_seg.gui.training.exporter import ExportController
from napari_seg.gui.training.marks import toggle_plane
from napari_seg.gui.training.settings import Counts
from napari_seg.inference.result import Segmentation


class Panel:
    export_requested = Signal(str, str)
    export_cancel_requested = Signal()

    def __init__(self):
        self.formats = None
        self.said = []

    def set_formats(self, formats):
        self.formats = dict(formats)

    def set_export(self, text, is_busy):
        self.said.append((text, is_busy))


class Session:
    def __init__(self):
        self.viewer, self.panel, self.jobs = ViewerModel(), Panel(), Jobs()
        self.data = TrainingData(self.viewer)
        self.exporter = ExportController(self.viewer, self.panel, self.data, self.jobs)

    def open(self, shape=(30, 40), name="cells", **metadata):
        labels = np.zeros(shape, np.int32)
        labels[..., 2:9, 3:9] = 4
        labels[..., 15:25, 20:30] = 70_000
        image = np.where(labels > 0, 200, 20).astype(np.uint8)
        self.viewer.add_image(image, name=f"{name} raw", scale=(0.5,) * len(shape))
        layer = self.viewer.add_labels(labels, name=name, scale=(0.5,) * len(shape))
        layer.metadata[METADATA_KEY] = {"image": f"{name} raw", **metadata}
        return layer

    def export(self, name, path):
        self.panel.export_requested.emit(name, str(path))
        pump_until(self.jobs, lambda: not self.panel.said[-1][1])
        return self.panel.said[-1][0]


@pytest.fixture
def session():
    made = Session()
    yield made
    made.exporter.close()
    made.data.close()


def test_open_labels_become_a_data_set(session, tmp_path):
    layer = session.open(**{LOCKED_KEY: [4]})
    session.data.choose("cells", counts=Counts.ALL)
    said = session.export("tiff-pairs", tmp_path / "set")
    assert said == f"Exported 1 image with 2 objects to {tmp_path / 'set'}"
    (item,) = read_items(tmp_path / "set")
    np.testing.assert_array_equal(item.labels, layer.data)
    assert item.states == {4: "verified", 70_000: "proposed"}
    assert item.image.dtype == np.uint8


def test_only_what_was_marked_correct_goes_to_coco(session, tmp_path):
    session.open(**{LOCKED_KEY: [4]})
    session.data.choose("cells", counts=Counts.OBJECTS)
    assert "1 object " in session.export("coco", tmp_path / "coco")
    (index,) = (tmp_path / "coco").glob("*.json")
    annotations = json.loads(index.read_text())["annotations"]
    # The other is there as a crowd: to be passed over, not to be taken for background.
    areas = {bool(a["iscrowd"]): a["area"] for a in annotations}
    assert areas == {False: 7 * 6, True: 10 * 10}


def test_of_a_stack_only_the_marked_planes_are_written(session, tmp_path):
    layer = session.open((3, 30, 40))
    toggle_plane(layer, (1,))
    session.data.choose("cells", counts=Counts.PLANES)
    session.export("tiff-pairs", tmp_path / "set")
    (item,) = read_items(tmp_path / "set")
    np.testing.assert_array_equal(item.labels, layer.data[1])
    assert set(item.states.values()) == {"verified"}


def test_corrections_go_on_while_it_is_written(session, tmp_path):
    layer = session.open()
    expected = layer.data.copy()
    session.panel.export_requested.emit("tiff-pairs", str(tmp_path / "set"))
    pump_until(session.jobs, lambda: not session.panel.said[-1][1])
    layer.data[:] = 0
    np.testing.assert_array_equal(
        next(iter(read_items(tmp_path / "set"))).labels, expected
    )


def test_the_table_says_how_unsure_the_network_was(session, tmp_path):
    layer = session.open()
    foreground = np.where(layer.data == 4, 0.5, np.where(layer.data > 0, 1.0, 0.0))
    both = np.stack([1 - foreground, foreground]).astype(np.float32)
    layer.metadata[METADATA_KEY]["segmentation"] = Segmentation(
        layer.data.copy(), ("background", "interior"), "YX", 10.0, {}, both
    )
    layer.data[0, 39] = 9  # drawn since
    session.data.choose("cells", is_used=True)
    session.export("csv", tmp_path / "objects.csv")
    with (tmp_path / "objects.csv").open() as file:
        rows = {int(row["label"]): row for row in csv.DictReader(file)}
    found = {i: float(row["uncertainty"]) for i, row in rows.items()}
    assert found == {4: 1.0, 9: 0.0, 70_000: 0.0}


def test_layers_and_folders_are_written_together(session, tmp_path):
    session.open()
    session.export("tiff-pairs", tmp_path / "first")
    session.data.add_folder(tmp_path / "first")
    said = session.export("tiff-pairs", tmp_path / "second")
    assert said.startswith("Exported 2 images with 4 objects")
    names = sorted(item.name for item in read_items(tmp_path / "second"))
    assert names == ["cells", "cells-2"]


def test_nothing_ticked_and_nothing_overwritten(session, tmp_path):
    assert "nothing to export" in session.export("coco", tmp_path / "a")
    session.open()
    session.export("coco", tmp_path / "a")
    before = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    assert session.export("coco", tmp_path / "a").startswith("\u26a0")
    after = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    assert after == before


def test_every_format_is_offered_with_a_summary(session):
    assert {"tiff-pairs", "coco", "ome-zarr", "csv"} <= set(session.panel.formats)
    assert all(session.panel.formats.values())


def test_an_export_can_be_cancelled_and_leaves_nothing(session, tmp_path, monkeypatch):
    for number in range(4):
        session.open(name=f"c{number}")
    asked = []

    def cancel(self):
        if asked:
            session.exporter._writing.stop()
        asked.append(1)
        return original(self)

    original = exporter_module.Writing.step
    monkeypatch.setattr(exporter_module.Writing, "step", cancel)
    said = session.export("tiff-pairs", tmp_path / "set")
    assert said == "Stopped; nothing was written."
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert session.export("tiff-pairs", tmp_path / "set").startswith("Exported 4")


def test_progress_is_shown_while_it_is_written(session, tmp_path):
    session.open()
    session.export("coco", tmp_path / "coco")
    assert session.panel.said[1] == ("Exporting…", True)
    assert session.exporter._writing is None
