"""Rows of a panel: a label, an editor, and room for a word about it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_seg.gui.forms import tooltip

LABEL_WIDTH_PX = 84
SPACING_PX = 6


def mark_invalid(widget: QWidget, is_invalid: bool) -> None:
    """Give a widget the colour of the theme for wrong input, or take it away."""
    if bool(widget.property("invalid")) == is_invalid:
        return
    widget.setProperty("invalid", is_invalid)
    style = widget.style()
    style.unpolish(widget)
    style.polish(widget)


def wrapping_policy() -> QSizePolicy:
    """Return the policy of a label that takes the width it gets and grows down."""
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    policy.setHeightForWidth(True)
    return policy


def note_label(text: str = "") -> QLabel:
    """Make a wrapping line in the muted colour of the theme."""
    label = QLabel(text)
    label.setWordWrap(True)
    # napari's style sheet draws labels with this property in muted text.
    label.setProperty("invalid-msg", "true")
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    label.setSizePolicy(wrapping_policy())
    label.setVisible(bool(text))
    return label


class Field:
    """One row of a `FieldGrid`.

    Parameters
    ----------
    label : QLabel
        Names the field.
    editor : QWidget
        What the user changes.
    note : QLabel
        Says something about the value, or what is wrong with it.
    holder : QWidget
        Has editor and note in it.
    """

    def __init__(
        self, label: QLabel, editor: QWidget, note: QLabel, holder: QWidget
    ) -> None:
        self._label = label
        self._editor = editor
        self._note = note
        self._holder = holder
        self._info = ""
        self._problem = ""

    def set_info(self, text: str) -> None:
        """Say something about the value."""
        self._info = text
        self._show_note()

    def set_problem(self, text: str) -> None:
        """Say what is wrong; empty if nothing is. A problem covers the info."""
        self._problem = text
        mark_invalid(self._editor, bool(text))
        self._show_note()

    def set_visible(self, is_visible: bool) -> None:
        """Show or hide the whole row."""
        self._label.setVisible(is_visible)
        self._holder.setVisible(is_visible)

    def _show_note(self) -> None:
        text = f"⚠ {self._problem}" if self._problem else self._info
        self._note.setText(text)
        self._note.setVisible(bool(text))


class FieldGrid(QWidget):
    """Rows with aligned labels, for a dock 320 pixels wide.

    Parameters
    ----------
    docs : dict of str to str
        Tooltip for each field name.
    """

    def __init__(self, docs: dict[str, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._docs = docs
        self._fields: dict[str, Field] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(SPACING_PX)
        self._grid.setVerticalSpacing(SPACING_PX)
        self._grid.setColumnMinimumWidth(0, LABEL_WIDTH_PX)
        self._grid.setColumnStretch(1, 1)

    def add(
        self, name: str, text: str, editor: QWidget, *, within: QWidget | None = None
    ) -> Field:
        """Add a row; `name` finds its tooltip and its problem.

        Parameters
        ----------
        name, text : str
            Of the field, and on its label.
        editor : QWidget
            What the user changes.
        within : QWidget, optional
            Holds the editor and other things, and fills the row in its place.
        """
        row = self._grid.rowCount()
        label = QLabel(text)
        label.setBuddy(editor)
        note = note_label()
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(within or editor)
        column.addWidget(note)
        top = Qt.AlignmentFlag.AlignTop
        self._grid.addWidget(label, row, 0, top | Qt.AlignmentFlag.AlignLeft)
        self._grid.addWidget(holder, row, 1)
        # The label stands in the middle of its editor, not of editor and note.
        label.setMinimumHeight(editor.sizeHint().height())
        if name in self._docs:
            label.setToolTip(tooltip(self._docs[name]))
            editor.setToolTip(tooltip(self._docs[name]))
        self._fields[name] = Field(label, editor, note, holder)
        return self._fields[name]

    def set_problems(self, problems: dict[str, str]) -> None:
        """Mark the fields named; all others are well."""
        for name, field in self._fields.items():
            field.set_problem(problems.get(name, ""))
