"""What is exported: verified objects, crops, a split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from annotations import BIG, awkward, volume

from napari_seg.data.annotated import AnnotatedImage
from napari_seg.data.formats.selection import Selection, crops, select
from napari_seg.data.holdout import draw_groups
from napari_seg.errors import DatasetError, FormatError


def test_everything_is_exported_unless_asked_otherwise() -> None:
    items = [awkward("a"), volume("b")]
    assert list(select(lambda: items, Selection())) == items


def test_objects_that_nobody_verified_are_ignored() -> None:
    some = awkward("a", states={3: "verified", 4: "edited"}, ignored=frozenset({5}))
    none = awkward("b", states={3: "proposed"})
    (found,) = select(lambda: [some, none], Selection(verified_only=True))
    assert found.name == "a"
    assert set(found.ids) - found.ignored == {3}
    with pytest.raises(DatasetError, match="no verified objects"):
        list(select(lambda: [none], Selection(verified_only=True)))


def test_crops_have_their_margin_and_their_neighbours() -> None:
    item = awkward(states={4: "verified", BIG: "edited"}, ignored=frozenset({5}))
    found = {crop.name: crop for crop in crops(item, 2)}
    assert sorted(found) == [f"cells_id{i}" for i in (17, 3, 4, 70001, 9)]
    inner = found["cells_id4"]
    np.testing.assert_array_equal(inner.labels, item.labels[4:10, 4:10])
    np.testing.assert_array_equal(inner.image, item.image[4:10, 4:10])
    assert inner.states == {4: "verified"}
    assert (inner.ids, inner.key, inner.spacing) == ((3, 4), "cells", item.spacing)
    assert found[f"cells_id{BIG}"].labels.shape == (6, 9)  # cut off at the edge


def test_volumes_are_cropped_plane_by_plane() -> None:
    names = [crop.name for crop in crops(volume(), 0)]
    assert len(names) == 17
    assert "stack_z0002_id4" in names
    first = next(iter(crops(volume(), 0)))
    assert first.image.shape == (2, 12, 12)
    assert first.key == "stack"


def test_groups_stay_on_one_side_of_a_split() -> None:
    calls = []

    def read() -> Iterator[AnnotatedImage]:
        calls.append(1)
        for number in range(12):
            yield awkward(f"i{number}", group=f"g{number // 2}", split="test")
        empty = awkward("empty")
        yield AnnotatedImage("empty", np.zeros_like(empty.labels), "YX", empty.image)

    found = list(select(read, Selection(validation_share=0.3, crops_px=1)))
    assert len(calls) == 2  # read twice, never kept
    expected = draw_groups({f"g{i}" for i in range(6)}, share=0.3)
    assert len(expected) == 2
    for item in found:
        assert item.split == ("val" if item.key in expected else "train")


@pytest.mark.parametrize(
    "selection",
    [
        Selection(validation_share=0),
        Selection(validation_share=1.5),
        Selection(crops_px=-1),
    ],
)
def test_numbers_out_of_range_are_refused(selection: Selection) -> None:
    with pytest.raises(FormatError):
        list(select(lambda: [awkward()], selection))


def test_too_few_groups_cannot_be_split() -> None:
    items = [awkward("a"), awkward("b")]
    with pytest.raises(DatasetError, match="2 groups"):
        list(select(lambda: items, Selection(validation_share=0.5)))
