"""What a window needs of a run: stop, pause, keep, see."""

import multiprocessing
import threading

import pytest
from tiny import losses, params

from napari_seg.models.checkpoint import load_model
from napari_seg.training import progress
from napari_seg.training.curve import read_curve
from napari_seg.training.progress import TrainProgress
from napari_seg.training.trainer import iter_train
from napari_seg.types import run


def until(job, stage, done=0):
    return next(step for step in job if (step.stage, step.done) == (stage, done))


def test_a_run_can_be_stopped_in_the_middle_of_a_validation(dataset, tmp_path):
    whole = losses(iter_train(dataset, tmp_path / "whole.safetensors", params()))
    out = tmp_path / "m.safetensors"
    job = iter_train(dataset, out, params())
    until(job, "validate")
    job.close()
    assert load_model(out).card.scores == {}, "weights are kept, unscored"
    assert [p.step for p in read_curve(out)] == [1, 2]
    after = losses(iter_train(dataset, out, params(resume=True)))
    assert after == pytest.approx(whole[2:], rel=1e-5)


def test_a_run_can_be_stopped_in_the_middle_of_the_calibration(dataset, tmp_path):
    out = tmp_path / "m.safetensors"
    job = iter_train(dataset, out, params())
    until(job, "calibrate")
    job.close()
    assert load_model(out).card.scores, "the best weights are there, with their scores"
    steps = list(iter_train(dataset, out, params(resume=True)))
    assert losses(steps) == [], "nothing is trained again"
    assert {step.stage for step in steps} == {"load", "calibrate", "validate"}


def test_stop_and_keep_ends_the_run_as_if_its_time_were_over(dataset, tmp_path):
    stop = threading.Event()
    job = iter_train(dataset, tmp_path / "m.safetensors", params(steps=99), stop=stop)
    until(job, "train", 3)
    stop.set()
    assert run(job).card.scores
    assert len(read_curve(tmp_path / "m.safetensors")) == 3


def test_stop_and_keep_before_the_first_validation_validates(dataset, tmp_path):
    stop = threading.Event()
    rare = params(steps=99, validate_every=50)
    job = iter_train(dataset, tmp_path / "m.safetensors", rare, stop=stop)
    until(job, "train", 1)
    stop.set()
    assert run(job).card.scores


def test_a_pause_does_not_use_up_the_minutes(dataset, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    limited = params(steps=None, minutes=1.0, validate_every=1000)
    job = iter_train(dataset, tmp_path / "m.safetensors", limited)
    until(job, "train", 1)
    now[0] += 3600
    step = until(job, "train", 2)
    assert step.remaining_s != step.remaining_s or step.remaining_s > 0
    assert read_curve(tmp_path / "m.safetensors")[-1].seconds < 60
    job.close()


def test_steps_tell_what_a_plot_and_a_preview_show(dataset, tmp_path):
    job = iter_train(dataset, tmp_path / "m.safetensors", params())
    steps = [step for step in job if isinstance(step, TrainProgress)]
    assert all(step.learning_rate > 0 for step in steps)
    assert [step.ap is not None for step in steps] == [False, True, False, True]
    picture = steps[1].picture
    assert steps[0].picture is None
    assert picture.image.shape == (1, 64, 64)
    assert picture.labels.shape == picture.truth.shape == (64, 64)
    assert picture.truth.max() == 9


def test_a_run_needs_no_process_and_leaves_no_thread(dataset, tmp_path):
    before = threading.active_count()
    results = []

    def work():
        job = iter_train(dataset, tmp_path / "m.safetensors", params())
        until(job, "train", 2)
        results.append(multiprocessing.active_children())
        results.append(run(job))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert results[0] == []
    assert results[1].card.scores
    assert threading.active_count() == before
