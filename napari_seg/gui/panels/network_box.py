"""The choice of a network to train from scratch, with a picture of it."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_seg.gui.forms import tooltip
from napari_seg.gui.panels.choices import combo_box, fill_combo
from napari_seg.gui.panels.fields import SPACING_PX
from napari_seg.gui.panels.sketch import SketchView


class NetworkBox(QWidget):
    """A list of architectures and the structure of the chosen one."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.combo = combo_box()
        # All at once: they are compared.
        self.combo.setMaxVisibleItems(24)
        self.sketch = SketchView()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(self.combo)
        column.addWidget(self.sketch)
        self.setFocusProxy(self.combo)
        self.combo.currentIndexChanged.connect(
            lambda _: self.chosen.emit(self.combo.currentData())
        )

    def set_networks(
        self, networks: Sequence[tuple[str, str, str]], current: str
    ) -> None:
        """List architectures as text, name, and what they are good at."""
        items = [(text, name) for text, name, _ in networks]
        fill_combo(self.combo, items, current)
        for number, (*_, about) in enumerate(networks):
            role = Qt.ItemDataRole.ToolTipRole
            self.combo.setItemData(number, tooltip(about), role)
        self.sketch.set_name(current)
