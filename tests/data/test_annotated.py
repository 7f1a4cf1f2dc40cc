"""The image with labels that formats exchange."""

from __future__ import annotations

import numpy as np
import pytest
from annotations import BIG, awkward, image_of, volume

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.holdout import draw_groups
from napari_seg.data.pairing import paired_files
from napari_seg.data.provenance import Provenance
from napari_seg.errors import DatasetError, FormatError


def test_masks_of_another_shape_name_both_shapes() -> None:
    with pytest.raises(FormatError, match=r"\(3, 4\).*\(2, 5, 6\)"):
        AnnotatedImage("a", np.zeros((3, 4), int), "CYX", np.zeros((2, 5, 6)))


@pytest.mark.parametrize("labels", [np.ones((2, 2)), -np.ones((2, 2), int)])
def test_what_is_no_id_is_refused(labels: np.ndarray) -> None:
    with pytest.raises(FormatError):
        AnnotatedImage("a", labels)
    with pytest.raises(FormatError, match="4294967295"):
        AnnotatedImage("a", np.array([[2**32 - 1]], np.uint32))


def test_ignored_objects_are_not_kept() -> None:
    item = awkward(ignored=frozenset({3, BIG}))
    assert item.ids == (3, 4, 5, 9, 17, BIG)
    assert set(np.unique(item.kept)) == {0, 4, 5, 9, 17}
    assert item.labels.max() == BIG


def test_planes_keep_their_place_and_their_group() -> None:
    labels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    item = AnnotatedImage("f", labels, "TZCYX", image_of((2, 3, 2, 4, 5)), (2, 1, 1))
    planes = list(item.planes())
    assert len(planes) == 6
    last = planes[-1]
    assert (last.name, last.key, last.axes) == ("f_t0001_z0002", "f", "CYX")
    assert (last.provenance.time, last.provenance.plane) == (1, 2)
    np.testing.assert_array_equal(last.labels, labels[1, 2])
    np.testing.assert_array_equal(last.image, item.image[1, 2])
    assert last.spacing == (1, 1)
    (same,) = awkward().planes()
    assert same.name == "cells"
    assert len(list(volume().planes())) == 3


def test_provenance_keeps_plane_0_and_drops_what_is_unknown() -> None:
    stored = Provenance(source="a.tif", plane=0, edits={"cut": 3}).as_dict()
    assert stored == {"source": "a.tif", "plane": 0, "edits": {"cut": 3}}
    assert Provenance.from_dict({**stored, "later": 1}).plane == 0


def test_groups_are_drawn_the_same_way_each_time() -> None:
    names = [f"g{i}" for i in range(10)]
    drawn = draw_groups(names, share=0.3, seed=1)
    assert len(drawn) == 3
    assert drawn == draw_groups([*reversed(names), "g1"], share=0.3, seed=1)
    assert len(draw_groups(names, share=0.01)) == 1
    assert draw_groups(names[:3]) == set()


def test_files_are_paired_by_stem(tmp_path) -> None:
    for name in ("images/a.png", "masks/a.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    ((image, labels),) = paired_files(tmp_path)
    assert (image.name, labels.name) == ("a.png", "a.tif")
    (tmp_path / "images/b.png").touch()
    with pytest.raises(DatasetError, match="unpaired: b"):
        paired_files(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"spacing": (1.0,)},
        {"spacing": (1.0, 0.0)},
        {"spacing": (1.0, np.nan)},
        {"split": "../../evil"},
        {"split": "a/b"},
    ],
)
def test_sizes_and_sides_that_make_no_sense(fields: dict) -> None:
    with pytest.raises(FormatError, match="of a is no"):
        AnnotatedImage("a", np.zeros((3, 4), int), **fields)


def test_what_is_known_of_objects_is_plain() -> None:
    item = AnnotatedImage(
        "a",
        np.ones((2, 2), int),
        states={np.int64(1): "edited"},
        scores={np.int32(1): np.float32(0.5), 2: np.nan},
    )
    assert item.scores == {1: 0.5}
    assert [type(key) for key in (*item.scores, *item.states)] == [int, int]
