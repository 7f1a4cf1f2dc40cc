"""Tiled prediction equals untiled, and memory running out is survived."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_seg.errors import CheckpointError, DeviceError
from napari_seg.imaging.rescale import plan_axes
from napari_seg.imaging.tiling import mirror_index, plan_tiles
from napari_seg.inference.device import Device
from napari_seg.inference.predictor import Predictor

Make = Callable[..., Predictor]


def predict_tiled(
    predictor: Predictor, image: NDArray[np.float32], tile_px: int, overlap_px: int
) -> NDArray[np.float32]:
    """Probabilities (K, rows, columns) of one image."""
    geometry = predictor.geometry(image.shape, tile_px, overlap_px)
    result = np.full((3, *image.shape), np.nan, np.float32)
    for tile in plan_tiles(image.shape, geometry):
        rows, columns = (
            mirror_index(s.start, s.stop, n)
            for s, n in zip(tile.read, image.shape, strict=True)
        )
        found = predictor.predict(image[rows[:, None], columns][None, None])[0]
        result[(slice(None), *tile.write)] = found[(slice(None), *tile.crop)]
    return result


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", [(150, 131), (200, 77)])
@pytest.mark.parametrize("tile_px", [60, 64, 75, 110])
def test_tiles_of_a_valid_net_equal_the_whole(
    unet_predictor: Make, shape: tuple[int, int], tile_px: int
) -> None:
    predictor = unet_predictor("valid")
    assert predictor.margin == 20
    image = noise(*shape)
    whole = predict_tiled(predictor, image, 4000, 0)
    assert np.abs(predict_tiled(predictor, image, tile_px, 0) - whole).max() < 1e-4


@pytest.mark.parametrize("shape", [(150, 131), (97, 300)])
@pytest.mark.parametrize("tile_px", [88, 101, 128])
def test_tiles_of_a_padded_net_equal_the_whole_where_the_overlap_covers_its_view(
    unet_predictor: Make, shape: tuple[int, int], tile_px: int
) -> None:
    predictor = unet_predictor("same")
    image = noise(*shape)
    whole = predict_tiled(predictor, image, 4000, 0)
    tiled = predict_tiled(predictor, image, tile_px, 24)
    assert np.abs(tiled - whole).max() < 1e-4


def test_the_comparison_would_notice_a_wrong_tile(unet_predictor: Make) -> None:
    predictor = unet_predictor("same")
    image = noise(150, 131)
    whole = predict_tiled(predictor, image, 4000, 0)
    assert np.abs(predict_tiled(predictor, image, 64, 0) - whole).max() > 0.05


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (7, 3)])
def test_images_smaller_than_the_margin_are_mirrored(
    unet_predictor: Make, padding: str, shape: tuple[int, int]
) -> None:
    found = predict_tiled(unet_predictor(padding), noise(*shape), 64, 16)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_the_given_network_is_not_changed(cpu: Device) -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3)).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"out": self.inner(x)}

    Predictor(Wrapped(), cpu).predict(noise(1, 1, 8, 8))
    assert network.training
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_one_logit_becomes_background_and_foreground(cpu: Device) -> None:
    class Single(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"out": 0 * x + 3}

    found = Predictor(Single(), cpu).predict(noise(1, 1, 8, 8))
    assert found.shape == (1, 2, 8, 8)
    np.testing.assert_allclose(found[0, 1], 1 / (1 + np.exp(-3)), rtol=1e-5)


def test_a_net_that_declares_a_wrong_margin_is_refused(cpu: Device) -> None:
    class Liar(nn.Module):
        margin = 2

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"out": x}

    with pytest.raises(CheckpointError, match="another size"):
        Predictor(Liar(), cpu).predict(noise(1, 1, 8, 8))


class Hungry(nn.Module):
    """Runs out of memory above a number of pixels per pass."""

    divisor = 4
    margin = 0

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if x.shape[0] * x.shape[2] * x.shape[3] > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
        return {"out": torch.cat([x, -x, x * x], dim=1)}


def expected_of(x: NDArray[np.float32]) -> NDArray[np.float32]:
    logits = torch.from_numpy(np.concatenate([x, -x, x * x], axis=1))
    found: NDArray[np.float32] = torch.softmax(logits, 1).numpy()
    return found


def test_out_of_memory_halves_the_batch_first(cpu: Device) -> None:
    predictor = Predictor(Hungry(2 * 64 * 64), cpu, batch=8)
    inputs = noise(8, 1, 64, 64)
    np.testing.assert_allclose(predictor.predict(inputs), expected_of(inputs), 1e-6)
    assert predictor.batch == 2


def test_out_of_memory_then_halves_the_tile(cpu: Device) -> None:
    predictor = Predictor(Hungry(70 * 70), cpu, batch=2)
    inputs = noise(3, 1, 256, 200)
    np.testing.assert_allclose(predictor.predict(inputs), expected_of(inputs), 1e-6)
    np.testing.assert_allclose(predictor.predict(inputs), expected_of(inputs), 1e-6)


def test_out_of_memory_at_the_smallest_tile_offers_the_cpu() -> None:
    predictor = Predictor(Hungry(16), Device("cpu", ""), batch=4)
    predictor.device = Device("cuda:0", "CUDA: injected")
    predictor._try_launch = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match=r"cuda:0 ran out of memory.*'cpu'"):
        predictor.predict(noise(4, 1, 256, 256))


def test_what_overflows_and_does_not_fit_in_full_is_done_in_smaller_steps(
    cpu: Device,
) -> None:
    class Both(Hungry):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            if torch.is_autocast_enabled("cpu"):
                return {"out": torch.full((len(x), 3, *x.shape[2:]), torch.inf)}
            return super().forward(x)

    predictor = Predictor(Both(64 * 64), cpu, batch=4)
    predictor.half = torch.bfloat16
    inputs = noise(4, 1, 64, 64)
    np.testing.assert_allclose(predictor.predict(inputs), expected_of(inputs), 1e-6)
    assert predictor.half is None
    assert predictor.batch == 1


def test_other_errors_are_not_taken_for_want_of_memory(cpu: Device) -> None:
    class Broken(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("shapes cannot be multiplied")
            return {"out": x}

    with pytest.raises(RuntimeError, match="multiplied"):
        Predictor(Broken(), cpu).predict(noise(1, 1, 8, 8))


def test_valid_nets_split_tiles_exactly_when_memory_is_short(
    unet_predictor: Make,
) -> None:
    whole, split = unet_predictor("valid"), unet_predictor("valid")
    split._tile_limit = 100
    image = noise(1, 1, 140, 140)
    np.testing.assert_allclose(split.predict(image), whole.predict(image), atol=1e-4)


def test_closing_forgets_the_network(unet_predictor: Make) -> None:
    with unet_predictor("same") as predictor:
        assert list(predictor._network.parameters())
    assert not list(predictor._network.parameters())


def test_plans_fit_the_resampled_plane(unet_predictor: Make) -> None:
    rows, columns = plan_axes((100, 90), (37, 33))
    shape = (rows.target, columns.target)
    geometry = unet_predictor("same").geometry(shape, 64, rim_px=0)
    assert [g.tile for g in geometry] == [40, 36]
