"""The plugin's keys, against napari's."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.action_manager import action_manager
from napari.utils.shortcuts import default_shortcuts

from napari_seg.gui import shortcuts
from napari_seg.gui.shortcuts import ALL, CORRECTION, NAPARI, Shortcut

MENU_KEYS = {
    "Ctrl+Alt+O", "Ctrl+Shift+O", "Ctrl+O", "Ctrl+N", "Ctrl+S", "Ctrl+W", "Ctrl+Q",
    "Ctrl+Shift+P", "Ctrl+Alt+P", "Ctrl+U", "Ctrl+M", "Ctrl+,", "Ctrl+/", "Alt+S",
    "Alt+Shift+S", "Alt+C", "Alt+Shift+C", "Ctrl+Alt+S", "Alt+T", "Alt+Shift+T",
}  # fmt: skip
"""Keys of napari 0.9's menus, which are not in its list of shortcuts."""


def test_every_shortcut_of_the_module_is_listed():
    named = [x for x in vars(shortcuts).values() if isinstance(x, Shortcut)]
    assert sorted(named) == sorted((*ALL, *NAPARI))


WAITING = {"Enter", "Escape"}
"""napari's for the polygon tool, ours only while strokes wait: never both at once."""


def napari_keys() -> set[str]:
    """Return napari's default keys for the window, images and labels.

    Those for points and shapes work while such a layer is selected, which nobody
    corrects labels in: there, the visible Correct tab comes first.
    """
    actions = action_manager._actions
    return {
        str(key)
        for name, bindings in default_shortcuts.items()
        for key in bindings
        if actions[name].keymapprovider in (ViewerModel, Image, Labels)
    }


def test_no_key_is_used_twice_or_taken_from_napari():
    keys = [shortcut.key for shortcut in ALL]
    assert len(set(keys)) == len(keys)
    spelled = {{"Esc": "Escape"}.get(key, key) for key in keys} - WAITING
    assert not spelled & (napari_keys() | MENU_KEYS)
    assert "Ctrl+Alt+T" in napari_keys()
    assert {"E", "P", "F", "L", "Z", "M", "X", "B", "V"} <= napari_keys()


def test_keys_that_always_work_are_free_in_every_layer():
    keys = {shortcut.key for shortcut in set(ALL) - set(CORRECTION)}
    taken = {str(key) for bindings in default_shortcuts.values() for key in bindings}
    assert not keys & (taken | MENU_KEYS)


def test_the_keys_shown_for_undo_are_those_napari_binds():
    bound = {str(key) for key in Labels.class_keymap}
    assert {shortcut.key for shortcut in NAPARI} <= bound
