"""Settings, their snapshot, and what is remembered: no Qt, no napari."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from napari_seg.state import (
    Advanced,
    JobState,
    Remembered,
    ReviewSettings,
    Scope,
    SegmentSettings,
    from_stored,
)


@pytest.fixture
def remembered(tmp_path):
    return Remembered(tmp_path / "folder" / "settings.json")


def test_settings_tell_what_changed():
    settings = SegmentSettings()
    heard = []
    settings.events.threshold.connect(heard.append)
    settings.threshold = 0.7
    settings.threshold = 0.7
    assert heard == [0.7]


def test_snapshot_is_frozen_and_does_not_follow():
    settings = SegmentSettings(threshold=0.4, scope=Scope.FIELD)
    request = settings.snapshot()
    settings.threshold = 0.9
    assert (request.threshold, request.scope) == (0.4, Scope.FIELD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.threshold = 1.0


def test_tunables_are_what_needs_no_network():
    settings = SegmentSettings()
    before = settings.snapshot().tunables()
    settings.model, settings.diameter_px, settings.scope = "x", 12.0, Scope.PLANE
    assert settings.snapshot().tunables() == before
    settings.advanced = Advanced(seed_threshold=0.9)
    assert settings.snapshot().tunables() != before


@pytest.mark.parametrize("state", list(JobState))
def test_only_running_and_cancelling_are_active(state):
    assert state.is_active == (state.name in ("RUNNING", "CANCELLING"))


def test_what_was_stored_is_restored(remembered):
    advanced = Advanced(tile_px=128, batch=4, seed_threshold=0.3, link_z=False)
    settings = SegmentSettings(model="own", device="cpu", advanced=advanced)
    remembered.store(settings)
    again = SegmentSettings()
    remembered.restore(again)
    assert (again.model, again.device, again.advanced) == ("own", "cpu", advanced)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1, 2]", b"null", b"\xff\xfe\x00", b'{"advanced": 3, "model": 7}'],
)
def test_a_damaged_file_reads_as_nothing(remembered, content):
    remembered.path.parent.mkdir()
    remembered.path.write_bytes(content)
    settings = SegmentSettings()
    remembered.restore(settings)
    assert settings == SegmentSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tile_px", 0),
        ("tile_px", 10**9),
        ("tile_px", "256"),
        ("tile_px", True),
        ("batch", -1),
        ("seed_threshold", 1.5),
        ("link_z", 1),
        ("tta", "sideways"),
        ("tta", 4),
    ],
)
def test_one_senseless_value_does_not_spoil_the_others(remembered, name, value):
    remembered.path.parent.mkdir()
    good = {
        "tile_px": 512,
        "batch": 2,
        "seed_threshold": 0.4,
        "link_z": False,
        "tta": "flips",
    }
    remembered.path.write_text(json.dumps({"advanced": good | {name: value}}))
    settings = SegmentSettings()
    remembered.restore(settings)
    kept = dataclasses.asdict(settings.advanced)
    assert kept.pop(name) == getattr(Advanced(), name)
    assert kept == {key: good[key] for key in kept}


def test_a_crash_while_storing_leaves_the_old_file(remembered, monkeypatch):
    remembered.store(SegmentSettings(model="old"))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    remembered.store(SegmentSettings(model="new"))
    assert json.loads(remembered.path.read_text())["model"] == "old"
    assert [file.name for file in remembered.path.parent.iterdir()] == ["settings.json"]


def test_state_needs_neither_qt_nor_napari_nor_torch():
    code = (
        "import sys, napari_seg.state;"
        "bad = {'qtpy', 'PyQt5', 'PyQt6', 'napari', 'torch'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("stored", "measure"),
    [
        ({"measure": "mirror"}, "mirror"),
        ({"measure": 3}, "entropy"),
        (None, "entropy"),
    ],
)
def test_stored_words_are_taken_and_nonsense_is_not(stored, measure):
    assert from_stored(ReviewSettings, stored).measure == measure
