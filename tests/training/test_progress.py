import numpy as np
import pytest

from napari_seg.training import progress
from napari_seg.training.curve import CurveLog, CurvePoint, curve_path, read_curve
from napari_seg.training.progress import Stopwatch
from napari_seg.training.state import Progression
from napari_seg.types import Progress, run


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_job_that_nobody_advances_takes_no_time(clock):
    def work():
        for number in range(3):
            clock[0] += 2
            yield Progress("work", number, 3)
        return "done"

    watch = Stopwatch()
    job = watch.time(work())
    seen = []
    for _ in range(3):
        next(job)
        clock[0] += 1000  # the user has a coffee
        seen.append(watch.seconds)
    assert seen == [2, 4, 6]
    assert run(job) == "done"


def test_a_timed_job_is_closed_and_thrown_into_like_any_other(clock):
    met = []

    def work():
        try:
            while True:
                yield Progress("work", 0, 1)
        except BaseException as error:
            met.append(type(error))
            raise

    for kind in (GeneratorExit, KeyboardInterrupt):
        job = Stopwatch().time(work())
        next(job)
        with pytest.raises(kind):
            job.throw(kind)
    job = Stopwatch().time(work())
    next(job)
    job.close()
    assert met == [GeneratorExit, KeyboardInterrupt, GeneratorExit]


def test_the_curve_is_read_as_it_was_written(tmp_path):
    out = tmp_path / "m.safetensors"
    assert read_curve(out) == []
    with CurveLog(out, 0) as log:
        log.add(Progression(1, 0.5), 1.25, 1e-3, None)
        log.add(Progression(2, 1.0), 0.1234567891, 2e-3, None)
        assert [p.step for p in read_curve(out)] == [1, 2], "readable while it runs"
    first, second = read_curve(out)
    assert first == CurvePoint(1, 0.5, 1.25, 1e-3)
    assert second.loss == pytest.approx(0.1234567891, rel=1e-8)


def test_steps_after_the_saved_state_are_dropped_when_the_curve_is_joined(tmp_path):
    out = tmp_path / "m.safetensors"
    with CurveLog(out, 0) as log:
        for step in range(1, 8):
            log.add(Progression(step, step), step / 10, 1e-3, None)
    with curve_path(out).open("a") as file:
        file.write("8,8.0,0.8,0.00")  # killed in the middle of a line
    with CurveLog(out, 5) as log:
        log.add(Progression(6, 6), 0.66, 1e-3, None)
    assert [p.step for p in read_curve(out)] == [1, 2, 3, 4, 5, 6]
    assert read_curve(out)[-1].loss == pytest.approx(0.66)
    with CurveLog(out, 0):
        pass
    assert read_curve(out) == [], "a run that starts anew starts a new curve"


def test_a_step_that_blew_up_is_in_the_curve(tmp_path):
    with CurveLog(tmp_path / "m.safetensors", 0) as log:
        log.add(Progression(1, 1), float("inf"), 1e-3, None)
    assert np.isnan(read_curve(tmp_path / "m.safetensors")[0].loss)
