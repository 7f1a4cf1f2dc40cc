"""One bar that only moves forward, and the words beside it."""

from __future__ import annotations

import pytest

from napari_seg.gui.meter import ProgressMeter, format_seconds
from napari_seg.gui.size_estimate import describe_size, size_note
from napari_seg.types import Progress


def test_bar_reaches_the_end_and_never_goes_back():
    meter, seen = ProgressMeter(), []

    def step(stage, done, total):
        meter.update(Progress(stage, done, total))
        seen.append(meter.fraction)

    step("load", 0, 1)
    step("load", 1, 1)
    for plane in range(4):
        for tile in range(3):
            step("predict", 3 * plane + tile + 1, 12)
        step("instances", plane + 1, 4)
        assert seen[-1] == pytest.approx(0.1 + 0.85 * (plane + 1) / 4)
    step("link", 1, 1)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


def test_time_left_follows_from_the_pace():
    now = [0.0]
    meter = ProgressMeter(clock=lambda: now[0])
    meter.update(Progress("predict", 0, 40))
    assert "left" not in meter.text
    now[0] = 10.0
    meter.update(Progress("predict", 10, 40))
    assert meter.text == "Segmenting · 10 of 40 tiles · 30 s left"
    meter.update(Progress("predict", 40, 40))
    assert "left" not in meter.text


def test_an_unknown_stage_is_shown_but_moves_nothing():
    meter = ProgressMeter()
    meter.update(Progress("polish", 1, 2))
    assert (meter.fraction, meter.text) == (0.0, "Polish · 1 of 2")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (59.5, "60 s"),
        (61, "2 min"),
        (3599, "1 h 0 min"),
        (7260, "2 h 1 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds, text):
    assert format_seconds(seconds) == text


def test_sizes_read_as_people_say_them():
    assert describe_size(24.26, 0.325) == "24.3 px (7.88 µm)"
    assert describe_size(1312.4, None) == "1312 px"
    assert size_note(None, None, None) == "Estimated from the image at each run."
    assert size_note(20.0, None, 0.5) == ""
