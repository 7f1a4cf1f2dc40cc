"""One labels layer and its journal."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_seg.data.autosaves import new_folder
from napari_seg.data.journal import Journal
from napari_seg.data.journal_about import About
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.weights.changes import LabelsWatch
from napari_seg.imaging.slabs import Box, whole
from napari_seg.types import Progress


class Follower:
    """Collects where a layer was edited, and writes that down when told to.

    Parameters
    ----------
    layer : Labels
        In memory: what is on disk already is written there by each edit.
    on_edit : callable
        Called after each edit; must be quick.
    """

    def __init__(self, layer: Labels, on_edit: Callable[[], None]) -> None:
        self.layer = layer
        self.journal: Journal | None = None
        self._on_edit = on_edit
        self._boxes: list[Box] = []
        self._data = layer.data
        self._watch = LabelsWatch(
            layer,
            on_box=lambda _: None,  # a dab of a stroke that is not over
            on_step=self._on_step,
            on_doubt=self._on_doubt,
        )

    @property
    def is_behind(self) -> bool:
        """Whether there is something to write."""
        has_pending = self.journal is not None and self.journal.is_behind
        return bool(self._boxes) or has_pending

    @property
    def has_edits(self) -> bool:
        """Whether anything was edited."""
        return self.journal is not None or bool(self._boxes)

    def close(self) -> None:
        """Let go of the layer; the journal stays."""
        self._watch.close()

    def take_all(self) -> None:
        """Have all of the layer written, e.g. labels that were just recovered."""
        self._boxes.append(whole(self.layer.data))
        self._on_edit()

    def iter_write(self, root: Path) -> Generator[Progress, None, None]:
        """Write what was edited; for a thread.

        Raises
        ------
        OSError
            If the disk is full or cannot be written; what was to be written is kept
            for another time.
        """
        yield Progress("autosave", 0, 1)
        # Nothing is given up from here on: closing the generator loses nothing.
        labels = self._data
        if self.journal is None:
            journal = Journal(new_folder(root), _about(self.layer, labels))
            try:
                journal.begin(labels)
            except OSError:
                journal.discard()  # or each edit would fill the disk with another
                raise
            self.journal = journal
        while self._boxes:
            self.journal.append(self._boxes[0], labels)
            del self._boxes[0]
        self.journal.flush()
        if self.journal.is_long:
            self.journal.compact(labels)

    def _on_step(self, boxes: list[Box]) -> None:
        self._boxes += boxes
        self._on_edit()

    def _on_doubt(self) -> None:
        """Begin anew where the layer got other data; a slider changes nothing."""
        if self.layer.data is self._data:
            return
        self._data = self.layer.data
        if self.journal is not None or self._boxes:
            # Other labels, perhaps of another shape. The old journal stays, as
            # nobody knows whether they were replaced on purpose.
            self.journal, self._boxes = None, []
            self.take_all()


def can_follow(layer: Labels) -> bool:
    """Whether a layer's labels would be lost with the program."""
    return isinstance(layer.data, np.ndarray) and not isinstance(layer.data, np.memmap)


def _about(layer: Labels, labels: np.ndarray) -> About:
    image = layer.metadata.get(METADATA_KEY, {}).get("image", "")
    return About.of(labels, layer.name, str(image), placement(layer))


def placement(layer: Labels) -> dict[str, Any]:
    """Return what puts a layer in its place, as plain numbers and words."""
    return {
        "scale": np.asarray(layer.scale).tolist(),
        "translate": np.asarray(layer.translate).tolist(),
        "rotate": np.asarray(layer.rotate).tolist(),
        "shear": np.asarray(layer.shear).tolist(),
        "affine": np.asarray(layer.affine.affine_matrix).tolist(),
        "units": [str(unit) for unit in layer.units],
        "axis_labels": list(layer.axis_labels),
    }
