"""The way from an image to labels with a network that finds objects one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from volume_scenes import balls, same_partition, segmented

from napari_seg.errors import DeviceError, ImageError
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.imaging.instances import InstanceParams
from napari_seg.inference.decoding import grow_into
from napari_seg.inference.detector import Detector
from napari_seg.inference.device import Device
from napari_seg.inference.result import iter_derive_scored
from napari_seg.inference.segment import (
    SegmentParams,
    estimate_diameter,
    iter_derive,
    iter_segment,
    segment,
)
from napari_seg.models.card import DETECTIONS, Card
from napari_seg.models.checkpoint import Checkpoint
from napari_seg.models.registry import build_network
from napari_seg.refine.crf import CRF_PRESETS
from napari_seg.types import run

Draw = Callable[..., NDArray[np.float32]]
BINS = 28


class Stem(nn.Module):
    """Gives the image itself."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Name it."""
        return {"0": x}


class Finder(nn.Module):
    """Finds connected bright pixels; the score is how bright they are."""

    divisor = 16
    margin = 0
    fusible = "stem"

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        """Boxes as x0, y0, x1, y1, scores and masks."""
        image = self.stem(x)["0"][0].mean(dim=0).numpy()
        pieces, _ = ndimage.label(image > 0.25)
        boxes, scores, masks = [], [], []
        for number, box in enumerate(ndimage.find_objects(pieces), start=1):
            rows, columns = box
            boxes.append([columns.start, rows.start, columns.stop, rows.stop])
            mask = pieces[box] == number
            scores.append(float(image[box][mask].max()))
            at = [((np.arange(BINS) + 0.5) * n / BINS).astype(int) for n in mask.shape]
            masks.append(mask[np.ix_(*at)])
        found = {
            "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "scores": torch.tensor(scores),
            "masks": torch.from_numpy(np.array(masks, np.float32)).reshape(
                -1, 1, BINS, BINS
            ),
        }
        order = torch.argsort(-found["scores"], stable=True)
        return [{name: value[order] for name, value in found.items()}]


class Doubler(Finder):
    """Finds beside each object a fainter one that overlaps it by a third."""

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        """Boxes, scores and masks of both."""
        (found,) = super().forward(x)
        shift = torch.tensor([8.0, 0, 8, 0])
        return [
            {
                "boxes": torch.cat([found["boxes"], found["boxes"] + shift]),
                "scores": torch.cat([found["scores"], 0.8 * found["scores"]]),
                "masks": torch.cat([found["masks"]] * 2),
            }
        ]


@pytest.fixture
def finder() -> Checkpoint:
    card = Card(
        "finder",
        "none",
        {},
        1,
        ("background", "object"),
        decoder=DETECTIONS,
        object_diameter_px=12.0,
    )
    return Checkpoint(Finder().eval(), card)


def canonical(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give objects the numbers of the order in which they come."""
    ids, first = np.unique(labels, return_index=True)
    table = np.zeros(int(labels.max()) + 1, np.int32)
    ordered = [i for i in ids[np.argsort(first)] if i]
    table[ordered] = np.arange(1, len(ordered) + 1)
    return table[labels]


def test_spots_are_found_and_scored(finder: Checkpoint, spots: Draw) -> None:
    image = spots()
    result = segment(image, finder, diameter_px=12)
    assert result.labels.max() == 5 * 6
    disagreement = np.count_nonzero((result.labels > 0) != (image > 0.25))
    assert disagreement < 0.05 * np.count_nonzero(image)
    assert sorted(result.scores) == list(range(1, 31))
    assert min(result.scores.values()) > 0.9
    assert result.classes == ("background", "object")
    foreground = result.probabilities[1]
    np.testing.assert_allclose(result.probabilities.sum(axis=0), 1, rtol=1e-6)
    assert (foreground[result.labels > 0] > 0.5).all()


@pytest.mark.parametrize("tile_px", [1, 100, 150, 256, 4096])
@pytest.mark.parametrize("zoom", [1.0, 0.5, 2.0])
def test_any_block_size_gives_the_same_objects(
    finder: Checkpoint, spots: Draw, tile_px: int, zoom: float
) -> None:
    image = spots((230, 400), 12 / zoom)
    whole = segment(image, finder, diameter_px=12 / zoom, tile_px=4096)
    pieces = segment(image, finder, diameter_px=12 / zoom, tile_px=tile_px)
    assert whole.labels.max() > 20
    np.testing.assert_array_equal(canonical(pieces.labels), canonical(whole.labels))
    np.testing.assert_allclose(
        pieces.network_probabilities, whole.network_probabilities, atol=1e-6
    )


@pytest.mark.parametrize("tile_px", [1, 90, 150])
def test_overlaps_are_settled_by_score_across_blocks_too(
    finder: Checkpoint, spots: Draw, tile_px: int
) -> None:
    double = replace(finder, network=Doubler().eval())
    image = spots((230, 400))
    whole = segment(image, double, diameter_px=12, tile_px=4096)
    pieces = segment(image, double, diameter_px=12, tile_px=tile_px)
    single = segment(image, finder, diameter_px=12)
    # Those of the last column would lie beyond the image.
    assert whole.labels.max() == 2 * single.labels.max() - 10
    np.testing.assert_array_equal(canonical(pieces.labels), canonical(whole.labels))
    best = [i for i, score in whole.scores.items() if score > 0.9]
    np.testing.assert_array_equal(np.isin(whole.labels, best), single.labels > 0)


def test_objects_larger_than_a_block_are_one(finder: Checkpoint) -> None:
    image = np.zeros((300, 500), np.float32)
    image[40:60, 10:490] = 1
    image[100:120, 20:40] = 1
    result = segment(image, finder, diameter_px=12, tile_px=1)
    assert result.labels.max() == 2
    assert set(result.scores) == {1, 2}
    assert np.unique(result.labels[48:52, 20:480]).tolist() == [result.labels[50, 30]]


def test_no_object_is_no_label(finder: Checkpoint) -> None:
    result = segment(np.zeros((50, 60), np.float32), finder)
    assert not result.labels.any()
    assert result.scores == {}
    assert result.provenance["diameter_origin"] == "nothing found"


@pytest.mark.parametrize("zoom", [1.0, 0.6])
@pytest.mark.parametrize(("threshold", "seeds"), [(0.5, 0.8), (0.7, 0.4), (0.2, 0.95)])
def test_retuning_is_running_again(
    finder: Checkpoint, threshold: float, seeds: float, zoom: float
) -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((2, 200, 260), np.float32)
    for plane in image:
        for y, x in rng.integers(0, 180, (25, 2)):
            plane[y : y + 14, x : x + 18] = rng.uniform(0.3, 1)
        plane[190:, 250:] = 1
    params = SegmentParams(axes="ZYX", diameter_px=12 / zoom, tile_px=1)
    first = run(iter_segment(image, finder, params))
    again = replace(params, threshold=threshold, seed_threshold=seeds)
    expected = run(iter_segment(image, finder, again))
    tuned = first.instance_params(threshold=threshold, seed_threshold=seeds)
    labels, scores = run(iter_derive_scored(first, tuned))
    np.testing.assert_array_equal(labels, expected.labels)
    assert scores == expected.scores
    assert (run(iter_derive(first, tuned)) == labels).all()
    assert labels.max() != first.labels.max()


def test_without_probabilities_nothing_is_kept(finder: Checkpoint, spots: Draw) -> None:
    image = spots()
    kept = segment(image, finder, diameter_px=12)
    bare = segment(image, finder, diameter_px=12, keep_probabilities=False)
    np.testing.assert_array_equal(bare.labels, kept.labels)
    assert bare.scores == kept.scores
    assert bare.findings is None
    with pytest.raises(ImageError):
        run(iter_derive(bare, InstanceParams()))


@pytest.mark.parametrize("diameter", [12.0, 30.0])
def test_the_size_of_objects_is_estimated(
    finder: Checkpoint, spots: Draw, diameter: float
) -> None:
    image = spots((400, 400), diameter)
    assert estimate_diameter(image, finder) == pytest.approx(diameter, rel=0.15)


def test_a_crf_moves_outlines_and_keeps_objects(
    finder: Checkpoint, spots: Draw
) -> None:
    image = spots()
    plain = segment(image, finder, diameter_px=12)
    refined = segment(image, finder, diameter_px=12, crf=CRF_PRESETS["general"])
    assert refined.labels.max() == plain.labels.max()
    assert set(refined.scores) == set(plain.scores)
    assert refined.is_refined
    window = (slice(0, 120), slice(0, 150))
    again = refined.decode_window(
        PlaneIndex(0, 0), window, refined.network_probabilities, InstanceParams()
    )
    np.testing.assert_array_equal(canonical(again), canonical(refined.labels))


def test_objects_grow_only_into_foreground_they_touch() -> None:
    painted = np.zeros((3, 12), np.int32)
    painted[:, 1:3], painted[:, 4:6], painted[:, 11] = 1, 2, 3
    foreground = np.zeros((3, 12), np.float32)
    foreground[:, 1:8] = 0.9
    foreground[:, 9] = 0.9
    grown = grow_into(painted, foreground, InstanceParams())
    assert grown[1, [1, 2, 4, 5, 6, 7]].tolist() == [1, 1, 2, 2, 2, 2]
    assert grown[1, 3] in (1, 2)
    assert not grown[:, 8:].any()


def test_memory_that_does_not_suffice_is_explained(cpu: Device) -> None:
    class Greedy(Finder):
        def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    detector = Detector(Greedy().eval(), cpu)
    with pytest.raises(DeviceError, match="96 x 80 px"):
        detector.detect(np.zeros((1, 96, 80), np.float32))


def test_the_real_network_takes_the_same_way(spots: Draw) -> None:
    torch.manual_seed(0)
    arguments = {"channels": (4, 8, 8, 8), "blocks": (1, 1, 1, 1), "pyramid": 8}
    network = build_network("maskrcnn", in_channels=1, num_classes=2, **arguments)
    classes = ("background", "object")
    card = Card("real", "maskrcnn", arguments, 1, classes, decoder=DETECTIONS)
    checkpoint = Checkpoint(network.eval(), card)
    result = segment(spots(), checkpoint, diameter_px=20, seed_threshold=0.0)
    assert result.labels.shape == (120, 150)
    assert sorted(result.scores) == list(range(1, result.labels.max() + 1))


def test_a_volume_in_blocks_has_the_objects_of_memory(
    finder: Checkpoint, tmp_path: Path
) -> None:
    image = balls()
    image[:, 24:48] = 0  # a rod that no cell sees whole
    memory = segment(image, finder, axes="ZYX", diameter_px=12.0).labels
    assert memory.max() >= 14
    for number, block in enumerate(((16, 64, 64), (32, 128, 192))):
        out = tmp_path / f"{number}.zarr"
        labels, result = segmented(image, out, finder, block=block)
        assert not result.errors
        assert same_partition(memory, labels)
    with pytest.raises(ImageError, match="no probabilities"):
        segmented(image, tmp_path / "p.zarr", finder, probabilities=tmp_path / "q.zarr")
