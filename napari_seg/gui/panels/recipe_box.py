"""Save recipe: how the labels were made, for other images."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLabel, QVBoxLayout, QWidget

from napari_seg.gui import shortcuts
from napari_seg.gui.panels.fields import SPACING_PX, note_label, wrapping_policy
from napari_seg.gui.panels.keys import KeyButton

_TEXT = (
    "Model, thresholds, refinement and export of the selected labels as a small file: "
    "<code>napari-seg run recipe.yaml images/ --out labels/</code> does the same to "
    "other images."
)


class RecipeBox(QWidget):
    """Emits where a recipe is to be saved."""

    save_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        text = QLabel(_TEXT)
        text.setWordWrap(True)
        text.setSizePolicy(wrapping_policy())
        self.save = KeyButton("Save recipe…", shortcuts.SAVE_RECIPE)
        self.note = note_label()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        for widget in (text, self.save, self.note):
            column.addWidget(widget)
        self.save.clicked.connect(lambda _: self._ask_where_to())

    def set_note(self, text: str) -> None:
        """Say what was saved, or what keeps it from being saved."""
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _ask_where_to(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the recipe", "recipe.yaml", "Recipes (*.yaml)"
        )
        if path:
            self.save_requested.emit(path)
