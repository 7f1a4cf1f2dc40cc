"""The tools of the Correct panel: one button for each, and what the chosen one does."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_seg.gui import shortcuts
from napari_seg.gui.correction.tools import Tool
from napari_seg.gui.panels.fields import SPACING_PX, wrapping_policy
from napari_seg.gui.panels.keys import KeyButton
from napari_seg.gui.panels.rows import button_grid

_TOOLS = {
    Tool.OBJECT: (
        "Object",
        shortcuts.OBJECT,
        "Drag over the object; Shift+drag over what does not belong. Enter keeps it.",
    ),
    Tool.SPLIT: (
        "Split",
        shortcuts.SPLIT,
        "Draw one stroke on each part of an object. Enter splits it between them.",
    ),
    Tool.MERGE: (
        "Join",
        shortcuts.MERGE,
        "Draw a line across objects that are one. They join when you let go.",
    ),
    Tool.DELETE: (
        "Delete",
        shortcuts.DELETE,
        "Click an object, or drag a rectangle: all it touches are deleted.",
    ),
    Tool.LOCK: (
        "Lock",
        shortcuts.LOCK,
        "Click an object that is right: no tool changes it then. Again unlocks it.",
    ),
    Tool.PICK: (
        "Pick",
        shortcuts.PICK,
        "Click an object to work on it. Ctrl+click does the same in every tool.",
    ),
}
_NO_TOOL = "Choose a tool. napari's own brush, fill and eraser share the same undo."


class ToolBox(QWidget):
    """Chooses a tool; pressing the chosen one again puts it down."""

    requested = Signal(object)
    """The user pressed the button of a `Tool`, or its key."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons = {
            tool: KeyButton(word, key) for tool, (word, key, _) in _TOOLS.items()
        }
        for tool, button in self.buttons.items():
            button.setCheckable(True)
            button.setMinimumHeight(28)
            button.clicked.connect(partial(self._on_clicked, tool))
        self.help = QLabel()
        self.help.setWordWrap(True)
        self.help.setSizePolicy(wrapping_policy())
        # Two lines always: the buttons below must not move under the mouse.
        self.help.setMinimumHeight(2 * self.help.fontMetrics().lineSpacing() + 4)
        self._tool: Tool | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(button_grid(list(self.buttons.values()), 3))
        column.addWidget(self.help)
        self.set_tool(None)

    def set_tool(self, tool: Tool | None) -> None:
        """Show which tool is on; does not emit."""
        self._tool = tool
        for own, button in self.buttons.items():
            button.setChecked(own is tool)
        self.help.setText(_NO_TOOL if tool is None else _TOOLS[tool][2])

    def _on_clicked(self, tool: Tool) -> None:
        # Which tool is on is the controller's to say.
        self.set_tool(self._tool)
        self.requested.emit(tool)
