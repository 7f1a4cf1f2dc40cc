"""`evaluate --stuff` against values counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_seg.data.io import write_labels
from napari_seg.imaging.panoptic import PanopticQuality, pool_quality


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two objects, of which one is found, and a class of which 6 of 10 pixels are."""
    truth = np.zeros((4, 10), np.int32)
    truth[0, :4], truth[1, :4] = 1, 2
    semantic = np.zeros((4, 10), np.uint8)
    semantic[3] = 5
    semantic[0, :4] = semantic[1, :4] = 9  # objects, whatever their number is
    found = np.where(truth == 1, 7, 0).astype(np.int32)
    classes = np.where(found > 0, 1, 0).astype(np.int32)
    classes[3, :6] = 2
    classes[1, :4] = 1  # pixels of objects that became none: background
    for folder, array in (
        ("ours", found),
        ("ours/classes", classes),
        ("val/masks", truth),
        ("val/semantic", semantic),
    ):
        write_labels(tmp_path / folder / "a.tif", array, "YX")
    return tmp_path / "ours", tmp_path / "val" / "masks"


def test_classes_and_objects_are_scored_together(run, folders) -> None:
    done = run("evaluate", *folders, "--stuff", "myelin=5", "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)["classes"]
    assert rows["objects"]["iou"] == pytest.approx(0.5)
    assert rows["objects"]["sq"] == pytest.approx(1.0)
    assert rows["objects"]["rq"] == pytest.approx(1 / 1.5)
    assert rows["myelin"]["iou"] == pytest.approx(0.6)
    assert rows["myelin"]["pq"] == pytest.approx(0.6)
    assert rows["mean"]["pq"] == pytest.approx((1 / 1.5 + 0.6) / 2)
    assert rows["mean"]["iou"] == pytest.approx(0.55)
    table = run("evaluate", *folders, "--stuff", "myelin=5").out
    assert "myelin" in table
    assert "0.6000" in table


def test_missing_maps_are_named_and_the_rest_is_scored(run, folders) -> None:
    ours, theirs = folders
    for folder in (ours, theirs):
        write_labels(folder / "b.tif", np.ones((4, 10), np.int32), "YX")
    done = run("evaluate", ours, theirs, "--stuff", "myelin=5")
    assert done.code == 2
    assert "--semantic" in done.err
    assert "0.6000" in done.out
    write_labels(theirs.parent / "semantic" / "b.tif", np.ones((4, 9), np.int32), "YX")
    assert "--classes" in run("evaluate", ours, theirs, "--stuff", "myelin=5").err


def test_pooling_weighs_segments_not_images() -> None:
    one = {1: PanopticQuality(0.8, 0.8, 1.0, 3, 0, 0)}
    other = {1: PanopticQuality(0.0, 0.0, 0.0, 0, 1, 1), 2: PanopticQuality(1, 1, 1, 1)}
    pooled = pool_quality([one, other])
    assert pooled[1].sq == pytest.approx(0.8)
    assert pooled[1].rq == pytest.approx(3 / 4)
    assert pooled[2].pq == 1.0
    assert pool_quality([]) == {}
