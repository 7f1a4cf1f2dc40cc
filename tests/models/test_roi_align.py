"""RoIAlign against RoIPool on numbers that can be read off (Mask R-CNN, section 3)."""

import pytest
import torch
from torchvision.ops import roi_align, roi_pool

from napari_seg.models.blocks.regions import PyramidAlign

RAMP = torch.arange(16.0).view(1, 1, 4, 4)


@pytest.mark.parametrize(
    ("box", "aligned"),
    [
        ((0.5, 0.5, 2.5, 2.5), [2.5, 3.5, 6.5, 7.5]),
        ((0.6, 0.6, 2.6, 2.6), [3, 4, 7, 8]),
        ((1.4, 1.4, 3.4, 3.4), [7, 8, 11, 12]),
    ],
)
def test_roi_align_interpolates(box, aligned):
    boxes = [torch.tensor([box])]
    found = roi_align(RAMP, boxes, 2, sampling_ratio=1, aligned=True)
    torch.testing.assert_close(found.flatten(), torch.tensor(aligned).float())
    # By hand: bilinear values in the middles of four bins.
    middles = torch.tensor([0.25, 0.75]) * (box[2] - box[0])
    rows, columns = box[1] + middles - 0.5, box[0] + middles - 0.5
    by_hand = 4 * rows[:, None] + columns[None, :]  # the map is linear
    torch.testing.assert_close(found[0, 0], by_hand)


def test_roi_pool_cannot_tell_two_boxes_apart_that_roi_align_can():
    boxes = [torch.tensor([[0.6, 0.6, 2.6, 2.6], [1.4, 1.4, 3.4, 3.4]])]
    first, second = roi_pool(RAMP, boxes, 2)
    assert torch.equal(first, second)
    assert first.flatten().tolist() == [10, 11, 14, 15]
    first, second = roi_align(RAMP, boxes, 2, sampling_ratio=1, aligned=True)
    assert (second - first).flatten().tolist() == pytest.approx([4.0] * 4, abs=1e-5)


def test_the_network_reads_its_regions_aligned():
    # At stride 2 a box of 1.2..5.2 px is 0.6..2.6 of the map.
    align = PyramidAlign(2, 1, finest_px=100)
    found = align({"0": RAMP}, [torch.tensor([[1.2, 1.2, 5.2, 5.2]])])
    torch.testing.assert_close(found.flatten(), torch.tensor([3.0, 4, 7, 8]))
