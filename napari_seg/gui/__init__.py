"""The napari plugin: the only place for napari and Qt."""
