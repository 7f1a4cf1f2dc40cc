"""Small masks on pixels, and who gets a pixel that several objects want."""

import numpy as np
import pytest

from napari_seg.imaging.detections import (
    Detections,
    foreground_map,
    join,
    paint,
    paste,
)
from napari_seg.imaging.instances import InstanceParams

FULL = np.full((4, 4), 255, np.uint8)


def found(*objects, mask=FULL):
    """Objects given as (y0, x0, y1, x1, score)."""
    table = np.array(objects, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4], np.stack([mask] * len(table)))


def test_a_full_mask_fills_its_box_and_nothing_else():
    labels, scores = paint(found((2, 3, 6, 9, 0.9)), (10, 12))
    expected = np.zeros((10, 12), np.int32)
    expected[2:6, 3:9] = 1
    np.testing.assert_array_equal(labels, expected)
    assert scores.tolist() == pytest.approx([0, 0.9])


def test_bins_as_large_as_pixels_are_the_pixels():
    mask = np.arange(0, 160, 10, np.uint8).reshape(4, 4)
    window, values = paste(mask, np.array([3, 5, 7, 9], np.float32), (10, 10))
    assert window == (slice(3, 7), slice(5, 9))
    np.testing.assert_allclose(values, mask / 255, rtol=1e-6)


def test_larger_boxes_are_filled_in_between_the_bins():
    mask = np.array([[0, 255], [0, 255]], np.uint8)
    _, values = paste(mask, np.array([0, 0, 4, 4], np.float32), (4, 4))
    # Bins are centred at 1 and 3; beyond them they fade.
    np.testing.assert_allclose(values[1], [0, 0.25, 0.75, 0.75])
    np.testing.assert_allclose(values[:, 2], np.array([0.75, 1, 1, 0.75]) * 0.75)


def test_boxes_beyond_the_image_are_clipped():
    for box in ((-4, -4, 4, 4), (8, 8, 20, 20), (30, 30, 40, 40), (5, 5, 5, 5)):
        window, values = paste(FULL, np.array(box, np.float32), (10, 10))
        assert values.shape == tuple(s.stop - s.start for s in window)
        assert all(0 <= s.start <= s.stop <= 10 for s in window)


def test_the_better_score_keeps_the_pixel():
    both = found((0, 0, 4, 6, 0.6), (0, 4, 4, 10, 0.9))
    labels, scores = paint(both, (4, 10))
    assert labels[0].tolist() == [2, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    assert scores.tolist() == pytest.approx([0, 0.9, 0.6])


@pytest.mark.parametrize(("start", "kept"), [(3, 2), (2, 1)])
def test_who_would_lose_more_than_half_is_left_out(start, kept):
    # Of six columns the better one takes six less `start`.
    both = found((0, 0, 4, 6, 0.6), (0, start, 4, 12, 0.9))
    labels, scores = paint(both, (4, 12))
    assert labels.max() == kept == len(scores) - 1


def test_faint_objects_wait_for_a_lower_threshold():
    objects = found((0, 0, 4, 4, 0.4), (0, 5, 4, 9, 0.8))
    for threshold, count in ((0.5, 1), (0.3, 2), (0.9, 0)):
        params = InstanceParams(seed_threshold=threshold)
        assert paint(objects, (4, 10), params)[0].max() == count


def test_the_threshold_is_that_of_the_mask():
    mask = np.full((4, 4), 100, np.uint8)
    objects = found((0, 0, 4, 4, 0.9), mask=mask)
    assert not paint(objects, (4, 4), InstanceParams(threshold=0.5))[0].any()
    assert paint(objects, (4, 4), InstanceParams(threshold=0.3))[0].all()


def test_of_a_torn_object_the_largest_piece_is_kept():
    cross = found((0, 4, 8, 6, 0.9), (2, 0, 6, 12, 0.8))
    labels, _ = paint(cross, (8, 12))
    assert labels[4].tolist() == [0] * 4 + [1] * 2 + [2] * 6


def test_small_objects_go_and_ids_close_up_with_their_scores():
    objects = found((0, 0, 2, 2, 0.9), (0, 4, 4, 8, 0.8), (0, 9, 4, 12, 0.7))
    labels, scores = paint(objects, (4, 12), InstanceParams(min_size_px=5))
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert labels[0, 4] == 1
    assert scores.tolist() == pytest.approx([0, 0.8, 0.7])


def test_holes_are_filled_on_demand():
    mask = np.full((8, 8), 255, np.uint8)
    mask[3:5, 3:5] = 0
    ring = found((0, 0, 8, 8, 0.9), mask=mask)
    assert paint(ring, (8, 8), InstanceParams())[0].all()
    params = InstanceParams(fill_holes=False)
    assert not paint(ring, (8, 8), params)[0][3:5, 3:5].any()


def test_nothing_found_is_nothing_painted():
    labels, scores = paint(Detections.none(), (5, 6))
    assert not labels.any()
    assert scores.tolist() == [0]
    assert not foreground_map(Detections.none(), (5, 6), 0.5).any()


def test_foreground_is_the_best_mask_and_faint_objects_count_less():
    objects = found((0, 0, 4, 4, 0.9), (0, 4, 4, 8, 0.25), (0, 2, 4, 6, 0.6))
    row = foreground_map(objects, (4, 10), 0.5)[0]
    np.testing.assert_allclose(row, [1] * 6 + [0.25] * 2 + [0] * 2)


def test_objects_move_and_join():
    one = found((0, 0, 4, 4, 0.9))
    two = join([one, one.moved(5, 6)])
    assert two.boxes[1].tolist() == [5, 6, 9, 10]
    assert len(two) == 2
    assert len(join([])) == 0
