"""A folder segmented from the window by the engine of the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from fakes import FakeEngine, FakePanel, pump_until
from napari.components import ViewerModel
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox

from napari_seg.gui import shortcuts
from napari_seg.gui.batch.controller import BatchController
from napari_seg.gui.batch.rows import BatchRow, RowState
from napari_seg.gui.controller import SegmentController
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.panels.batch import BatchPanel
from napari_seg.state import JobState, Remembered

SIGNALS = (
    "folder", "pattern", "out", "measure", "model", "run", "anew", "pause", "cancel",
    "open",
)  # fmt: skip


class FakeBatchPanel:
    """Has the panel's signals, and remembers the last call of every setter."""

    shown = Signal()
    folder_requested = Signal(str)
    pattern_requested = Signal(str)
    out_requested = Signal(str)
    measure_requested = Signal(bool)
    model_requested = Signal(str)
    run_requested = Signal()
    anew_requested = Signal()
    pause_requested = Signal()
    cancel_requested = Signal()
    open_requested = Signal(str)

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.rows: dict[str, BatchRow] = {}
        self.pictures: set[str] = set()
        self.progress: list[tuple[float, str]] = []
        self.on_row: Callable[[BatchRow], None] = lambda _: None

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("set_"):
            raise AttributeError(name)
        return lambda *args: self.told.update({name[4:]: args})

    def set_rows(self, rows: Any) -> None:
        self.rows = {row.name: row for row in rows}

    def set_row(self, row: BatchRow) -> None:
        self.rows[row.name] = row
        self.on_row(row)

    def set_thumbnail(self, name: str, picture: np.ndarray) -> None:
        self.pictures.add(name)

    def set_progress(self, share: float, text: str) -> None:
        self.progress.append((share, text))

    @property
    def status(self) -> str:
        return str(self.told["status"][0])

    def states(self) -> str:
        return " ".join(row.state.value for row in self.rows.values())


class Session:
    def __init__(self, settings: Path, model: Path) -> None:
        self.viewer, self.panel = ViewerModel(), FakeBatchPanel()
        self.jobs = [Jobs() for _ in range(3)]
        remembered = Remembered(settings)
        self.segmenter = SegmentController(
            self.viewer, FakePanel(), FakeEngine(), self.jobs[0], remembered
        )
        self.segmenter.settings.model = str(model)
        self.segmenter.settings.diameter_px = 16.0
        self.reported: list[BaseException] = []
        self.controller = BatchController(
            self.viewer,
            self.panel,
            self.segmenter,
            self.jobs[1],
            self.jobs[2],
            remembered,
            self.reported.append,
        )

    def wait(self, condition: Callable[[], bool] | None = None) -> None:
        class All:
            pump = staticmethod(lambda: [jobs.pump() for jobs in self.jobs])

        quiet = list(self.jobs[1:])
        pump_until(All, condition or (lambda: not any(j._running for j in quiet)), 60)

    def choose(self, folder: Path) -> None:
        self.panel.folder_requested.emit(str(folder))
        self.wait()

    def run(self) -> None:
        self.panel.run_requested.emit()
        self.wait()

    def close(self) -> None:
        self.controller.close()
        self.segmenter.close()


@pytest.fixture
def begin(tmp_path: Path, model: Path) -> Iterator[Callable[[], Session]]:
    made: list[Session] = []

    def make() -> Session:
        made.append(Session(tmp_path / "settings.json", model))
        return made[-1]

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(begin: Callable[[], Session]) -> Session:
    return begin()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write four images with 0 to 2 bright squares, in two folders."""
    for number, name in enumerate(("x/a", "x/b", "y/a", "y/c")):
        image = np.full((48, 64), 10, np.uint8)
        for square in range(number % 3):
            image[8:24, 2 + 20 * square : 18 + 20 * square] = 200
        path = tmp_path / "plate" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {"unit": "um", "axes": "YX"}
        tifffile.imwrite(path, image, imagej=True, metadata=about, resolution=(2, 2))
    return tmp_path / "plate"


def record(folder: Path) -> dict[str, Any]:
    path = folder.with_name("plate-segmented") / "run.json"
    return json.loads(path.read_text())["files"]


def test_all_images_are_segmented_measured_and_recorded(
    session: Session, folder: Path
) -> None:
    session.choose(folder)
    assert session.panel.states() == "waiting waiting waiting waiting"
    assert session.panel.pictures == {"x/a", "x/b", "y/a", "y/c"}
    session.panel.measure_requested.emit(True)
    session.run()
    out = folder.with_name("plate-segmented")
    found = {name: row.objects for name, row in session.panel.rows.items()}
    assert found == {"x/a": 0, "x/b": 1, "y/a": 2, "y/c": 0}
    assert {name: e["objects"] for name, e in record(folder).items()} == found
    assert tifffile.imread(out / "y/a.tif").max() == 2
    with (out / "objects-counts.csv").open(newline="") as file:
        counts = {row["image"]: row["objects"] for row in csv.DictReader(file)}
    assert counts == {name: str(n) for name, n in found.items()}
    assert session.panel.progress[-1] == (1.0, "4 of 4 images done")
    shares = [share for share, _ in session.panel.progress]
    assert shares == sorted(shares)
    assert session.panel.told["state"] == (JobState.DONE, False, True, 0)
    assert session.reported == []


def test_a_record_that_cannot_be_read_can_be_forgotten(
    session: Session, folder: Path
) -> None:
    out = folder.with_name("plate-segmented")
    out.mkdir()
    (out / "run.json").write_text("{")
    session.choose(folder)
    assert session.panel.states() == "waiting waiting waiting waiting"
    assert "cannot read" in session.panel.told["status"][0]
    assert session.panel.told["state"][2] is True  # so that she can begin anew
    session.run()
    assert "cannot read" in session.panel.told["status"][0]
    assert (out / "run.json").read_text() == "{"
    session.panel.anew_requested.emit()
    session.wait()
    assert session.panel.states() == "done done done done"


def test_what_fails_is_named_and_done_once_it_is_mended(
    session: Session, folder: Path
) -> None:
    whole = (folder / "x/b.tif").read_bytes()
    (folder / "x/b.tif").write_bytes(whole[:40])
    session.choose(folder)
    session.run()
    assert session.panel.states() == "done failed done done"
    assert "b.tif" in session.panel.rows["x/b"].error
    assert session.panel.status == "1 image failed. Go on tries again."
    (folder / "x/b.tif").write_bytes(whole)
    before = record(folder)
    session.run()
    assert session.panel.states() == "done done done done"
    assert session.panel.rows["y/a"].objects == 2
    after = record(folder)
    assert [n for n in after if after[n] != before[n]] == ["x/b"]


def test_a_cancelled_run_goes_on_in_the_next_session(
    begin: Callable[[], Session], folder: Path
) -> None:
    session = begin()
    session.choose(folder)
    session.panel.on_row = lambda row: (
        session.panel.cancel_requested.emit() if row.state is RowState.DONE else None
    )
    session.run()
    assert session.controller.state is JobState.CANCELLED
    assert session.panel.states().startswith("done")
    assert "waiting" in session.panel.states()
    session.close()
    again = begin()
    assert again.controller.settings.folder == str(folder)
    again.panel.shown.emit()
    again.wait()
    assert again.panel.states() == session.panel.states()
    assert again.panel.told["state"][2]
    again.run()
    assert again.panel.states() == "done done done done"


def test_it_goes_on_as_it_was_begun_whatever_the_window_shows_now(
    begin: Callable[[], Session], folder: Path
) -> None:
    session = begin()
    session.choose(folder)
    session.segmenter.settings.diameter_px = 18.0
    session.segmenter.settings.threshold = 0.6
    session.panel.on_row = lambda row: (
        session.panel.cancel_requested.emit() if row.state is RowState.DONE else None
    )
    session.run()
    session.close()
    again = begin()
    again.panel.shown.emit()
    again.wait()
    again.segmenter.settings.diameter_px = None  # as a window opens
    assert again.segmenter.settings.threshold == 0.5
    again.run()
    assert again.panel.states() == "done done done done"


def test_a_paused_run_rests(session: Session, folder: Path) -> None:
    session.choose(folder)
    session.panel.on_row = lambda row: session.panel.pause_requested.emit()
    session.panel.run_requested.emit()
    session.wait(lambda: session.panel.rows["x/a"].state is not RowState.WAITING)
    session.panel.on_row = lambda row: None
    # What was on its way may still come; then nothing does.
    for _ in range(30):
        session.jobs[1].pump()
    resting = session.panel.states()
    assert session.panel.progress[-1][1].endswith("paused")
    for _ in range(30):
        session.jobs[1].pump()
    assert session.panel.states() == resting
    assert session.panel.told["state"][1]
    session.panel.pause_requested.emit()
    session.wait()
    assert session.panel.states() == "done done done done"


def test_other_settings_are_refused_until_the_run_begins_anew(
    session: Session, folder: Path
) -> None:
    session.choose(folder)
    session.run()
    session.segmenter.settings.threshold = 0.9
    session.run()
    assert session.controller.state is JobState.FAILED
    assert "threshold 0.5, now 0.9" in session.panel.status
    assert session.panel.status.endswith("Begin anew.")
    assert "--" not in session.panel.status
    session.panel.anew_requested.emit()
    session.wait()
    assert session.panel.states() == "done done done done"
    assert session.reported == []


def test_only_files_of_the_pattern_are_done(session: Session, folder: Path) -> None:
    session.choose(folder)
    session.panel.pattern_requested.emit("y/*")
    session.wait()
    assert list(session.panel.rows) == ["a", "c"]
    session.panel.pattern_requested.emit("*.png")
    session.wait()
    assert list(session.panel.rows) == []
    assert "no image is called" in session.panel.status
    session.panel.run_requested.emit()
    assert session.controller.state is JobState.IDLE


def test_files_that_no_run_made_are_not_written_over_unseen(
    session: Session, folder: Path
) -> None:
    own = folder.with_name("plate-segmented") / "x/b.tif"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"by hand")
    session.choose(folder)
    assert session.panel.status.startswith("⚠ 1 of the labels exist already")


def test_a_pair_is_opened_with_its_scale(session: Session, folder: Path) -> None:
    session.choose(folder)
    session.panel.open_requested.emit("y/a")
    session.wait()
    assert [layer.name for layer in session.viewer.layers] == ["y/a"]
    assert session.panel.status == "y/a has no labels yet."
    session.viewer.layers.clear()
    session.run()
    session.panel.open_requested.emit("y/a")
    session.wait(lambda: len(session.viewer.layers) == 2)
    image, labels = session.viewer.layers
    assert labels.data.max() == 2
    assert labels.name == "y/a labels"
    for layer in (image, labels):
        np.testing.assert_allclose(layer.scale, 0.5)


def test_model_and_settings_are_those_of_the_segment_tab(session: Session) -> None:
    session.panel.model_requested.emit("other-unet")
    assert session.segmenter.settings.model == "other-unet"
    assert session.panel.told["models"] == (["nuclei-unet", "other-unet"], "other-unet")
    session.segmenter.settings.threshold = 0.7
    session.segmenter.settings.diameter_px = None
    (text,) = session.panel.told["summary"]
    assert text == "Object size estimated, threshold 0.70, as on the Segment tab"


@pytest.fixture
def panel(qtbot: Any) -> BatchPanel:
    made = BatchPanel()
    qtbot.addWidget(made)
    made.resize(320, 800)
    made.show()
    made.set_place("/data/plate", "**/*", "/data/plate-segmented")
    made.set_models(["a", "b"], "a")
    made.set_rows(rows())
    made.set_state(JobState.IDLE, False, False, 3)
    return made


def rows() -> list[BatchRow]:
    states = RowState.DONE, RowState.FAILED, RowState.WAITING
    errors = "", "two.tif is damaged. Copy it again.", ""
    names = "one", "two", "three"
    return [
        BatchRow(n, Path(f"/data/{n}.tif"), Path(f"/out/{n}.tif"), s, 7, e)
        for n, s, e in zip(names, states, errors, strict=True)
    ]


@pytest.fixture
def heard(panel: BatchPanel) -> list[Any]:
    requests: list[Any] = []
    for name in SIGNALS:
        signal = getattr(panel, f"{name}_requested")
        signal.connect(lambda *value, name=name: requests.append((name, *value)))
    return requests


def test_setters_emit_nothing(panel: BatchPanel, heard: list[Any]) -> None:
    panel.set_place("/x", "*.tif", "/y")
    panel.set_measure(True)
    panel.set_models(["m"], "m")
    panel.set_rows(rows()[:1])
    panel.set_row(rows()[2])
    panel.set_thumbnail("one", np.zeros((5, 5, 3), np.uint8))
    panel.set_state(JobState.RUNNING, False, True, 1)
    panel.set_progress(0.5, "half")
    assert heard == []
    assert panel.table.rows.rowCount() == 2


def test_buttons_are_those_that_make_sense(
    panel: BatchPanel, heard: list[Any], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter((QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes))
    monkeypatch.setattr(QMessageBox, "question", lambda *_: next(answers))

    def visible() -> list[str]:
        buttons = panel.run, panel.anew, panel.pause, panel.cancel
        return [b.text().split("  ")[0] for b in buttons if b.isVisible()]

    assert visible() == ["Run"]
    qtbot.mouseClick(panel.run, Qt.MouseButton.LeftButton)
    panel.set_state(JobState.RUNNING, False, True, 2)
    assert visible() == ["Pause", "Cancel"]
    assert not panel.grid.isEnabled()
    qtbot.mouseClick(panel.pause, Qt.MouseButton.LeftButton)
    panel.set_state(JobState.RUNNING, True, True, 2)
    assert visible() == ["Go on", "Cancel"]
    qtbot.mouseClick(panel.cancel, Qt.MouseButton.LeftButton)
    panel.set_state(JobState.CANCELLING, False, True, 2)
    assert not panel.cancel.isEnabled()
    panel.set_state(JobState.CANCELLED, False, True, 2)
    assert visible() == ["Go on", "Begin anew"]
    qtbot.mouseClick(panel.anew, Qt.MouseButton.LeftButton)
    assert heard[-1] == ("cancel",)
    qtbot.mouseClick(panel.anew, Qt.MouseButton.LeftButton)
    panel.set_state(JobState.DONE, False, True, 0)
    assert not panel.run.isEnabled()
    assert heard == [("run",), ("pause",), ("cancel",), ("anew",)]


def test_errors_are_read_in_full_and_a_pair_is_asked_for(
    panel: BatchPanel, heard: list[Any], qtbot: Any
) -> None:
    # Nobody need look for the failed one.
    assert panel.error.text() == "two.tif is damaged. Copy it again."
    panel.table.selectRow(0)
    assert not panel.error.isVisible()
    panel.table.selectRow(1)
    assert panel.error.isVisible()
    place = panel.table.visualRect(panel.table.rows.index(2, 0)).center()
    view = panel.table.viewport()
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseDClick(view, Qt.MouseButton.LeftButton, pos=place)
    assert heard == [("open", "three")]
    panel.set_row(rows()[0].__class__("two", Path("/a"), Path("/b"), RowState.DONE, 3))
    panel.table.selectRow(1)
    assert panel.error.text() == ""


def test_fields_ask_once(panel: BatchPanel, heard: list[Any], qtbot: Any) -> None:
    panel.pattern.selectAll()
    qtbot.keyClicks(panel.pattern, "*.tif")
    qtbot.keyClick(panel.pattern, Qt.Key.Key_Return)
    panel.set_place("/data/plate", "*.tif", "/out")
    panel.pattern.editingFinished.emit()
    panel.model.setCurrentIndex(1)
    panel.measure.click()
    assert heard == [("pattern", "*.tif"), ("model", "b"), ("measure", True)]


def test_every_field_and_button_says_what_it_is(panel: BatchPanel) -> None:
    for widget in (
        panel.pattern, panel.model, panel.measure, panel.choose, panel.change,
        panel.run, panel.anew, panel.pause, panel.cancel,
    ):  # fmt: skip
        assert len(widget.toolTip()) > 20
    shown = {b.shortcut_info for b in (panel.run, panel.pause, panel.cancel)}
    assert shown == set(shortcuts.BATCH)
