"""The same seed gives the same run, also when it is killed on the way."""

import signal
import subprocess
import sys
import time

import pytest
from tiny import losses, params

from napari_seg.training.curve import read_curve
from napari_seg.training.state import state_path
from napari_seg.training.trainer import iter_train
from napari_seg.types import run

ARGUMENTS = {"channels": (4, 8), "padding": "same", "norm": "batch", "dropout": 0.3}
SCRIPT = """
import sys
from napari_seg.training.params import TrainParams
from napari_seg.training.trainer import iter_train
from napari_seg.types import run
params = TrainParams(
    arguments={arguments}, steps=100000, batch=2, patch_px=32, validate_every=20,
    save_every=7, device="cpu", mixed_precision=False, threads=1,
)
run(iter_train(sys.argv[1], sys.argv[2], params))
"""


def settings(**fields):
    fields = {"validate_every": 20, "save_every": 7, "threads": 1} | fields
    return params(arguments=ARGUMENTS, **fields)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_first_fifty_losses(dataset, tmp_path):
    curves = []
    for name in "ab":
        out = tmp_path / f"{name}.safetensors"
        curves.append(losses(iter_train(dataset, out, settings(steps=50))))
    assert len(curves[0]) == 50
    assert curves[0] == curves[1]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_its_curve_is_joined(dataset, tmp_path):
    out = tmp_path / "killed.safetensors"
    script = SCRIPT.format(arguments=ARGUMENTS)
    process = subprocess.Popen([sys.executable, "-c", script, str(dataset), str(out)])
    try:
        patience = time.monotonic() + 200
        while len(read_curve(out)) < 31:
            assert process.poll() is None
            assert time.monotonic() < patience
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert state_path(out).is_file()
    reached = len(read_curve(out))
    # The learning rate follows the planned length, which is that of the killed run.
    job = iter_train(dataset, out, settings(steps=100000, resume=True))
    resumed = next(step for step in job if step.stage == "train")
    assert reached - 7 <= resumed.done <= reached + 1
    for _ in range(5):
        next(step for step in job if step.stage == "train")
    job.close()
    joined = read_curve(out)
    whole = tmp_path / "whole.safetensors"
    job = iter_train(dataset, whole, settings(steps=100000))
    while next(job).done < len(joined):
        pass
    job.close()
    assert [p.step for p in joined] == list(range(1, resumed.done + 6))
    assert [p.loss for p in joined] == pytest.approx(
        [p.loss for p in read_curve(whole)][: len(joined)], rel=1e-6
    )
    seconds = [p.seconds for p in joined]
    assert seconds == sorted(seconds)


def test_nobody_elses_random_numbers_are_disturbed(dataset, tmp_path):
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(iter_train(dataset, tmp_path / "m.safetensors", settings(steps=2)))
    assert torch.rand(3).equal(expected)


def test_threads_are_given_back(dataset, tmp_path):
    import torch

    before = torch.get_num_threads()
    job = iter_train(dataset, tmp_path / "m.safetensors", settings(steps=2))
    seen = {torch.get_num_threads() for step in job if step.stage == "train"}
    assert seen == {1}
    assert torch.get_num_threads() == before
