"""Layers that the plugin adds to show something: nobody's images or labels."""

from __future__ import annotations

from typing import Any

OWN_KEY = "napari_seg_own"
"""In the metadata of such a layer."""


def is_own(layer: Any) -> bool:
    """Whether a layer was added to show something, and is no input."""
    return OWN_KEY in layer.metadata
