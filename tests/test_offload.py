from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_seg.errors import (
    LabelsError,
    NapariSegError,
    OffloadCancelled,
    OffloadError,
)
from napari_seg.imaging.deltas import LabelEdit, make_edit
from napari_seg.offload import Offload, _pack_error
from napari_seg.refine.propagate import PropagateParams, Step, solve_step
from napari_seg.refine.scene import Scene
from napari_seg.refine.solver import CutParams, solve_scene
from napari_seg.refine.split import SplitParams, SplitScene, solve_split
from napari_seg.refine.strokes import Stroke
from napari_seg.wire import Segment, pack, unpack

ECHO = "napari_seg.offload:echo"
SOLVE = "napari_seg.refine.solver:solve_scene"
posix = pytest.mark.skipif(os.name != "posix", reason="looks at processes by POSIX")


@pytest.fixture(scope="module")
def helper() -> Iterator[Offload]:
    offload = Offload()
    yield offload
    offload.close()


@pytest.fixture
def own() -> Iterator[Offload]:
    """Give a helper that the test may harm."""
    offload = Offload(preload=())
    yield offload
    offload.close()


def disc_scene(size: int = 48) -> Scene:
    y, x = np.indices((size, size)) - size // 2
    image = np.random.default_rng(0).normal(size=(1, size, size)).astype(np.float32)
    image[0] += 5 * (y**2 + x**2 < (size / 4) ** 2)
    states = np.zeros((size, size), np.int8)
    states[size // 2, size // 2] = 1
    click = Stroke(np.array([[size // 2, size // 2]]), True)
    network = image[0].T  # neither C order nor memory of its own
    return Scene(image, states, [click], states > 1, network, (1.0, 1.0))


def is_gone(pid: int, within_s: float = 10.0) -> bool:
    """Whether a process ends in time; one that only waits for its parent has ended."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        state = Path(f"/proc/{pid}/stat")
        with suppress(FileNotFoundError, ProcessLookupError):
            if state.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.02)
                continue
        return True
    return False


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run in a thread and collect what comes back, or the error."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except NapariSegError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def wait_until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_cut_elsewhere_equals_the_cut_here(helper: Offload) -> None:
    scene = disc_scene()
    mask = helper.call(SOLVE, scene, CutParams())
    assert np.array_equal(mask, solve_scene(scene, CutParams()))
    assert mask[24, 24]
    assert not mask[0, 0]


def test_a_split_and_a_step_elsewhere_equal_those_here(helper: Offload) -> None:
    image = np.random.default_rng(0).normal(size=(1, 20, 30)).astype(np.float32)
    marks = np.zeros((20, 30), np.int32)
    marks[10, 5], marks[10, 25] = 1, 2
    scene = SplitScene(image, marks, (1.0, 1.0))
    parts = helper.call("napari_seg.refine.split:solve_split", scene, SplitParams())
    assert np.array_equal(parts, solve_split(scene, SplitParams()))
    assert set(np.unique(parts)) == {1, 2}
    mask = marks == 0
    mask[:, 15:] = False
    step = Step(image, image + 0, mask, ~mask & False, None, (1.0, 1.0))
    found = helper.call(
        "napari_seg.refine.propagate:solve_step", step, PropagateParams()
    )
    assert np.array_equal(found, solve_step(step, PropagateParams()))
    assert found.any()


def test_nested_dataclasses_come_back_equal(helper: Offload) -> None:
    scene = disc_scene()
    back = helper.call(ECHO, {"scenes": [scene], "params": CutParams()})
    assert back["params"] == CutParams()
    (other,) = back["scenes"]
    assert np.array_equal(other.image, scene.image)
    assert np.array_equal(other.network, scene.network)
    assert np.array_equal(other.strokes[0].points, scene.strokes[0].points)
    assert other.spacing == (1.0, 1.0)


def test_edits_come_back_as_they_were(helper: Offload) -> None:
    before = np.zeros((5, 6), np.uint16)
    after = before.copy()
    after[1:3, 2] = 9
    edit: LabelEdit = helper.call(ECHO, make_edit("test", (10, 20), before, after))
    assert edit == make_edit("test", (10, 20), before, after)


ANY_ARRAY = hnp.arrays(
    # not dates: NumPy itself forgets their byte order in a pickle
    dtype=st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(),
        hnp.unsigned_integer_dtypes(),
        hnp.floating_dtypes(),
        hnp.complex_number_dtypes(),
        hnp.unicode_string_dtypes(),
    ),
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)


@settings(max_examples=60, deadline=None)
@given(array=ANY_ARRAY, order=st.sampled_from(["C", "F", "reversed", "moved"]))
def test_arrays_of_every_kind_and_order_come_back_equal(
    helper: Offload, array: np.ndarray, order: str
) -> None:
    if order == "F":
        array = np.asfortranarray(array)
    elif array.ndim and order == "reversed":
        array = array[::-1]
    elif array.ndim and order == "moved":
        array = np.moveaxis(array, 0, -1)
    back = helper.call(ECHO, array)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()  # NaN is not equal to itself


def test_arrays_of_objects_and_records_come_back_equal(helper: Offload) -> None:
    records = np.zeros(3, [("id", "i4"), ("area", "f8")])
    records["id"] = [4, 5, 6]
    mixed = np.array([1, "two", None], object)
    back = helper.call(ECHO, [records, mixed])
    assert np.array_equal(back[0], records)
    assert back[1].tolist() == [1, "two", None]


def test_results_stay_when_the_next_call_reuses_the_memory(helper: Offload) -> None:
    first = helper.call(ECHO, np.full(1000, 1))
    second = helper.call(ECHO, np.full(1000, 2))
    assert (first == 1).all()
    assert (second == 2).all()
    first[0] = 7  # a copy, so it can be written to
    assert first[0] == 7


def test_memory_grows_for_a_large_array_and_serves_small_ones(own: Offload) -> None:
    large = np.arange(2_000_000)
    for array in (np.arange(3), large, np.arange(3), large[:, None]):
        assert np.array_equal(own.call(ECHO, array), array)


def test_errors_come_back_as_themselves(helper: Offload) -> None:
    with pytest.raises(LabelsError) as caught:
        helper.call(
            "napari_seg.refine.graphcut:graph_cut", np.zeros((4, 4)), [[1, 1]], [[1, 1]]
        )
    assert caught.value.found == "1 pixels in both"
    assert caught.value.remedy == "Remove them from one of the two."
    assert str(caught.value).startswith("Foreground and background strokes overlap")
    assert "graphcut.py" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="3 were given"):
        helper.call(ECHO, 1, "a", 3)
    assert helper.call(ECHO, 5) == 5


class Stubborn(Exception):
    """Cannot be built again from what pickle keeps."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_errors_that_cannot_travel_keep_their_message() -> None:
    segment = Segment()
    packed = _pack_error(Stubborn(1, 2), segment)
    is_error, error, story = unpack(packed, segment, copy=True)
    segment.close()
    assert is_error
    assert isinstance(error, OffloadError)
    assert error.found == "Stubborn: 1 and 2"
    assert "Stubborn" in story


@pytest.mark.parametrize(
    "function",
    [
        "os:getpid",
        "napari_seg.offload:os",
        "napari_seg.offload:import_module",
        "napari_seg.offload:Offload",
        "napari_seg.offload:missing",
        "napari_segment.offload:echo",
        "napari_seg.offload",
        ":echo",
    ],
)
def test_only_functions_of_this_package_are_called(
    helper: Offload, function: str
) -> None:
    with pytest.raises(OffloadError, match="only functions of this package"):
        helper.call(function)


def test_what_cannot_be_pickled_is_an_error_here_and_harms_nothing(
    helper: Offload,
) -> None:
    with pytest.raises((AttributeError, TypeError, ValueError), match=r"pickle|local"):
        helper.call(ECHO, lambda: 1)
    assert helper.call(ECHO, 2) == 2


@posix
def test_a_killed_helper_is_an_error_and_the_next_call_works(own: Offload) -> None:
    own.start()
    first = own.pid
    assert first is not None
    thread, found = in_thread(lambda: own.call(ECHO, 1, 60.0))
    wait_until(lambda: own._is_calling)
    time.sleep(0.2)
    os.kill(first, signal.SIGSEGV)
    thread.join(10)
    assert isinstance(found[0], OffloadError)
    assert not isinstance(found[0], OffloadCancelled)
    assert "SIGSEGV" in found[0].found
    assert own.call(ECHO, 3) == 3
    assert own.pid != first
    assert is_gone(first)


@posix
def test_a_helper_killed_between_calls_is_replaced_unnoticed(own: Offload) -> None:
    assert own.call(ECHO, 1) == 1
    assert own.pid is not None
    os.kill(own.pid, signal.SIGKILL)
    wait_until(lambda: not own.is_alive)
    assert own.call(ECHO, 2) == 2


def test_cancel_ends_a_call_from_another_thread(own: Offload) -> None:
    thread, found = in_thread(lambda: own.call(ECHO, 1, 60.0))
    wait_until(lambda: own._is_calling)
    own.cancel()
    thread.join(10)
    assert isinstance(found[0], OffloadCancelled)
    assert own.call(ECHO, 3) == 3


def test_cancel_without_a_call_does_nothing(own: Offload) -> None:
    own.cancel()
    assert own.call(ECHO, 1) == 1
    pid = own.pid
    own.cancel()
    assert own.call(ECHO, 2) == 2
    assert own.pid == pid


def test_a_call_that_takes_too_long_is_ended(own: Offload) -> None:
    own.call(ECHO, 1)
    start = time.monotonic()
    with pytest.raises(OffloadError, match="longer than allowed"):
        own.call(ECHO, 1, 60.0, timeout_s=0.2)
    assert time.monotonic() - start < 30
    assert own.call(ECHO, 2, timeout_s=60.0) == 2


def test_other_threads_run_while_a_call_waits(own: Offload) -> None:
    own.call(ECHO, 1)
    thread, found = in_thread(lambda: own.call(ECHO, "late", 0.5))
    turns = 0
    while thread.is_alive():
        turns += 1
        time.sleep(0.005)
    assert found == ["late"]
    assert turns > 20


def test_calls_from_several_threads_take_turns(own: Offload) -> None:
    jobs = [in_thread(lambda n=n: own.call(ECHO, np.full(5, n))) for n in range(12)]
    for n, (thread, found) in enumerate(jobs):
        thread.join(30)
        assert (found[0] == n).all()


def test_closed_is_closed() -> None:
    offload = Offload(preload=())
    assert not offload.is_alive
    offload.start()
    assert offload.is_alive
    thread, found = in_thread(lambda: offload.call(ECHO, 1, 60.0))
    wait_until(lambda: offload._is_calling)
    offload.close()
    thread.join(10)
    assert isinstance(found[0], OffloadCancelled)
    offload.close()
    assert not offload.is_alive
    with pytest.raises(OffloadError, match="closed"):
        offload.call(ECHO, 1)


@posix
def test_a_dropped_helper_ends() -> None:
    offload = Offload(preload=())
    offload.call(ECHO, 1)
    pid = offload.pid
    assert pid is not None
    del offload
    gc.collect()
    assert is_gone(pid)


PARENT = """
import sys, time
from napari_seg.offload import Offload
offload = Offload(preload=())
offload.call("napari_seg.offload:echo", 1)
print(offload.pid, flush=True)
if sys.argv[1] == "busy":
    offload.call("napari_seg.offload:echo", 1, 60.0)
if sys.argv[1] == "cutting":  # holds Python's lock for many seconds
    import numpy as np
    from napari_seg.refine.scene import Scene
    from napari_seg.refine.solver import CutParams
    from napari_seg.refine.strokes import Stroke
    image = np.random.default_rng(0).normal(size=(1, 60, 300, 300)).astype("f4")
    states = np.zeros(image.shape[1:], np.int8)
    click = Stroke(np.array([[30, 150, 150]]), True)
    scene = Scene(image, states, [click], states > 0, None, (1.0, 1.0, 1.0))
    params = CutParams(coarse_voxels=10**8)
    offload.call("napari_seg.refine.solver:solve_scene", scene, params)
time.sleep(60 if sys.argv[1] == "idle" else 0)
"""


@posix
@pytest.mark.parametrize("state", ["idle", "busy", "cutting"])
def test_no_helper_outlives_a_killed_parent(state: str, tmp_path: Path) -> None:
    before = shared_files()
    script = tmp_path / "script.py"  # no "if __name__" guard, and none is needed
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script, state], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(2.5 if state == "cutting" else 0.2)
        parent.kill()
    assert is_gone(pid)
    assert shared_files() <= before


@posix
def test_a_script_that_just_ends_leaves_no_helper(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PARENT)
    done = subprocess.run(
        [sys.executable, "-W", "error", script, "end"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert is_gone(int(done.stdout))


def shared_files() -> set[str]:
    folder = Path("/dev/shm")
    return {p.name for p in folder.iterdir()} if folder.is_dir() else set()


def resident_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_many_calls_take_no_more_memory(own: Offload) -> None:
    array = np.zeros(500_000)
    before_files = shared_files()
    for _ in range(20):
        own.call(ECHO, array)
    assert own.pid is not None
    before = resident_bytes(own.pid), resident_bytes(os.getpid())
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        own.call(ECHO, array)
    after = resident_bytes(own.pid), resident_bytes(os.getpid())
    assert after[0] - before[0] < 20e6
    assert after[1] - before[1] < 20e6
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert shared_files() <= before_files


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_restarts_leave_no_descriptors() -> None:
    before = len(os.listdir("/proc/self/fd"))
    offload = Offload(preload=())
    for _ in range(3):
        thread, _found = in_thread(lambda: offload.call(ECHO, np.zeros(9), 60.0))
        wait_until(lambda: offload._is_calling)
        offload.cancel()
        thread.join(10)
    offload.close()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_the_helper_prints_is_no_answer(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from napari_seg.offload import Offload\n"
        "sys.stdout.write('here\\n'); sys.stdout.flush()\n"
        "o = Offload(preload=('this',))\n"  # prints when it is imported
        "assert o.call('napari_seg.offload:echo', 4) == 4\n"
        "o.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "here\n"


@pytest.mark.skipif(sys.platform != "linux", reason="reads libraries from /proc")
def test_the_helper_loads_no_torch(helper: Offload) -> None:
    helper.call(SOLVE, disc_scene(), CutParams())
    mapped = Path(f"/proc/{helper.pid}/maps").read_text()
    assert "maxflow" in mapped
    assert "libtorch" not in mapped
    assert "Qt5" not in mapped


def test_views_are_packed_as_arrays_not_bytes() -> None:
    segment = Segment()
    packed = pack(np.zeros((1000, 1000))[:, ::2], segment)
    segment.close()
    assert len(packed) < 1000
