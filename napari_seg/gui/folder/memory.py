"""What is remembered of folder work: the folders, and where the user was in each."""

from __future__ import annotations

from napari_seg.state import Remembered

_KEY = "folder"
_MANY = 50
"""Folders that are remembered."""


class FolderMemory:
    """Survives a restart, and says nothing where it was damaged.

    Parameters
    ----------
    remembered : Remembered
        Where it is kept.
    """

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered
        stored = remembered.part(_KEY)
        self.ahead = stored.get("ahead") is not False
        """Whether images are predicted before they are opened."""
        folder, places = stored.get("folder"), stored.get("places")
        self.folder = folder if isinstance(folder, str) else ""
        """The folder of last time."""
        self._places: dict[str, tuple[str, str]] = {}
        for key, place in places.items() if isinstance(places, dict) else ():
            if isinstance(place, list) and [type(x) for x in place] == [str, str]:
                self._places[key] = place[0], place[1]

    def out_of(self, folder: str) -> str:
        """Return where the labels of a folder go; empty if nobody knows."""
        return self._places.get(folder, ("", ""))[0]

    def image_in(self, folder: str) -> str:
        """Return the image that was open last; empty if nobody knows."""
        return self._places.get(folder, ("", ""))[1]

    def keep(self, folder: str, out: str, image: str) -> None:
        """Remember where the user is."""
        self._places.pop(folder, None)
        self._places[folder] = out, image
        self.folder = folder
        self.write()

    def write(self) -> None:
        """Write it down."""
        latest = list(self._places.items())[-_MANY:]
        content = {"ahead": self.ahead, "folder": self.folder, "places": dict(latest)}
        self._remembered.keep_part(_KEY, content)
