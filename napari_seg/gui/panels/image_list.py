"""The images of a folder: a small picture, the name, and how far each is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QIcon, QImage, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from napari_seg.data.folder import FolderImage, ImageState
from napari_seg.gui.folder.thumbnails import SIDE_PX
from napari_seg.gui.folder.words import amount_text
from napari_seg.gui.forms import tooltip

_NAME = Qt.ItemDataRole.UserRole
_COLOURS = {
    ImageState.UNTOUCHED: "#9aa0a6",
    ImageState.PREDICTED: "#7aa7ff",
    ImageState.CORRECTING: "#f2b544",
    ImageState.VERIFIED: "#6fcf7c",
}


class ImageList(QListWidget):
    """Emits which image the user wants; a click on one is enough."""

    wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setIconSize(QSize(SIDE_PX, SIDE_PX))
        self.setUniformItemSizes(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        # The keys of the image go on working after a click here.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._icons: dict[str, QIcon] = {}
        self._items: dict[str, QListWidgetItem] = {}
        self._blank = thumbnail_icon(np.full((SIDE_PX, SIDE_PX, 3), 60, np.uint8))
        self.itemClicked.connect(lambda item: self.wanted.emit(item.data(_NAME)))

    def set_images(self, images: Sequence[FolderImage]) -> None:
        """List images."""
        with QSignalBlocker(self):
            self.clear()
            self._items.clear()
            for image in images:
                item = QListWidgetItem()
                item.setData(_NAME, image.name)
                item.setIcon(self._icons.get(image.name, self._blank))
                item.setSizeHint(QSize(0, SIDE_PX + 8))
                self.addItem(item)
                self._items[image.name] = item
                _write(item, image)

    def set_image(self, image: FolderImage) -> None:
        """Show how far an image is now."""
        item = self.item_of(image.name)
        if item is not None:
            _write(item, image)

    def set_thumbnail(self, name: str, picture: np.ndarray) -> None:
        """Show a picture of uint8, shape (rows, columns, 3)."""
        self._icons[name] = icon = thumbnail_icon(picture)
        item = self.item_of(name)
        if item is not None:
            item.setIcon(icon)

    def forget_pictures(self) -> None:
        """Another folder is open."""
        self._icons.clear()

    def set_current(self, name: str) -> None:
        """Select the image that is open, and scroll to it."""
        item = self.item_of(name)
        if item is self.currentItem():
            return
        self.setCurrentItem(item)
        if item is not None:
            self.scrollToItem(item)

    def item_of(self, name: str) -> QListWidgetItem | None:
        """Return the row of an image; None if it is not listed."""
        return self._items.get(name)


def _write(item: QListWidgetItem, image: FolderImage) -> None:
    mark = "✓ " if image.state is ImageState.VERIFIED else ""
    item.setText(f"{mark}{image.name}\n{amount_text(image)}")
    item.setForeground(QBrush(QColor(_COLOURS[image.state])))
    item.setToolTip(tooltip(f"{image.path.name}: {amount_text(image)}"))


def thumbnail_icon(picture: np.ndarray) -> QIcon:
    """Return a square icon with a picture in its middle."""
    canvas = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    rows, columns = (min(n, SIDE_PX) for n in picture.shape[:2])
    y, x = (SIDE_PX - rows) // 2, (SIDE_PX - columns) // 2
    canvas[y : y + rows, x : x + columns] = picture[:rows, :columns]
    image = QImage(
        canvas.tobytes(), SIDE_PX, SIDE_PX, 3 * SIDE_PX, QImage.Format.Format_RGB888
    )
    return QIcon(QPixmap.fromImage(image))
