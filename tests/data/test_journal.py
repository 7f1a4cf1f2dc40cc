import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seg.data import journal as module
from napari_seg.data.autosaves import autosave_dir, find_unsaved, new_folder, purge
from napari_seg.data.journal import Journal
from napari_seg.data.journal_about import About, read_about
from napari_seg.data.recovery import count_edits, recover
from napari_seg.errors import FormatError


def start(folder, labels, **fields):
    about = replace(About.of(labels, "cells"), **fields)
    journal = Journal(folder, about)
    journal.begin(labels)
    return journal


def edit(journal, labels, box, value):
    labels[box] = value
    journal.append(box, labels)
    journal.flush()


BOX = (slice(2, 5), slice(1, 4))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint16])
@pytest.mark.parametrize("fill", [0, 7])
def test_edits_come_back_exactly(tmp_path, dtype, fill):
    labels = np.full((9, 8), fill, dtype)
    journal = start(tmp_path, labels, placed={"scale": [0.5, 0.25]}, image="dapi")
    edit(journal, labels, BOX, 3)
    edit(journal, labels, (slice(0, 3), slice(0, 2)), 0)
    found = recover(tmp_path)
    assert found.labels.dtype == dtype
    np.testing.assert_array_equal(found.labels, labels)
    assert found.edits == 2
    assert found.about.placed == {"scale": [0.5, 0.25]}
    assert (found.about.name, found.about.image) == ("cells", "dapi")
    assert time.time() - found.changed < 60
    # Labels that were empty need no copy.
    assert bool(found.about.base) == bool(fill)


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_edits_with_any_compactions(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("journal")
    labels = np.zeros((4, 6, 5), np.int32)
    journal = start(folder, labels)
    for value in range(1, data.draw(st.integers(1, 8)) + 1):
        box = []
        for size in labels.shape:
            low = data.draw(st.integers(0, size - 1))
            box.append(slice(low, data.draw(st.integers(low + 1, size))))
        edit(journal, labels, tuple(box), value)
        if data.draw(st.booleans()):
            journal.compact(labels)
    np.testing.assert_array_equal(recover(folder).labels, labels)
    files = {path.name for path in folder.iterdir()}
    about = read_about(folder)
    assert files - set(about.records) == {"about.json"} | ({about.base} - {""})


def test_an_edit_made_while_the_base_is_written_is_not_lost(tmp_path, monkeypatch):
    labels = np.ones((4, 6), np.int32)
    journal = start(tmp_path, labels)
    real = module._new_base

    def meanwhile(*args):
        labels[1, 2] = 9  # after the base was begun, before this plane is copied
        return real(*args)

    monkeypatch.setattr(module, "_new_base", meanwhile)
    journal.compact(labels)
    journal.append((slice(1, 2), slice(2, 3)), labels)
    journal.flush()
    np.testing.assert_array_equal(recover(tmp_path).labels, labels)


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_record_that_was_cut_short_is_left_out(tmp_path, cut):
    labels = np.zeros((9, 8), np.int32)
    journal = start(tmp_path, labels)
    edit(journal, labels, BOX, 3)
    expected = labels.copy()
    edit(journal, labels, (slice(0, 9), slice(0, 8)), 4)
    file = tmp_path / journal.about.records[-1]
    file.write_bytes(file.read_bytes()[:-cut])
    found = recover(tmp_path)
    np.testing.assert_array_equal(found.labels, expected)
    assert found.edits == 1


def test_after_a_write_that_failed_half_way_the_next_ones_are_read(
    tmp_path, monkeypatch
):
    labels = np.zeros((9, 8), np.int32)
    journal = start(tmp_path, labels)
    edit(journal, labels, BOX, 3)

    def fail(_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", fail)
        labels[BOX] = 4
        journal.append(BOX, labels)
        file = tmp_path / journal.about.records[-1]
        size = file.stat().st_size
        for _ in range(3):
            with pytest.raises(OSError, match="disk full"):
                journal.flush()
        # Nothing torn is left, which would hide what is written after it.
        assert file.stat().st_size == size
    edit(journal, labels, BOX, 5)
    np.testing.assert_array_equal(recover(tmp_path).labels, labels)


def test_a_base_that_could_not_be_written_leaves_nothing(tmp_path, monkeypatch):
    labels = np.ones((4, 6), np.int32)
    journal = start(tmp_path, labels)
    edit(journal, labels, (slice(0, 2), slice(0, 2)), 3)

    def fail(path, about):
        path.mkdir()
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_new_base", fail)
        with pytest.raises(OSError, match="disk full"):
            journal.compact(labels)
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1
    edit(journal, labels, (slice(2, 3), slice(2, 3)), 4)
    np.testing.assert_array_equal(recover(tmp_path).labels, labels)


def test_a_flipped_bit_ends_the_journal_and_harms_nothing_before_it(tmp_path):
    labels = np.zeros((9, 8), np.int32)
    journal = start(tmp_path, labels)
    edit(journal, labels, BOX, 3)
    expected = labels.copy()
    edit(journal, labels, BOX, 4)
    file = tmp_path / journal.about.records[-1]
    content = bytearray(file.read_bytes())
    content[-3] ^= 4
    file.write_bytes(content)
    np.testing.assert_array_equal(recover(tmp_path).labels, expected)


def test_an_edit_takes_few_bytes(tmp_path):
    labels = np.zeros((64, 256, 256), np.int32)
    journal = start(tmp_path, labels)
    box = (slice(10, 20), slice(30, 80), slice(30, 80))
    noise = np.random.default_rng(0).integers(0, 2**31, (10, 50, 50))
    labels[box] = noise
    journal.append(box, labels)
    journal.flush()
    size = (tmp_path / journal.about.records[-1]).stat().st_size
    assert size < 1.05 * labels[box].nbytes


def test_a_long_journal_is_compacted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "COMPACT_BYTES", 500)
    labels = np.zeros((9, 8), np.int32)
    journal = start(tmp_path, labels)
    assert not journal.is_long
    for value in range(1, 12):
        edit(journal, labels, BOX, value)
    assert journal.is_long
    journal.compact(labels)
    assert not journal.is_long
    assert count_edits(tmp_path)[0] == 0
    np.testing.assert_array_equal(recover(tmp_path).labels, labels)


def test_before_the_first_base_is_whole_only_the_edits_are_known(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    labels = np.ones((4, 6), np.int32)
    monkeypatch.setattr(module, "_new_base", fail)
    with pytest.raises(OSError, match="disk full"):
        start(tmp_path, labels)
    assert read_about(tmp_path).is_partial


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"name": 3}', "base", "version", "size"],
)
def test_what_is_no_journal_is_refused(tmp_path, content):
    labels = np.zeros((4, 6), np.int32)
    start(tmp_path, labels)
    about = json.loads((tmp_path / "about.json").read_text())
    damage = {"base": "../../etc", "version": 99, "shape": [10**6, 10**6]}
    if content in ("base", "version"):
        content = json.dumps(about | {content: damage[content]})
    elif content == "size":
        content = json.dumps(about | {"shape": damage["shape"]})
    (tmp_path / "about.json").write_text(content)
    with pytest.raises(FormatError):
        read_about(tmp_path)


def gone(folder, labels, values=(1,)):
    """Leave a journal of a process that is not there any more."""
    journal = start(folder, labels, pid_began=1.0)
    for value in values:
        edit(journal, labels, BOX, value)
    return journal


def test_only_journals_of_gone_processes_with_edits_are_offered(tmp_path):
    labels = np.zeros((9, 8), np.int32)
    live = start(new_folder(tmp_path), labels)
    edit(live, labels, BOX, 2)
    gone(new_folder(tmp_path), labels, values=())
    left = gone(new_folder(tmp_path), labels, values=(1, 2, 3))
    (tmp_path / "notes").mkdir()
    (found,) = find_unsaved(tmp_path)
    assert found.folder == left.folder
    assert str(found).startswith("3 edits to cells, ")


def test_old_and_too_many_journals_are_removed_and_live_ones_kept(tmp_path):
    labels = np.random.default_rng(0).integers(0, 9, (64, 64)).astype(np.int32)
    live = start(new_folder(tmp_path), labels)
    edit(live, labels, BOX, 2)
    older, newer = (gone(new_folder(tmp_path), labels) for _ in range(2))
    assert purge(tmp_path) == []
    size = sum(p.stat().st_size for p in newer.folder.rglob("*") if p.is_file())
    assert purge(tmp_path, max_bytes=size + 100) == [older.folder]
    assert purge(tmp_path, max_days=-1) == [newer.folder]
    assert live.folder.is_dir()


def test_the_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SEG_AUTOSAVE", str(tmp_path))
    assert autosave_dir() == tmp_path


KILLING = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from napari_seg.data import journal as module
from napari_seg.data.autosaves import find_unsaved
from napari_seg.data.journal import Journal
from napari_seg.data.journal_about import About
from napari_seg.data.recovery import recover

module.COMPACT_BYTES = 3000  # so that many are killed while a new base is written
root = Path(sys.argv[1])
rng = random.Random(0)

def state(count):
    labels = np.full((6, 40, 40), 5, np.int32)
    for k in range(count):
        z, y, x = k % 6, 7 * k % 30, 11 * k % 30
        labels[z, y : y + 10, x : x + 10] = k + 1
    return labels

def write(folder, out):
    labels = state(0)
    journal = Journal(folder, About.of(labels, "cells"))
    journal.begin(labels)
    os.write(out, b"0\\n")
    for k in range(10_000):
        z, y, x = k % 6, 7 * k % 30, 11 * k % 30
        box = slice(z, z + 1), slice(y, y + 10), slice(x, x + 10)
        labels[box] = k + 1
        journal.append(box, labels)
        journal.flush()
        os.write(out, b"%d\\n" % (k + 1))
        if journal.is_long:
            journal.compact(labels)

most = 0
for turn in range(50):
    folder = root / str(turn)
    read, out = os.pipe()
    pid = os.fork()
    if not pid:
        write(folder, out)
    os.close(out)
    time.sleep(rng.uniform(0.02, 0.25))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    said = os.read(read, 1 << 20).split()
    os.close(read)
    if not said:
        continue  # killed before the first base was whole
    safe = int(said[-1])
    found = recover(folder)
    # What was said to be safe is there; one more edit may be.
    assert any(np.array_equal(found.labels, state(n)) for n in (safe, safe + 1)), turn
    assert not found.about.is_partial
    most = max(most, safe)
print("most", most)
"""


@pytest.mark.slow
def test_killed_at_fifty_moments_no_flushed_edit_is_lost(tmp_path):
    script = tmp_path / "killing.py"
    script.write_text(KILLING)
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 3
