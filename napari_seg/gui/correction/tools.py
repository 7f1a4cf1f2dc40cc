"""The tools of the Correct panel."""

from __future__ import annotations

from enum import Enum


class Tool(Enum):
    """What a press of the left mouse button does to the labels."""

    OBJECT = "object"
    """Strokes over an object add it, grow it, or trim it."""
    SPLIT = "split"
    """One stroke for each part of an object."""
    MERGE = "merge"
    """A stroke across objects makes them one."""
    DELETE = "delete"
    """A click deletes an object, a drag all objects in a rectangle."""
    LOCK = "lock"
    """A click locks an object, or unlocks it."""
    PICK = "pick"
    """A click selects the object for the tools that work on one."""

    @property
    def is_brush(self) -> bool:
        """Whether its strokes are as thick as the brush."""
        return self in (Tool.OBJECT, Tool.SPLIT)

    @property
    def is_drag(self) -> bool:
        """Whether a drag means more to it than a click."""
        return self not in (Tool.LOCK, Tool.PICK)

    @property
    def works_in_3d(self) -> bool:
        """Whether a click in the 3D view is enough for it; strokes are flat."""
        return not self.is_brush
