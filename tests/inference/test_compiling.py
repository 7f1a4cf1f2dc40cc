"""Networks that torch compiles first: the same results, or a clear word."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from napari_seg.data.samples import read_sample
from napari_seg.errors import DeviceError
from napari_seg.imaging.metrics import evaluate
from napari_seg.inference.compiling import compiled
from napari_seg.inference.device import Device
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.predictor import Predictor
from napari_seg.inference.segment import segment
from napari_seg.models.averaged import Averaged
from napari_seg.models.checkpoint import load_model

CPU = Device("cpu", "test")
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile needs a C++ compiler here"
)


class Recorder(nn.Module):
    """Notes what it is asked for, and has a part of its own."""

    divisor, margin, keeps_windows = 1, 0, True

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Conv2d(1, 2, 3, padding=1)
        self.windows: list[object] = []

    def forward(self, x: torch.Tensor, keep: object = None) -> dict[str, torch.Tensor]:
        self.windows.append(keep)
        return {"out": self.part(x)}


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Have nothing compiled, and return what would have been."""
    seen: list[nn.Module] = []

    def note(network: nn.Module) -> Callable[..., object]:
        seen.append(network)
        return network

    monkeypatch.setattr(torch, "compile", note)
    return seen


def test_windows_are_cut_afterwards_so_that_none_is_compiled_for_itself(eager) -> None:
    predictor = Predictor(Recorder(), CPU, is_compiled=True)
    plain = Predictor(predictor._network._run, CPU)
    x = np.random.default_rng(0).random((2, 1, 16, 16), np.float32)
    keep = (slice(2, 9), slice(3, 16))
    found = predictor.predict(x, keep)
    assert set(eager[0].windows) == {None}
    np.testing.assert_allclose(found, plain.predict(x)[:, :, 2:9, 3:16], atol=1e-6)


def test_of_a_detector_only_the_part_before_its_proposals_is_compiled(eager) -> None:
    network = load_model("nuclei-maskrcnn").network.eval()
    same = compiled(network, torch.rand(1, 1, 64, 64))
    assert same is network
    assert [type(part).__name__ for part in eager] == ["ResidualTrunk"]


UNSUPPORTED = RuntimeError("torch.compile is not supported here: no C++ compiler")
FAILED = TorchDynamoException("no C++ compiler\nlong story")


@pytest.mark.parametrize(
    ("when", "error"),
    [("made", UNSUPPORTED), ("made", FAILED), ("run", FAILED), ("run again", FAILED)],
)
def test_what_is_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, error: RuntimeError, when: str
) -> None:
    runs = []

    def compile_(network: nn.Module) -> Callable[..., object]:
        if when == "made":
            raise error

        def run(x: torch.Tensor) -> object:
            runs.append(x.shape)
            if when == "run" or len(runs) > 1:
                raise error
            return network(x)

        return run

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(DeviceError, match=r"cannot compile.*no C\+\+ compiler.*Leave"):
        Predictor(Recorder(), CPU, is_compiled=True).predict(
            np.zeros((1, 1, 16, 16), np.float32)
        )


def test_another_error_of_a_compiled_network_is_not_taken_for_one_of_compiling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def compile_(_: nn.Module) -> Callable[..., object]:
        def run(_: torch.Tensor) -> object:
            raise RuntimeError("an illegal access; compile with TORCH_USE_CUDA_DSA")

        return run

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(RuntimeError, match="illegal access"):
        Predictor(Recorder(), CPU, is_compiled=True)


def test_views_are_averaged_outside_of_what_is_compiled(eager) -> None:
    predictor = Predictor(Recorder(), CPU, is_compiled=True, tta="flips")
    assert isinstance(predictor._network, Averaged)
    eager[0].windows.clear()
    with predictor._one_view():
        predictor.predict(np.zeros((1, 1, 16, 16), np.float32))
    assert len(eager[0].windows) == 1


@pytest.mark.slow
@needs_compiler
def test_labels_are_the_same_compiled() -> None:
    image = read_sample("nuclei").array[:200, :300]
    fields = {"axes": "YX", "device": "cpu", "diameter_px": 20.0}
    expected = segment(image, "nuclei-unet", **fields)
    found = segment(image, "nuclei-unet", compile=True, **fields)
    same = evaluate(found.labels, expected.labels)
    assert same.n_true > 5
    assert same.average_precision(0.9) > 0.95  # bfloat16 moves an edge


def test_results_do_not_hang_on_it_so_that_a_batch_can_go_on() -> None:
    plain, fast = SegmentParams(), SegmentParams(compile=True)
    assert plain.compared() == fast.compared()
