"""Jobs in a thread, without Qt."""

from __future__ import annotations

import gc
import math
import threading
import time

import pytest
from fakes import pump_until

from napari_seg.gui.jobs import Job, Jobs
from napari_seg.types import Progress


@pytest.fixture
def jobs():
    made = Jobs()
    yield made
    made.close()


def count_to(number, closed=None, gate=None):
    try:
        for i in range(number):
            if gate is not None:
                gate.acquire(timeout=5)
            yield Progress("count", i + 1, number)
    finally:
        if closed is not None:
            closed.set()
    return number


def finish(jobs):
    pump_until(jobs, lambda: not jobs.is_busy)


def test_every_progress_arrives_in_order_and_then_the_result(jobs):
    seen = []
    jobs.start(
        Job(
            count_to(50), on_done=seen.append, on_progress=lambda p: seen.append(p.done)
        )
    )
    finish(jobs)
    assert seen == [*range(1, 51), 50]


def test_work_is_done_outside_the_main_thread(jobs):
    def where():
        yield Progress("x", 1, 1)
        return threading.current_thread()

    seen = []
    jobs.start(Job(where(), on_done=seen.append))
    finish(jobs)
    assert seen[0] is not threading.main_thread()


def test_cancel_delivers_what_was_finished_and_closes_the_generator(jobs):
    closed, gate, seen, stopped = threading.Event(), threading.Semaphore(3), [], []
    job = Job(
        count_to(100, closed, gate),
        on_done=lambda _: seen.append("done"),
        on_progress=lambda p: seen.append(p.done),
        on_stopped=lambda: stopped.append(True),
    )
    jobs.start(job)
    pump_until(jobs, lambda: len(seen) == 3)
    job.cancel()
    gate.release()
    finish(jobs)
    assert seen == [1, 2, 3, 4]
    assert stopped == [True]
    assert closed.is_set()


def test_a_dropped_job_tells_nothing_more(jobs):
    gate, seen = threading.Semaphore(1), []
    job = Job(count_to(9, gate=gate), seen.append, seen.append, seen.append)
    jobs.start(job)
    job.drop()
    gate.release(10)
    finish(jobs)
    assert seen == []


def test_errors_arrive_as_they_were_raised(jobs):
    def fail():
        yield Progress("x", 1, 2)
        raise KeyError("why")

    seen = []
    jobs.start(Job(fail(), on_done=seen.append, on_error=seen.append))
    finish(jobs)
    assert [type(error) for error in seen] == [KeyError]


def test_an_error_nobody_asked_for_is_raised_where_it_is_seen(jobs):
    def fail():
        raise KeyError("why")
        yield

    jobs.start(Job(fail(), on_done=lambda _: None))
    with pytest.raises(KeyError, match="why"):
        finish(jobs)
    assert not jobs.is_busy


def test_jobs_of_one_window_run_one_after_the_other(jobs):
    order = []

    def note(name):
        order.append(name)
        yield Progress(name, 1, 1)
        order.append(name)

    for name in "ab":
        jobs.start(Job(note(name), on_done=lambda _: None))
    finish(jobs)
    assert order == ["a", "a", "b", "b"]


def test_pump_keeps_to_its_budget(jobs):
    def slow(_):
        time.sleep(0.01)

    jobs.start(Job(count_to(100), on_done=slow, on_progress=slow))
    time.sleep(0.2)
    began = time.perf_counter()
    jobs.pump(budget_s=0.02)
    assert time.perf_counter() - began < 0.2
    assert jobs.is_busy
    assert jobs.wait_s() < 0.05


def test_later_calls_once_for_one_key(jobs):
    seen = []
    for value in range(5):
        jobs.later("key", 0.02, lambda value=value: seen.append(value))
    assert 0 < jobs.wait_s() <= 0.02
    finish(jobs)
    assert seen == [4]


def test_forgotten_calls_are_not_made(jobs):
    seen = []
    jobs.later("key", 0.0, lambda: seen.append(1))
    jobs.forget("key")
    jobs.pump()
    assert seen == []


def test_spread_goes_on_in_the_next_pump(jobs):
    steps, done = [], []

    def work():
        for i in range(5):
            time.sleep(0.01)
            steps.append(i)
            yield

    jobs.spread(work(), lambda: done.append(True))
    jobs.pump(budget_s=0.015)
    assert 0 < len(steps) < 5
    finish(jobs)
    assert (len(steps), done) == (5, [True])


def test_an_idle_window_needs_no_pump(jobs):
    assert not jobs.is_busy
    assert math.isinf(jobs.wait_s())


def test_close_waits_for_the_thread_and_starts_nothing_more(jobs):
    closed, gate = threading.Event(), threading.Semaphore(1)
    jobs.start(Job(count_to(100, closed, gate), on_done=lambda _: None))
    time.sleep(0.05)
    gate.release(1)
    jobs.close()
    assert closed.is_set()
    seen = []
    jobs.start(Job(count_to(1), on_done=seen.append))
    jobs.pump()
    assert (seen, jobs.is_busy) == ([], False)


def test_collector_is_spared_only_while_a_job_runs(jobs):
    gate = threading.Semaphore(0)
    jobs.start(Job(count_to(1, gate=gate), on_done=lambda _: None))
    assert gc.get_freeze_count() > 0
    gate.release()
    finish(jobs)
    assert gc.get_freeze_count() == 0


def test_a_paused_job_rests_and_goes_on_where_it_was(jobs):
    gate, seen = threading.Semaphore(2), []
    job = Job(
        count_to(5, gate=gate),
        on_done=lambda _: seen.append("done"),
        on_progress=lambda p: seen.append(p.done),
    )
    jobs.start(job)
    pump_until(jobs, lambda: len(seen) == 2)
    job.pause()
    gate.release(10)
    end = time.perf_counter() + 0.1
    while time.perf_counter() < end:
        jobs.pump()
    assert seen == [1, 2, 3]  # the step in hand is finished, no other begun
    assert job.is_paused
    job.resume()
    finish(jobs)
    assert seen == [1, 2, 3, 4, 5, "done"]


def test_a_paused_job_can_be_cancelled(jobs):
    closed, stopped = threading.Event(), []
    job = Job(
        count_to(1000, closed),
        on_done=lambda _: None,
        on_stopped=lambda: stopped.append(True),
    )
    job.pause()
    jobs.start(job)
    job.cancel()
    finish(jobs)
    assert stopped == [True]
    job.pause()
    assert not job.is_paused


def test_close_wakes_a_paused_job():
    jobs, closed = Jobs(), threading.Event()
    job = jobs.start(Job(count_to(10**9, closed), on_done=lambda _: None))
    while not job._mailbox:
        time.sleep(0.001)
    job.pause()
    jobs.close()
    assert closed.wait(5)


def test_calm_outlasts_the_jobs_of_other_panels(jobs):
    others, gate = Jobs(), threading.Semaphore(0)
    job = jobs.start(Job(count_to(2, gate=gate), on_done=lambda _: None))
    others.start(Job(count_to(1), on_done=lambda _: None))
    finish(others)
    others.close()
    assert gc.get_freeze_count() == 0
    jobs.calm()
    assert gc.get_freeze_count() > 0
    gate.release(5)
    finish(jobs)
    assert job.is_cancelled is False
    assert gc.get_freeze_count() == 0
    jobs.calm()
    assert gc.get_freeze_count() == 0


def test_all_jobs_rest_also_those_to_come_until_they_may_go_on(jobs):
    seen = []

    def begin(name):
        jobs.start(
            Job(count_to(200), on_done=lambda _: seen.append(name), poll_s=0.001)
        )

    begin("before")
    jobs.rest(True)
    begin("meanwhile")
    until = time.perf_counter() + 0.2
    pump_until(jobs, lambda: time.perf_counter() > until)
    assert seen in ([], ["before"])  # it may have been through already
    jobs.rest(False)
    finish(jobs)
    assert seen == ["before", "meanwhile"]


def test_close_wakes_jobs_that_rest():
    jobs = Jobs()
    jobs.rest(True)
    jobs.start(Job(count_to(5), on_done=lambda _: None))
    began = time.perf_counter()
    jobs.close()
    assert time.perf_counter() - began < 4
