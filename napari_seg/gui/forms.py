"""Forms and tooltips out of dataclasses: the text stands once, under the field."""

from __future__ import annotations

import ast
import html
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any, Generic, TypeVar, cast

from magicgui.widgets import create_widget
from magicgui.widgets.bases import ValueWidget

Params = TypeVar("Params")


def field_docs(cls: type) -> dict[str, str]:
    """Return the docstring under each field of a dataclass, on one line.

    Parameters
    ----------
    cls : type
        A class whose source can be read.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    assert isinstance(tree.body[0], ast.ClassDef)
    body = tree.body[0].body
    docs = {}
    for statement, following in pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs


def tooltip(text: str) -> str:
    """Mark a text as rich, because Qt wraps only rich tooltips."""
    return f"<qt>{html.escape(text)}</qt>"


class ParamsForm(Generic[Params]):
    """Magicgui editors for a frozen dataclass, to be put into rows of a panel.

    Parameters
    ----------
    params : dataclass instance
        The first value; its type tells the fields.
    ranges : mapping of str to (min, max)
        For the numbers.
    captions : mapping of str to str
        The text of a tick, which stands beside it.
    choices : mapping of str to sequence of (str, str), optional
        For words: what is shown, and the value.
    on_change : callable
        Takes the new dataclass instance after an edit by the user.
    """

    def __init__(
        self,
        params: Params,
        *,
        ranges: Mapping[str, tuple[float, float]],
        captions: Mapping[str, str],
        on_change: Callable[[Params], None],
        choices: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    ) -> None:
        self._params = cast("Any", params)
        self._on_change = on_change
        self.docs = field_docs(type(params))
        self._editors = {
            f.name: _editor(
                f.name, getattr(params, f.name), ranges, captions, choices or {}
            )
            for f in fields(self._params)
        }
        for editor in self._editors.values():
            editor.changed.connect(self._on_changed)

    def native(self, name: str) -> Any:
        """Return the Qt widget that edits a field."""
        return self._editors[name].native

    def set_params(self, params: Params) -> None:
        """Show other values without calling `on_change`."""
        self._params = params
        for name, editor in self._editors.items():
            with editor.changed.blocked():
                editor.value = getattr(params, name)

    def _on_changed(self) -> None:
        values = {name: editor.value for name, editor in self._editors.items()}
        self._params = replace(self._params, **values)
        self._on_change(self._params)


def _editor(
    name: str,
    value: Any,
    ranges: Mapping[str, tuple[float, float]],
    captions: Mapping[str, str],
    choices: Mapping[str, Sequence[tuple[str, str]]],
) -> ValueWidget:
    """Make the widget for one field; its type follows from the value's."""
    options: dict[str, Any] = {}
    if name in ranges:
        options["min"], options["max"] = ranges[name]
        options["step"] = 0.05 if isinstance(value, float) else 1
    if name in choices:
        options["choices"] = list(choices[name])
    if name in captions:
        options["text"] = captions[name]
    editor = create_widget(
        value=value, annotation=type(value), name=name, options=options
    )
    assert isinstance(editor, ValueWidget)
    return editor
