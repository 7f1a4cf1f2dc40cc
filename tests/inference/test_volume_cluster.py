"""Workers of dask, and what may befall them."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from volume_scenes import PARAMS, balls, read, segmented, store

import napari_seg
from napari_seg.errors import ClusterError, UnknownModelError
from napari_seg.inference import cluster as cluster_module
from napari_seg.inference import segment, worker_device
from napari_seg.inference.precision import SWITCH
from napari_seg.inference.volumes import VolumeOptions, iter_segment_volume
from napari_seg.types import run

CELL = (16, 64, 64)


@pytest.fixture(scope="module")
def workers() -> Iterator[distributed.LocalCluster]:
    """Start a cluster that all tests share."""
    with distributed.LocalCluster(
        n_workers=4,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address=":0",
        silence_logs=50,
    ) as made:
        yield made


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("volume") / "v.zarr", balls(), (16, 36, 64))


@pytest.fixture(scope="module")
def expected(
    volume: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> NDArray[np.int32]:
    """Labels made without any worker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SWITCH, "full")
        labels, _ = segmented(volume, tmp_path_factory.mktemp("o") / "o.zarr", model)
    assert labels.max() > 20
    return labels


def pids(made: distributed.LocalCluster) -> dict[str, int]:
    with distributed.Client(made, set_as_default=False) as client:
        return client.run(os.getpid)


def scale(made: distributed.LocalCluster, count: int) -> None:
    made.scale(count)
    deadline = time.monotonic() + 60
    while len(made.scheduler_info["workers"]) != count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def hide(name: str) -> None:
    """Make one worker unable to find the model."""

    def load(names: Any) -> Any:
        raise UnknownModelError(f"There is no checkpoint file {names[0]}")

    worker_device.load = load


def show() -> None:
    worker_device.load = segment.load


def test_a_worker_without_the_checkpoint_is_left_out_and_named(
    workers: distributed.LocalCluster,
    volume: Path,
    model: Path,
    expected: NDArray[np.int32],
    tmp_path: Path,
) -> None:
    with distributed.Client(workers, set_as_default=False) as client:
        bad = next(iter(client.nthreads()))
        client.run(hide, str(model), workers=[bad])
    options = VolumeOptions(cell=CELL, scheduler=workers.scheduler_address)
    out = tmp_path / "o.zarr"
    steps = iter_segment_volume(volume, out, model, PARAMS, options)
    messages = {step.message for step in steps}
    named = [m for m in messages if "unusable" in m]
    assert named
    assert all(bad in m and str(model) in m for m in named)
    np.testing.assert_array_equal(read(out), expected)
    with distributed.Client(workers, set_as_default=False) as client:
        client.run(show)


def test_without_the_checkpoint_on_any_worker_the_run_stops_and_can_go_on(
    workers: distributed.LocalCluster,
    volume: Path,
    model: Path,
    expected: NDArray[np.int32],
    tmp_path: Path,
) -> None:
    own, out = tmp_path / "own.safetensors", tmp_path / "o.zarr"
    shutil.copy(model, own)
    options = {"cell": CELL, "scheduler": workers.scheduler_address}
    steps = iter_segment_volume(volume, out, own, PARAMS, VolumeOptions(**options))

    def lose_it() -> None:
        for step in steps:
            if step.stage == "load" and step.done:
                own.unlink()

    with pytest.raises(ClusterError, match=r"own\.safetensors.*--resume") as caught:
        lose_it()
    assert socket.gethostname() in str(caught.value)
    shutil.copy(model, own)
    labels, _ = segmented(volume, out, own, mode="resume", **options)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("count", [4, 2])
def test_the_number_of_workers_changes_no_voxel(
    count: int,
    workers: distributed.LocalCluster,
    volume: Path,
    model: Path,
    expected: NDArray[np.int32],
    tmp_path: Path,
) -> None:
    scale(workers, count)
    labels, result = segmented(
        volume,
        tmp_path / "o.zarr",
        model,
        scheduler=workers.scheduler_address,
        block={4: (16, 64, 64), 2: (16, 128, 64)}[count],
    )
    assert not result.errors
    np.testing.assert_array_equal(labels, expected)


def test_a_worker_that_is_killed_is_survived(
    workers: distributed.LocalCluster,
    volume: Path,
    model: Path,
    expected: NDArray[np.int32],
    tmp_path: Path,
) -> None:
    out = tmp_path / "o.zarr"
    scale(workers, 2)
    before = pids(workers)
    options = VolumeOptions(cell=CELL, scheduler=workers.scheduler_address)
    killed = None
    steps = iter_segment_volume(volume, out, model, PARAMS, options)
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            result = stop.value
            break
        if killed is None and step.stage == "blocks" and 0 < step.done < step.total:
            killed = next(iter(before.values()))
            os.kill(killed, signal.SIGKILL)
    assert killed is not None
    assert not result.errors
    np.testing.assert_array_equal(read(out), expected)


def test_one_worker_gives_the_same_labels(
    workers: distributed.LocalCluster,
    volume: Path,
    model: Path,
    expected: NDArray[np.int32],
    tmp_path: Path,
) -> None:
    scale(workers, 1)
    labels, result = segmented(
        volume,
        tmp_path / "o.zarr",
        model,
        scheduler=workers.scheduler_address,
        block=(32, 128, 192),
    )
    assert not result.errors
    np.testing.assert_array_equal(labels, expected)


def test_a_scheduler_that_goes_away_is_named(
    volume: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_GONE_S", 1.0)
    monkeypatch.setattr(cluster_module, "_LOOK_S", 0.2)
    monkeypatch.setattr(cluster_module, "_CONNECT_S", 2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    options = {"cell": CELL, "scheduler": address}
    with pytest.raises(ClusterError, match="No scheduler answers"):
        segmented(volume, tmp_path / "n.zarr", model, **options)
    place = ["--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *place, "--no-show"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        monkeypatch.setattr(cluster_module, "_CONNECT_S", 60)
        out = tmp_path / "o.zarr"
        steps = iter_segment_volume(
            volume, out, model, PARAMS, VolumeOptions(**options)
        )

        def lose_it() -> None:
            for step in steps:
                if "waiting for workers" in step.message:
                    process.kill()

        with pytest.raises(ClusterError, match=r"is gone.*--resume"):
            lose_it()
    finally:
        process.kill()
        process.wait()


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from volume_scenes import PARAMS
from napari_seg.inference.precision import SWITCH
from napari_seg.inference.volumes import VolumeOptions, iter_segment_volume
options = VolumeOptions(cell=(16, 64, 64))
volume, out, model = map(Path, sys.argv[2:])
for step in iter_segment_volume(volume, out, model, PARAMS, options):
    time.sleep(0.02)
"""


def test_a_run_that_was_killed_goes_on_with_what_is_done(
    volume: Path, model: Path, expected: NDArray[np.int32], tmp_path: Path
) -> None:
    out, run_folder = tmp_path / "o.zarr", tmp_path / "o.zarr.run"
    here = str(Path(__file__).parent)
    root = str(Path(napari_seg.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, here, str(volume), str(out), str(model)],
        env={**os.environ, "PYTHONPATH": root},
    )
    try:
        deadline = time.monotonic() + 120
        while len(list(run_folder.glob("decode/*/[0-9]*.npz"))) < 4:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    done = len(list(run_folder.glob("decode/*/[0-9]*.npz")))
    assert done >= 4
    options = VolumeOptions(cell=CELL, mode="resume")
    steps = iter_segment_volume(volume, out, model, PARAMS, options)
    first = next(step for step in steps if step.stage == "blocks")
    assert 4 <= done <= first.done < first.total
    result = run(steps)
    assert not result.errors
    np.testing.assert_array_equal(read(out), expected)
    assert not run_folder.exists()


def test_a_chunk_that_cannot_be_read_is_named_and_the_rest_done(
    volume: Path, model: Path, expected: NDArray[np.int32], tmp_path: Path
) -> None:
    damaged, out = tmp_path / "v.zarr", tmp_path / "o.zarr"
    shutil.copytree(volume, damaged)
    chunk = damaged / "c" / "1" / "0" / "2"
    good = chunk.read_bytes()
    chunk.write_bytes(b"not a chunk")
    options = {"cell": CELL, "block": (16, 64, 64)}
    labels, result = segmented(damaged, out, model, **options)
    assert 0 < result.failed < result.blocks
    assert all("chunk c/1/0/2 of v.zarr" in error for error in result.errors)
    assert all("Z 16-24" in error for error in result.errors)
    np.testing.assert_array_equal(labels[:16] > 0, expected[:16] > 0)
    assert not labels[16:, :, 128:].any()
    chunk.write_bytes(good)
    labels, result = segmented(damaged, out, model, mode="resume", **options)
    assert not result.errors
    np.testing.assert_array_equal(labels, expected)


def test_a_full_disk_stops_the_run_and_it_goes_on_with_room(
    volume: Path,
    model: Path,
    expected: NDArray[np.int32],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "o.zarr"
    written = 0

    def write(self: Any, index: Any, value: Any) -> None:
        nonlocal written
        written += 1
        if written > 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        setitem(self, index, value)

    setitem = zarr.Array.__setitem__
    with monkeypatch.context() as patch:
        patch.setattr(zarr.Array, "__setitem__", write)
        _, result = segmented(volume, out, model)
    assert len(result.errors) == 1
    assert "disk is full" in result.errors[0]
    assert result.errors[0].startswith("block ")
    labels, result = segmented(volume, out, model, mode="resume")
    assert not result.errors
    np.testing.assert_array_equal(labels, expected)
