"""The mouse on the canvas of a real viewer, as pixels of a labels layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from mouse import Mouse

from napari_seg.gui.correction.gesture import Gesture, StrokeInput
from napari_seg.gui.correction.tools import Tool

pytestmark = pytest.mark.gui


class Desk:
    """A viewer with a labels layer, a mouse, and what the input said."""

    def __init__(self, viewer, labels, **kwargs):
        self.viewer = viewer
        self.labels = viewer.add_labels(labels, **kwargs)
        self.updates: list[Gesture] = []
        self.releases: list[Gesture] = []
        self.messages: list[str] = []
        self.lost = 0
        self.radii: list[float] = []
        self.input = StrokeInput(
            viewer,
            self.labels,
            self.updates.append,
            self.releases.append,
            on_message=self.messages.append,
            on_lost=self._on_lost,
            on_brush=self.radii.append,
        )
        self.mouse = Mouse(viewer, self.labels)

    def _on_lost(self):
        self.lost += 1

    @property
    def camera(self):
        camera = self.viewer.scene.camera
        return (*camera.center, camera.zoom, *camera.angles)


@pytest.fixture
def make_desk(make_napari_viewer, qtbot) -> Callable[..., Desk]:
    desks: list[Desk] = []

    def make(labels: np.ndarray | None = None, **kwargs) -> Desk:
        viewer = make_napari_viewer(show=True)
        data = np.zeros((40, 60), np.int32) if labels is None else labels
        desks.append(Desk(viewer, data, **kwargs))
        qtbot.wait(50)
        return desks[-1]

    yield make
    for desk in desks:
        desk.input.close()


def mask_of(gesture: Gesture) -> np.ndarray:
    mask = np.zeros(gesture.shape, bool)
    mask[tuple(gesture.points.T)] = True
    return mask


def test_a_drag_is_a_line_without_gaps_as_thick_as_the_brush(make_desk):
    desk = make_desk()
    desk.input.set_radius(2.5)
    desk.input.set_tool(Tool.OBJECT)
    before = desk.camera
    desk.mouse.drag([(10, 10), (10, 50), (30, 50)])
    (stroke,) = desk.releases
    mask = mask_of(stroke)
    assert mask[10, 10:51].all()
    assert mask[10:31, 50].all()
    assert mask[8:13, 30].tolist() == [True] * 5
    assert not mask[7, 30]
    assert not mask[13, 30]
    assert stroke.is_final
    assert not stroke.is_click
    assert stroke.modifiers == frozenset()
    assert np.allclose(stroke.path[0], (10, 10), atol=0.6)
    assert desk.camera == before


def test_updates_come_while_dragging_and_grow(make_desk):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.press((10, 10))
    assert len(desk.updates) == 1
    for x in range(14, 40, 2):
        desk.mouse.move((10, x))
    sizes = [len(gesture.points) for gesture in desk.updates]
    assert len(sizes) > 3
    assert sizes == sorted(sizes)
    assert not any(gesture.is_final for gesture in desk.updates)
    assert not desk.releases
    desk.mouse.release((10, 40))
    assert len(desk.releases[0].points) > sizes[-1]


def test_what_waits_for_its_turn_is_sent_when_the_mouse_rests(make_desk, qtbot):
    desk = make_desk()
    desk.input.set_tool(Tool.OBJECT)
    desk.mouse.press((10, 10))
    desk.mouse.move((10, 30))
    qtbot.waitUntil(lambda: bool(mask_of(desk.updates[-1])[10, 30]), timeout=2000)
    desk.mouse.release((10, 30))
