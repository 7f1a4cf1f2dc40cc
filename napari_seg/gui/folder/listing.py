"""Which images the list shows, and which comes next."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from napari_seg.data.folder import FolderImage, ImageState


class Listing:
    """Images of a folder, and where the user is among them.

    Parameters
    ----------
    images : iterable of FolderImage
        In the order of the list.
    """

    def __init__(self, images: Iterable[FolderImage] = ()) -> None:
        self.images = {image.name: image for image in images}
        self.at = ""
        self.filter: ImageState | None = None
        """Only images of this state are shown, and the one that is open."""

    def shown(self) -> list[FolderImage]:
        """Return the images that the list shows."""
        return [
            image
            for image in self.images.values()
            if self.filter in (None, image.state) or image.name == self.at
        ]

    def names(self) -> list[str]:
        """Return their names."""
        return [image.name for image in self.shown()]

    def step(self, way: int) -> str:
        """Return the image before (-1) or after (1) this one; empty at the end."""
        names = self.names()
        if self.at not in names:
            return names[0] if names else ""
        place = names.index(self.at) + way
        return names[place] if 0 <= place < len(names) else ""

    def next_unverified(self) -> str:
        """Return the next one that is not verified, after the last the first."""
        names = self.names()
        place = names.index(self.at) if self.at in names else -1
        round_trip = [*names[place + 1 :], *names[: max(place, 0)]]
        left = [n for n in round_trip if not self._is(n, ImageState.VERIFIED)]
        return left[0] if left else ""

    def start(self, last: str) -> str:
        """Return where to begin: where it was left, else at the first unverified."""
        left = [n for n in self.images if not self._is(n, ImageState.VERIFIED)]
        return last if last in self.images else [*left, *self.images][0]

    def to_predict(self, ready: Collection[str], is_empty: bool) -> list[str]:
        """Return what to predict now: this image, if it is empty, and the next one.

        Parameters
        ----------
        ready : collection of str
            Images that are predicted, and not looked at yet.
        is_empty : bool
            Whether the image that is open has no labels.
        """
        names = self.names()
        place = names.index(self.at) + 1 if self.at in names else 0
        later = [n for n in names[place:] if n in ready or self._is_new(n)]
        here = [self.at] if is_empty and self._is_new(self.at) else []
        return here + later[:1]

    def _is_new(self, name: str) -> bool:
        return self._is(name, ImageState.UNTOUCHED)

    def _is(self, name: str, state: ImageState) -> bool:
        return name in self.images and self.images[name].state is state
