"""The command line: ``napari-seg``, also ``python -m napari_seg``."""

from napari_seg.cli.app import main

__all__ = ["main"]
