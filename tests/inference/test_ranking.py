from dataclasses import replace

import numpy as np
import pytest
import zarr

from napari_seg.errors import ImageError, LabelsError
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.ranking import (
    entropy,
    iter_flipped,
    iter_rank_by_disagreement,
    iter_rank_by_entropy,
    place_now,
    rank_by_disagreement,
    rank_by_entropy,
    uncertainties,
)
from napari_seg.inference.segment import Segmentation, segment
from napari_seg.types import run


def kept(labels, foreground, axes="YX", zoom=1.0):
    probabilities = np.stack([1 - foreground, foreground]).astype(np.float32)
    return Segmentation(
        labels, ("background", "foreground"), axes, 20.0, {}, probabilities, zoom
    )


def test_entropy_is_none_where_sure_and_one_where_all_are_alike():
    p = np.array([[1.0, 0.5, 0.25], [0.0, 0.5, 0.75]])
    expected = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    np.testing.assert_allclose(entropy(p), [0, 1, expected], atol=1e-6)


def test_the_faintest_object_comes_first():
    labels = np.zeros((20, 30), np.int32)
    foreground = np.zeros((20, 30))
    for index, (column, value) in enumerate(((2, 0.99), (12, 0.6), (22, 0.8)), 1):
        labels[5:10, column : column + 5] = index
        foreground[5:10, column : column + 5] = value
    ranking = rank_by_entropy(kept(labels, foreground))
    assert [o.object_id for o in ranking.objects] == [2, 3, 1]
    first = ranking.objects[0]
    assert first.centre == pytest.approx((7, 14))
    assert first.score == pytest.approx(float(entropy(np.array([[0.4], [0.6]]))[0]))
    assert ranking.next_object(done={2}).object_id == 3
    assert ranking.next_object(done={1, 2, 3}) is None


def test_doubt_about_corrected_labels_is_that_of_their_pixels():
    labels = np.zeros((20, 30), np.int32)
    foreground = np.full((20, 30), 0.01)
    labels[5:10, 2:7], foreground[5:10, 2:7] = 1, 0.99
    found = kept(labels, foreground)
    corrected = labels.copy()
    corrected[labels == 1] = 8
    corrected[15, 15] = 3
    faint = float(entropy(np.array([[0.01], [0.99]]))[0])
    foreground[15, 15] = 0.5
    expected = {3: pytest.approx(1), 8: pytest.approx(faint, abs=1e-3)}
    assert uncertainties(kept(labels, foreground), corrected) == expected
    assert uncertainties(found, corrected[:9]) == {}
    assert uncertainties(replace(found, network_probabilities=None), labels) == {}
    assert uncertainties(None, labels) == {}


def test_planes_and_objects_of_a_stack_are_ranked_where_they_are_worst():
    labels = np.zeros((3, 16, 16), np.int32)
    labels[:, 4:8, 4:8] = 7
    foreground = np.where(labels > 0, 0.99, 0.0)
    foreground[1, 4:8, 4:8] = 0.5
    ranking = rank_by_entropy(kept(labels, foreground, "ZYX"))
    assert ranking.planes[0].plane == PlaneIndex(0, 1)
    (only,) = ranking.objects
    assert (only.object_id, only.plane) == (7, PlaneIndex(0, 1))
    assert ranking.next_plane(done={PlaneIndex(0, 1)}).plane == PlaneIndex(0, 0)


def test_faint_doubt_about_the_background_does_not_drown_the_planes():
    labels = np.zeros((2, 40, 40), np.int32)
    labels[:, 4:8, 4:8] = 7
    foreground = np.where(labels > 0, 0.99, 0.15)
    foreground[1, 4:8, 4:8] = 0.5
    ranking = rank_by_entropy(kept(labels, foreground, "ZYX"))
    assert [p.plane.z for p in ranking.planes] == [1, 0]
    assert ranking.planes[1].score < ranking.planes[0].score < 1


def test_an_empty_plane_is_no_doubt():
    empty = np.zeros((8, 8))
    (plane,) = rank_by_entropy(kept(empty.astype(np.int32), empty)).planes
    assert plane.score == 0


def test_probabilities_of_another_resolution_are_laid_over_the_labels():
    labels = np.zeros((40, 40), np.int32)
    labels[4:12, 4:12], labels[24:32, 24:32] = 1, 2
    foreground = np.zeros((20, 20))
    foreground[2:6, 2:6], foreground[12:16, 12:16] = 0.99, 0.6
    ranking = rank_by_entropy(kept(labels, foreground, zoom=0.5))
    assert [o.object_id for o in ranking.objects] == [2, 1]
    assert ranking.objects[0].centre == pytest.approx((27.5, 27.5))


def test_without_probabilities_there_is_no_entropy():
    none = Segmentation(np.zeros((4, 4), np.int32), ("a", "b"), "YX", 9.0, {}, None)
    with pytest.raises(ImageError, match="not kept"):
        rank_by_entropy(none)


def test_objects_that_others_see_otherwise_come_first():
    labels = np.zeros((10, 30), np.int32)
    labels[2:8, 2:8], labels[2:8, 12:18], labels[2:8, 22:28] = 1, 2, 3
    same = labels * 10
    split = same.copy()
    split[2:8, 12:15] = 99
    gone = np.where(labels == 3, 0, same)
    ranking = rank_by_disagreement(labels, [split, gone], "YX")
    assert [(o.object_id, o.score) for o in ranking.objects] == [
        (3, pytest.approx(0.5)),
        (2, pytest.approx(0.25)),
        (1, 0),
    ]
    both = rank_by_disagreement(labels, [same, same], "YX")
    assert [o.score for o in both.objects] == [0, 0, 0]
    assert both.planes[0].score == 0


def test_what_only_the_others_see_makes_a_plane_unsure():
    labels = np.zeros((2, 8, 8), np.int32)
    labels[:, 1:3, 1:3] = 1
    other = labels.copy()
    other[1, 5:7, 5:7] = 2
    ranking = rank_by_disagreement(labels, [other], "ZYX")
    assert [p.plane.z for p in ranking.planes] == [1, 0]
    assert ranking.planes[0].score == pytest.approx(1 / 3)


def test_other_labels_must_be_of_the_same_image():
    labels = np.zeros((4, 4), np.int32)
    for others in ([], [labels[:2]]):
        with pytest.raises(LabelsError, match="nothing to compare"):
            rank_by_disagreement(labels, others, "YX")


@pytest.mark.parametrize("kind", ["numpy", "zarr"])
def test_mirrored_runs_come_back_in_the_images_orientation(kind):
    image = np.zeros((64, 96), np.uint8)
    for y, x in ((16, 20), (44, 30), (20, 70), (48, 76)):
        rows, columns = np.ogrid[:64, :96]
        image[(rows - y) ** 2 + (columns - x) ** 2 < 81] = 200
    source = zarr.array(image, chunks=(32, 32)) if kind == "zarr" else image
    params = SegmentParams(axes="YX", diameter_px=18, device="cpu")
    first = segment(image, "nuclei-unet", axes="YX", diameter_px=18, device="cpu")
    others = run(iter_flipped(source, "nuclei-unet", params, flips=("Y", "X", "YX")))
    assert len(others) == 3
    ranking = rank_by_disagreement(first.labels, others, first.axes)
    assert len(ranking.objects) == 4
    assert ranking.objects[0].score < 0.2


@pytest.mark.parametrize("axes", ["ZYX", "ZXY"])
def test_an_object_is_found_again_as_long_as_it_is_as_it_was(axes):
    labels = np.zeros((2, 12, 16), np.int32)
    labels[1, 3:6, 2:9] = 4
    labels[1, 8:10, 2:9] = 5
    labels = labels if axes == "ZYX" else labels.transpose(0, 2, 1)
    ranking = rank_by_disagreement(labels, [np.zeros_like(labels)], axes)
    first = ranking.objects[0]
    assert (first.object_id, first.box, first.area) == (4, (3, 2, 6, 9), 21)
    mask = place_now(labels, axes, first)
    assert mask.shape == (3, 7)
    assert mask.all()
    for place in ((1, 6, 5), (1, 3, 2)):  # grown, then cut
        changed = labels.copy()
        view = changed if axes == "ZYX" else changed.transpose(0, 2, 1)
        view[place] = 4 if place[1] == 6 else 0
        assert place_now(changed, axes, first) is None
    gone = np.where(labels == 4, 0, labels)
    assert place_now(gone, axes, first) is None
    moved = np.roll(labels, 1, axis=axes.index("X"))
    assert place_now(moved, axes, first) is None


def test_ranking_tells_how_far_it_is():
    labels = np.zeros((3, 8, 8), np.int32)
    labels[:, 2:4, 2:4] = 1
    for steps in (
        iter_rank_by_entropy(kept(labels, labels / 2.0, "ZYX")),
        iter_rank_by_disagreement(labels, [labels], "ZYX"),
    ):
        progress = list(steps)
        assert {(p.stage, p.total) for p in progress} == {("rank", 3)}
        assert sorted({p.done for p in progress}) == [0, 1, 2]
