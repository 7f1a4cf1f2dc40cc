"""What was done to labels in the window, written down as a recipe.

No Qt: the box is anything with its signal and setter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels

from napari_seg.errors import LabelsError, NapariSegError
from napari_seg.gui.correction.history import steps_done
from napari_seg.gui.faults import explained
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.own_layers import is_labels
from napari_seg.inference.params import SegmentParams
from napari_seg.inference.recipe import Recipe, write_recipe
from napari_seg.refine.crf import CrfParams
from napari_seg.state import Scope

EXPORT_KEY = "exported_as"
REFINED_KEY = "refined"
"""In the layer's own metadata: the format; and parameters, whether all was refined,
and the steps of undo there were then."""


class RecipeController:
    """Saves how the chosen labels were made.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    box : RecipeBox
        Or anything with its signal and setter.
    segmenter : SegmentController
        Knows how labels were made.
    """

    def __init__(self, viewer: ViewerModel, box: Any, segmenter: Any) -> None:
        self._viewer = viewer
        self._box = box
        self._segmenter = segmenter
        box.save_requested.connect(self.save)

    def close(self) -> None:
        """Save no more."""
        self._box.save_requested.disconnect(self.save)

    def save(self, path: str) -> None:
        """Write the recipe of the selected labels, else of the topmost with one."""
        try:
            layer = self._layer()
            recipe = self.recipe_of(layer)
            write_recipe(Path(path), recipe)
        except (NapariSegError, OSError) as error:
            self._box.set_note(f"⚠ {explained(error)[0]}")
            return
        said = [f"How {layer.name} was made is in {path}.", *recipe.notes]
        self._box.set_note(" ".join(said))

    def recipe_of(self, layer: Labels) -> Recipe:
        """Return how labels were made, with notes on what a recipe cannot repeat.

        Raises
        ------
        LabelsError
            If no network made them in this session.
        """
        request = self._segmenter.request_of(layer)
        if request is None:
            raise LabelsError(
                "It is not known how these labels were made",
                f"{layer.name}, opened or drawn by hand",
                "Select labels that a network made since the window was opened",
            )
        own = layer.metadata.get(METADATA_KEY, {})
        refined, notes = _refinement(layer, own)
        advanced = request.advanced
        if request.scope is not Scope.IMAGE:
            notes.append(
                f"Made of: {request.scope.value}; a recipe takes whole images."
            )
        return Recipe(
            request.model,
            SegmentParams(
                axes=request.axes or None,
                channel=request.channel,
                diameter_px=request.diameter_px,
                tile_px=advanced.tile_px,
                batch=advanced.batch,
                tta=advanced.tta,
                threshold=request.threshold,
                seed_threshold=advanced.seed_threshold,
                min_size_px=request.min_size_px,
                link_z=advanced.link_z,
            ),
            str(own.get("provenance", {}).get("sha256", "")),
            refined,
            own.get(EXPORT_KEY),
            tuple(notes),
        )

    def _layer(self) -> Labels:
        active = self._viewer.layers.selection.active
        candidates = [x for x in reversed(self._viewer.layers) if is_labels(x)]
        known = [x for x in candidates if self._segmenter.request_of(x) is not None]
        if active in candidates:
            return active
        if not known:
            raise LabelsError(
                "There are no labels that a network made",
                remedy="Run one on the Segment tab first",
            )
        return known[0]


def _refinement(
    layer: Labels, own: dict[str, Any]
) -> tuple[CrfParams | None, list[str]]:
    """Return the refinement that still holds, and what is not in the recipe."""
    params, is_whole, then = own.get(REFINED_KEY, (None, False, 0))
    steps = steps_done(layer)
    if params is not None and steps < then:
        params = None  # it was taken back
    notes = []
    if params is not None and not is_whole:
        notes.append("Only a part was refined; a recipe refines all, or nothing.")
        params = None
    by_hand = steps - then if params is not None else steps
    by_hand += max(then - 1, 0) if params is not None else 0
    if by_hand > 0:
        notes.append(
            f"{by_hand} correction{'s' * (by_hand != 1)} by hand are not in it: they "
            "are of this image."
        )
    return params, notes
