"""What was done in the window, done again by the command line, to the last bit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from psygnal import Signal

sys.path.insert(0, str(Path(__file__).parent / "gui"))
from fakes import FakePanel, pump_until

from napari_seg.data.io import read_labels, write_labels
from napari_seg.data.samples import read_sample
from napari_seg.errors import CheckpointError, FormatError
from napari_seg.gui.controller import SegmentController
from napari_seg.gui.engine import Engine
from napari_seg.gui.jobs import Jobs
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.recipes import EXPORT_KEY, REFINED_KEY, RecipeController
from napari_seg.gui.refine.engine import RefineEngine, RefineTask
from napari_seg.imaging.agreement import agreement
from napari_seg.imaging.axes import PlaneIndex
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.recipe import Recipe, check_model, read_recipe, write_recipe
from napari_seg.inference.relabel import Place
from napari_seg.models.checkpoint import load_model
from napari_seg.refine.crf import CRF_PRESETS, CrfParams
from napari_seg.state import JobState, RefineScope, Remembered
from napari_seg.types import run as drain


class FakeBox:
    save_requested = Signal(str)

    def __init__(self) -> None:
        self.note = ""

    def set_note(self, text: str) -> None:
        self.note = text


class Session:
    """The Segment panel with the real core, without Qt."""

    def __init__(self, folder: Path) -> None:
        self.viewer, self.jobs, self.panel = ViewerModel(), Jobs(), FakePanel()
        self.segmenter = SegmentController(
            self.viewer,
            self.panel,
            Engine(),
            self.jobs,
            Remembered(folder / "settings.json"),
        )
        self.box = FakeBox()
        self.recipes = RecipeController(self.viewer, self.box, self.segmenter)

    def rest(self) -> None:
        pump_until(
            self.jobs,
            lambda: (
                not self.segmenter.status.state.is_active
                and not self.jobs._running
                and "derive" not in self.jobs._timed
                and not self.jobs._slices
            ),
        )

    @property
    def layer(self) -> Any:
        return self.viewer.layers[-1]

    def refine(self, params: CrfParams) -> None:
        """Do what Apply does: with the core of the Refine section."""
        layer = self.layer
        request = self.segmenter.settings.snapshot()
        rows, columns = layer.data.shape
        place = Place(PlaneIndex(), (slice(0, rows), slice(0, columns)))
        kept = layer.metadata[METADATA_KEY]["segmentation"]
        task = RefineTask(kept, layer.data, params, request, place)
        engine = RefineEngine()
        for edit in drain(engine.iter_apply(task, RefineScope.PLANE)):
            layer.data_setitem(edit.indices, edit.after)
        engine.close()
        steps = len(layer._undo_history)
        layer.metadata[METADATA_KEY][REFINED_KEY] = params, True, steps


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "cells.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.asarray(read_sample("nuclei").array)[:150, :170])
    return path


@pytest.fixture
def session(tmp_path: Path, image: Path) -> Any:
    made = Session(tmp_path)
    made.viewer.add_image(tifffile.imread(image), name="cells")
    yield made
    made.recipes.close()
    made.segmenter.close()


@pytest.mark.slow
def test_the_command_line_repeats_the_window_bit_by_bit(
    session: Session, image: Path, tmp_path: Path, run: Any
) -> None:
    # The user looks at a corner, from which the tiles are computed first.
    session.viewer.scene.camera.center = (20, 20)
    session.panel.run_requested.emit()
    session.rest()
    assert session.segmenter.status.state is JobState.DONE
    session.panel.threshold_requested.emit(0.31)
    session.panel.min_size_requested.emit(40)
    session.rest()
    tuned = session.layer.data.copy()
    session.refine(CRF_PRESETS["nuclei"] if "nuclei" in CRF_PRESETS else CrfParams())
    session.layer.metadata[METADATA_KEY][EXPORT_KEY] = "tiff-pairs"
    assert tuned.max() > 5
    assert not np.array_equal(tuned, session.layer.data)
    session.box.save_requested.emit(str(tmp_path / "recipe.yaml"))
    assert session.box.note.startswith("How cells nuclei-unet was made is in")
    done = run("run", tmp_path / "recipe.yaml", image, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    found = read_labels(tmp_path / "out" / "cells.tif").array
    np.testing.assert_array_equal(found, session.layer.data)
    items = json.loads((tmp_path / "out/tiff-pairs/dataset.json").read_text())["pairs"]
    assert items[0]["provenance"]["model"] == "nuclei-unet"
    # Without the refinement, which was taken back, it is what was tuned.
    while session.layer._undo_history:
        session.layer.undo()
    session.box.save_requested.emit(str(tmp_path / "second.yaml"))
    assert read_recipe(tmp_path / "second.yaml").refine is None
    done = run("run", tmp_path / "second.yaml", image, "--out", tmp_path / "o2")
    np.testing.assert_array_equal(read_labels(tmp_path / "o2/cells.tif").array, tuned)
    # Nothing is overwritten by the export.
    again = run("run", tmp_path / "recipe.yaml", image, "--out", tmp_path / "out")
    assert again.code == 2
    assert "is there already" in again.err


def test_labels_nobody_knows_the_origin_of_have_no_recipe(
    session: Session, tmp_path: Path
) -> None:
    session.box.save_requested.emit(str(tmp_path / "r.yaml"))
    assert "no labels that a network made" in session.box.note
    session.viewer.add_labels(np.zeros((9, 9), int), name="mine")
    session.box.save_requested.emit(str(tmp_path / "r.yaml"))
    assert "mine, opened or drawn by hand" in session.box.note
    assert not (tmp_path / "r.yaml").exists()


maybe = st.none() | st.floats(0.01, 1)
segment_params = st.builds(
    SegmentParams,
    axes=st.none() | st.sampled_from(["YX", "ZCYX"]),
    channel=st.none() | st.integers(0, 4),
    diameter_px=st.none() | st.floats(1, 500),
    tile_px=st.integers(64, 512),
    tta=st.sampled_from(["none", "flips", "all"]),
    threshold=maybe,
    seed_threshold=maybe,
    min_size_px=st.floats(0, 1e4),
    link_z=st.booleans(),
)


@given(
    segment_params,
    st.none() | st.builds(CrfParams, iterations=st.integers(0, 9)),
    st.sampled_from([None, "coco"]),
)
def test_a_recipe_reads_back_as_it_was(
    tmp_path_factory: Any, params: Any, crf: Any, export: Any
) -> None:
    path = tmp_path_factory.mktemp("recipes") / "r.yaml"
    recipe = Recipe("my model", params, "abc", crf, export)
    write_recipe(path, recipe)
    assert read_recipe(path) == recipe


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("napari_seg_recipe: 1", "napari_seg_recipe: 9"), "no line napari_seg_recipe"),
        (("threshold: 0.5", "threshold: yes"), "threshold is True"),
        (("threshold: 0.5", "thresholt: 0.5"), "unknown: thresholt"),
        (("tile_px: 256", "tile_px: !!python/object/apply:os.getcwd []"), "python"),
        (("- segment:", "- sement:"), "the step 'sement'"),
        (("model: m", "model: 3"), "no words"),
        (("link_z: true", "link_z: 1"), "link_z is 1"),
        (("steps:", "stops:"), "no step segment"),
    ],
)
def test_what_is_no_recipe_is_refused_and_nothing_is_run(
    tmp_path: Path, change: tuple[str, str], what: str
) -> None:
    path = tmp_path / "r.yaml"
    write_recipe(path, Recipe("m", SegmentParams(threshold=0.5)))
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(FormatError, match=what):
        read_recipe(path)


def test_another_model_of_the_same_name_is_refused() -> None:
    model = load_model("nuclei-unet")
    check_model(Recipe("nuclei-unet"), model)
    check_model(Recipe("nuclei-unet", checkpoint_sha256=model.sha256), model)
    with pytest.raises(CheckpointError, match="not the one of the recipe"):
        check_model(Recipe("nuclei-unet", checkpoint_sha256="0" * 64), model)


def annotated() -> tuple[np.ndarray, np.ndarray]:
    """Return two annotators' labels: one object alike, one in part, one missing."""
    first, second = np.zeros((2, 20, 40), np.int32)
    first[2:8, 2:8] = 5
    second[2:8, 2:8] = 1
    first[2:8, 12:18] = 6
    second[2:8, 12:21] = 2
    first[12:18, 2:8] = 7
    return first, second


def test_agreement_of_two_annotators_by_hand() -> None:
    found = agreement(*annotated())
    assert [(p.first, p.second) for p in found.pairs] == [(7, None), (6, 2), (5, 1)]
    assert [p.dice for p in found.pairs] == pytest.approx([0, 2 * 36 / (36 + 54), 1])
    assert found.as_dict()["ap_0.50"] == pytest.approx(2 / 3)
    assert found.as_dict()["objects_both"] == 2
    assert found.metrics.panoptic_quality == pytest.approx((1 + 36 / 54) / 2.5)
    assert found.dice == pytest.approx(1.8 / 3)
    assert found.matched_dice == pytest.approx(0.9)


def test_agreement_does_not_depend_on_who_is_first() -> None:
    a, b = annotated()
    one, other = agreement(a, b), agreement(b, a)
    for key in ("ap_0.50", "mean_ap", "pq", "dice_per_object", "dice_of_pixels"):
        assert one.as_dict()[key] == pytest.approx(other.as_dict()[key])
    nothing = agreement(0 * a, 0 * a)
    assert (nothing.dice, nothing.matched_dice) == (1.0, 1.0)


def test_agreement_from_the_command_line(tmp_path: Path, run: Any) -> None:
    for name, labels in zip("ab", annotated(), strict=True):
        write_labels(tmp_path / name / "x.tif", labels, "YX")
    shown = run("evaluate", "--agreement", tmp_path / "a", tmp_path / "b")
    assert shown.code == 0
    assert "Dice per object of both, mean" in shown.out
    assert "7     none  0.0000" in shown.out
    plain = run("evaluate", "--agreement", tmp_path / "a", tmp_path / "b", "--json")
    (image,) = json.loads(plain.out)["images"]
    assert image["objects"][0] == [7, None, 0.0]
    write_labels(tmp_path / "b" / "x.tif", annotated()[0][:9], "YX")
    wrong = run("evaluate", "--agreement", tmp_path / "a", tmp_path / "b")
    assert wrong.code == 2
    assert "(20, 40) and (9, 40)" in wrong.err
