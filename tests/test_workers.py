"""Helper processes that share a list of calls, and what ends them."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from napari_seg.errors import OffloadError
from napari_seg.inference.crf import dense_crf, iter_dense_crf
from napari_seg.types import run
from napari_seg.workers import Call, Workers

ECHO = "napari_seg.offload:echo"


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2) as made:
        yield made


def big() -> tuple[np.ndarray, np.ndarray]:
    """Return an image and probabilities that keep two processes busy for seconds."""
    rng = np.random.default_rng(0)
    image = rng.random((1500, 1500), np.float32)
    return image, np.stack([1 - image, image])


def test_all_calls_are_answered(workers: Workers) -> None:
    calls = [Call(i, ECHO, (np.full(3, i),)) for i in range(7)]
    answers = dict(answer for answer in workers.imap(calls) if answer is not None)
    assert sorted(answers) == list(range(7))
    assert all((value == key).all() for key, value in answers.items())


def test_arguments_are_made_when_they_are_needed(workers: Workers) -> None:
    made: list[int] = []

    def calls() -> Iterator[Call]:
        for i in range(6):
            made.append(i)
            yield Call(i, ECHO, (i, 0.05))

    answers = 0
    for answer in workers.imap(calls()):
        answers += answer is not None
        assert len(made) <= answers + workers.count


def test_who_stops_listening_stops_the_calls(workers: Workers) -> None:
    answers = workers.imap(Call(i, ECHO, (i, 30.0)) for i in range(4))
    assert next(answers) is None
    began = time.perf_counter()
    answers.close()
    assert time.perf_counter() - began < 10
    again = [a for a in workers.imap([Call(0, ECHO, ("alive",))]) if a is not None]
    assert again == [(0, "alive")]


def test_an_error_there_is_raised_here(workers: Workers) -> None:
    with pytest.raises(OffloadError, match="only functions of this package"):
        list(workers.imap([Call(0, "os:getcwd", ())]))


def test_a_cancelled_crf_stops_within_a_block(workers: Workers) -> None:
    steps = iter_dense_crf(*big(), engine="pydensecrf", workers=workers)
    next(steps)
    next(steps)
    began = time.perf_counter()
    steps.close()
    assert time.perf_counter() - began < 5


def test_a_killed_process_is_one_clear_error_and_nothing_is_lost(
    workers: Workers,
) -> None:
    image, probabilities = big()
    before = image.copy(), probabilities.copy()
    steps = iter_dense_crf(image, probabilities, engine="pydensecrf", workers=workers)

    def kill_while_it_works() -> None:
        # Again and again: one killed while idle is replaced, and nobody notices.
        for step in steps:
            for helper in workers.helpers:
                if step.done == 0 and helper.pid is not None:
                    with suppress(ProcessLookupError):
                        os.kill(helper.pid, signal.SIGKILL)

    with pytest.raises(OffloadError, match=r"ended during.*SIGKILL.*Try again"):
        kill_while_it_works()
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(probabilities, before[1])
    # The next calculation has new processes.
    small = image[:20, :20], probabilities[:, :20, :20]
    found = run(iter_dense_crf(*small, engine="pydensecrf", workers=workers))
    np.testing.assert_allclose(found, dense_crf(*small, engine="torch"), atol=1e-3)
