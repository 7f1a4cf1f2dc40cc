"""The plugin's keys, against napari's."""

from __future__ import annotations

from napari.utils.shortcuts import default_shortcuts

from napari_seg.gui import shortcuts
from napari_seg.gui.shortcuts import ALL, Shortcut

MENU_KEYS = {
    "Ctrl+Alt+O", "Ctrl+Shift+O", "Ctrl+O", "Ctrl+N", "Ctrl+S", "Ctrl+W", "Ctrl+Q",
    "Ctrl+Shift+P", "Ctrl+Alt+P", "Ctrl+U", "Ctrl+M", "Ctrl+,", "Ctrl+/", "Alt+S",
    "Alt+Shift+S", "Alt+C", "Alt+Shift+C", "Ctrl+Alt+S", "Alt+T", "Alt+Shift+T",
}  # fmt: skip
"""Keys of napari 0.9's menus, which are not in its list of shortcuts."""


def test_every_shortcut_of_the_module_is_listed():
    named = [x for x in vars(shortcuts).values() if isinstance(x, Shortcut)]
    assert sorted(named) == sorted(ALL)


def test_no_key_is_used_twice_or_taken_from_napari():
    keys = [shortcut.key for shortcut in ALL]
    assert len(set(keys)) == len(keys)
    taken = {str(key) for bindings in default_shortcuts.values() for key in bindings}
    assert not set(keys) & (taken | MENU_KEYS)
    assert "Ctrl+Alt+T" in taken
