"""``python -m napari_seg`` is the same as ``napari-seg``."""

from napari_seg.cli import main

if __name__ == "__main__":
    main()
