"""Next to correct, driven without Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import pump_until
from napari.components import ViewerModel
from napari.layers import Labels
from psygnal import Signal
from test_correct_controller import FakePanel as CorrectFakePanel

from napari_seg.gui.correction.controller import CorrectController
from napari_seg.gui.jobs import Job, Jobs
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.review.controller import ReviewController
from napari_seg.gui.training.marks import toggle_plane
from napari_seg.inference.result import Segmentation
from napari_seg.offload import Offload
from napari_seg.state import Remembered
from napari_seg.types import Progress


class FakeStrip:
    """Has the signals of the strip, and remembers what it was told."""

    step_requested = Signal(int)
    accept_requested = Signal()
    plane_requested = Signal()
    image_requested = Signal()
    rank_requested = Signal()
    measure_requested = Signal(str)

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}
        self.notes: list[str] = [""]

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("set_"):
            raise AttributeError(name)

        def set_(*values: Any) -> None:
            self.shown[name[4:]] = values
            if name == "set_note":
                self.notes.append(values[0])

        return set_

    @property
    def note(self) -> str:
        return self.notes[-1]


class FakeSegmenter:
    """Mirrors without a network: the labels without one object."""

    run_ended = Signal(object)

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.missed = 0
        self.fails = False

    def can_mirror(self, layer: Labels) -> bool:
        return "segmentation" in layer.metadata.get(METADATA_KEY, {})

    def iter_mirrored(self, layer: Labels) -> Any:
        labels = np.asarray(layer.data)
        yield Progress("mirror", 1, 2, message="Mirrored run 1 of 2")
        if self.fails:
            raise ValueError("no such thing")
        return [np.where(labels == self.missed, 0, labels)]

    def start_network_job(self, job: Job) -> Job:
        return self.jobs.start(job)


class Bench:
    """A viewer, the correction and the review of its labels."""

    def __init__(self, folder: Path) -> None:
        self.viewer = ViewerModel()
        self.strip = FakeStrip()
        self.jobs, self.network_jobs, correct_jobs = Jobs(), Jobs(), Jobs()
        self.all_jobs = [self.jobs, self.network_jobs, correct_jobs]
        self.segmenter = FakeSegmenter(self.network_jobs)
        self.path = folder / "settings.json"
        self.reported: list[BaseException] = []
        self.panel = CorrectFakePanel()
        remembered = Remembered(self.path)
        self.corrector = CorrectController(
            self.viewer, self.panel, correct_jobs, Offload(), remembered
        )
        self.review = ReviewController(
            self.viewer,
            self.strip,
            self.corrector,
            self.segmenter,
            self.jobs,
            remembered,
            report=self.reported.append,
        )

    def open(
        self, labels: np.ndarray, doubt: dict[int, float] | None = None, **kwargs: Any
    ) -> Labels:
        """Open labels; the network gave the pixels of each object 1 - doubt."""
        name = kwargs.pop("name", "ids")
        self.viewer.add_image(np.zeros(labels.shape), name=f"{name} image", **kwargs)
        layer = self.viewer.add_labels(labels, name=name, **kwargs)
        if doubt is not None:
            predict(layer, doubt)
            self.corrector.look_again()
            self.segmenter.run_ended.emit(None)
        self.rest()
        return layer

    def next(self, way: int = 1) -> str:
        self.strip.step_requested.emit(way)
        self.rest()
        return self.strip.note

    @property
    def object_id(self) -> int:
        return self.corrector.desk.object_id

    @property
    def centre(self) -> tuple[float, ...]:
        return tuple(self.viewer.scene.camera.center[-2:])

    def rest(self) -> None:
        for _ in range(3):
            for jobs in self.all_jobs:
                pump_until(jobs, lambda jobs=jobs: not jobs.is_busy)


def predict(layer: Labels, doubt: dict[int, float]) -> None:
    """Put probabilities beside labels, as a run does."""
    labels = layer.data
    foreground = np.zeros(labels.shape, np.float32)
    for object_id, value in doubt.items():
        foreground[labels == object_id] = 1 - value
    axes = "TZYX"[-labels.ndim :]
    kept = Segmentation(
        labels,
        ("background", "interior"),
        axes,
        10.0,
        {"parameters": {}},
        np.stack([1 - foreground, foreground]),
    )
    image = f"{layer.name} image"
    layer.metadata[METADATA_KEY] = {"segmentation": kept, "axes": axes, "image": image}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.review.close()
    made.corrector.close()
    made.network_jobs.close()


def row_of_objects(shape: tuple[int, ...] = (40, 200)) -> np.ndarray:
    """Return four squares, ids 1 to 4 from left to right."""
    labels = np.zeros(shape, np.int32)
    for number in range(4):
        labels[..., 10:20, 20 + 40 * number : 30 + 40 * number] = number + 1
    return labels


DOUBT = {1: 0.1, 2: 0.5, 3: 0.05, 4: 0.3}
"""So the order is 2, 4, 1, 3."""


def test_next_goes_from_the_most_doubtful_object_to_the_least(bench) -> None:
    bench.open(row_of_objects(), DOUBT)
    assert bench.strip.shown["measures"][1] == "entropy"
    assert bench.next() == "Object 2 · doubt 1.00 · 1 of 4"
    assert bench.object_id == 2
    assert not bench.corrector.desk.is_new
    assert bench.centre == pytest.approx((14.5, 64.5))
    seen = [bench.object_id]
    while bench.next().startswith("Object"):
        seen.append(bench.object_id)
    assert seen == [2, 4, 1, 3]
    assert bench.strip.note == "Nothing is left in this order. Rank begins anew."
    bench.next(-1)
    assert bench.object_id == 1


def test_back_from_the_first_stays_there(bench) -> None:
    bench.open(row_of_objects(), DOUBT)
    bench.next()
    assert bench.next(-1) == "Nothing more doubtful is left."
    assert bench.object_id == 2


def test_locked_changed_and_deleted_objects_are_passed_over(bench) -> None:
    layer = bench.open(row_of_objects(), DOUBT)
    bench.next()
    bench.corrector.desk.toggle_lock(4)
    bench.rest()
    layer.data[layer.data == 1] = 0
    layer.data[9, 140:150] = 3
    layer.data[20, 100:110] = 3
    assert bench.next() == (
        "Nothing is left in this order (1 locked, 2 changed since). Rank begins anew."
    )
    assert bench.object_id == 2


def test_an_edit_that_is_undone_brings_the_object_back(bench) -> None:
    layer = bench.open(row_of_objects(), DOUBT)
    bench.next()
    bench.corrector.desk.pick(4, (15, 145))
    bench.panel.delete_requested.emit()
    bench.rest()
    assert not (layer.data == 4).any()
    bench.panel.undo_requested.emit()
    bench.next()
    assert bench.object_id == 4


def test_accept_locks_the_object_and_goes_on(bench) -> None:
    layer = bench.open(row_of_objects(), DOUBT)
    bench.next()
    bench.strip.accept_requested.emit()
    bench.rest()
    assert layer.metadata[METADATA_KEY]["locked"] == [2]
    assert bench.object_id == 4
    bench.next(-1)
    assert bench.object_id == 4  # what is locked is not offered again


def test_accept_without_an_object_says_so(bench) -> None:
    bench.open(row_of_objects(), DOUBT)
    bench.strip.accept_requested.emit()
    bench.rest()
    assert bench.strip.note == "Select an object first, or press Next."
    assert not bench.corrector.desk.locks.ids


def test_the_order_stays_until_asked_or_predicted_anew(bench) -> None:
    layer = bench.open(row_of_objects(), DOUBT)
    bench.next()
    order = bench.review.order
    bench.next()
    assert bench.review.order is order
    bench.strip.rank_requested.emit()
    bench.rest()
    assert bench.review.order is not order
    assert bench.object_id == 2  # begins with the most doubtful
    predict(layer, {1: 0.5, 2: 0.01, 3: 0.05, 4: 0.02})
    assert bench.review.order is None
    bench.next()
    assert bench.object_id == 1


def test_each_layer_has_an_order_of_its_own(bench) -> None:
    first = bench.open(row_of_objects(), DOUBT)
    bench.next()
    bench.next()
    bench.open(row_of_objects(), {1: 0.4, 2: 0.1, 3: 0.2, 4: 0.3}, name="other")
    bench.next()
    assert bench.object_id == 1
    bench.viewer.layers.selection.active = first
    bench.rest()
    bench.next()
    assert (bench.corrector.desk.target.layer, bench.object_id) == (first, 1)


def test_mirrored_runs_rank_by_what_they_miss(bench) -> None:
    bench.open(row_of_objects(), DOUBT)
    bench.segmenter.missed = 3
    bench.strip.measure_requested.emit("mirror")
    assert bench.next() == "Object 3 · doubt 1.00 · 1 of 4"
    assert "Mirrored run 1 of 2 · 50%" in bench.strip.notes
    assert bench.strip.shown["busy"] == (False,)
    bench.review.close()
    assert Remembered(bench.path).part("review") == {"measure": "mirror"}


def test_a_stopped_ranking_leaves_the_order(bench) -> None:
    bench.open(row_of_objects(), DOUBT)
    bench.strip.rank_requested.emit()
    assert bench.strip.shown["busy"] == (True,)
    bench.strip.rank_requested.emit()
    bench.rest()
    assert bench.review.order is None
    assert bench.strip.shown["busy"] == (False,)
    assert bench.strip.note == "Stopped; the order is as it was."


def test_a_ranking_that_fails_says_why(bench) -> None:
    bench.open(row_of_objects(), DOUBT)
    bench.strip.measure_requested.emit("mirror")
    bench.segmenter.fails = True
    assert "no such thing" in bench.next()
    assert len(bench.reported) == 1
    assert bench.strip.shown["busy"] == (False,)


def test_neighbours_that_touch_come_first(bench) -> None:
    labels = np.zeros((40, 120), np.int32)
    labels[5:15, 5:15], labels[20:30, 40:50], labels[20:30, 50:60] = 1, 2, 3
    bench.open(labels)
    bench.strip.measure_requested.emit("close")
    bench.next()
    assert bench.object_id in (2, 3)


def test_other_labels_of_the_image_are_a_measure(bench) -> None:
    layer = bench.open(row_of_objects())
    own = [("Odd size or shape", "odd"), ("Border weights", "close")]
    assert bench.strip.shown["measures"] == (own, "odd")
    other = np.where(row_of_objects() == 4, 0, row_of_objects())
    bench.viewer.add_labels(other, name="second model")
    bench.viewer.add_labels(np.zeros((5, 5), int), name="elsewhere")
    bench.viewer.layers.selection.active = layer
    bench.rest()
    items, chosen = bench.strip.shown["measures"]
    assert list(items) == [
        ("Differs from second model", "layer:second model"),
        *own,
    ]
    assert chosen == "layer:second model"
    bench.next()
    assert bench.object_id == 4


def test_labels_that_are_removed_end_their_ranking(bench) -> None:
    layer = bench.open(row_of_objects(), DOUBT)
    bench.strip.measure_requested.emit("mirror")
    bench.strip.step_requested.emit(1)
    bench.viewer.layers.remove(layer)
    assert bench.strip.note == "Stopped: the labels were removed (ids)."
    bench.rest()
    assert bench.strip.note == "Stopped: the labels were removed (ids)."
    assert bench.strip.shown["offers"] == (False, False, False)
    bench.next()  # and nothing happens


def test_an_object_of_a_stack_is_shown_in_its_worst_plane(bench) -> None:
    labels = row_of_objects((5, 40, 200))
    layer = bench.open(labels, DOUBT, scale=(3.0, 0.5, 0.5))
    kept = layer.metadata[METADATA_KEY]["segmentation"]
    kept.network_probabilities[:, 3][:, labels[3] == 1] = 0.5
    kept.network_probabilities[:, 2][:, labels[2] == 2] = 0.5
    bench.next()
    assert bench.object_id == 2
    assert bench.viewer.dims.current_step[0] == 0  # all its planes are alike
    bench.next()
    bench.next()
    assert bench.object_id == 1
    assert bench.viewer.dims.current_step[0] == 3
    assert bench.centre == pytest.approx((7.25, 12.25))


def test_planes_are_offered_until_they_are_called_correct(bench) -> None:
    labels = row_of_objects((4, 40, 200))
    layer = bench.open(labels, dict.fromkeys(range(1, 5), 0.02))
    assert bench.strip.shown["offers"] == (True, True, False)
    kept = layer.metadata[METADATA_KEY]["segmentation"]
    for plane, value in ((2, 0.5), (0, 0.3), (3, 0.1)):
        kept.network_probabilities[:, plane][:, labels[plane] > 0] = [
            [value],
            [1 - value],
        ]
    toggle_plane(layer, (0,))
    seen = []
    for _ in range(3):
        bench.strip.plane_requested.emit()
        bench.rest()
        seen.append(bench.viewer.dims.current_step[0])
    assert seen == [2, 3, 1]
    assert bench.strip.note == "Plane 1 · doubt 0.14 · 4 of 4"
    bench.strip.plane_requested.emit()
    assert bench.strip.note == "That was the last plane. Rank begins anew."


def test_of_several_images_the_most_doubtful_comes_first(bench) -> None:
    sure = bench.open(row_of_objects(), dict.fromkeys(range(1, 5), 0.01), name="sure")
    unsure = bench.open(
        row_of_objects(), dict.fromkeys(range(1, 5), 0.4), name="unsure"
    )
    bench.viewer.layers.selection.active = sure
    bench.rest()
    assert bench.strip.shown["offers"] == (True, False, True)
    bench.strip.image_requested.emit()
    bench.rest()
    assert bench.corrector.desk.target.layer is unsure
    visible = {x.name: x.visible for x in bench.viewer.layers}
    assert visible == {
        "sure image": False,
        "sure": False,
        "unsure image": True,
        "unsure": True,
    }
    assert bench.strip.note.endswith("1 of 2")
    assert bench.centre == pytest.approx((19.5, 99.5))
    _, width = bench.viewer.canvas.size
    assert bench.viewer.scene.camera.zoom == pytest.approx(0.95 * width / 200, rel=0.01)
    bench.strip.image_requested.emit()
    bench.rest()
    assert bench.corrector.desk.target.layer is sure


def test_a_tiny_object_is_brought_near_and_a_large_one_is_not(bench) -> None:
    bench.open(row_of_objects(), DOUBT)
    camera = bench.viewer.scene.camera
    camera.zoom = 0.5
    bench.next()
    assert camera.zoom == pytest.approx(0.15 * 600 / 10)
    before = camera.zoom
    bench.next()
    assert camera.zoom == before
