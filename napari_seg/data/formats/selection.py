"""What of a data set is exported: verified objects, crops, a split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from napari_seg.data.annotated import VERIFIED, AnnotatedImage
from napari_seg.data.holdout import FEWEST_SOURCES, draw_groups
from napari_seg.errors import DatasetError, FormatError

Items = Callable[[], Iterable[AnnotatedImage]]
"""Begins to read the images; each call begins anew, so none need stay in memory."""


@dataclass(frozen=True)
class Selection:
    """Which part of the images is exported."""

    verified_only: bool = False
    """Objects that nobody verified are ignored, or left out where a format cannot say
    so; images without any verified object are left out."""
    crops_px: int | None = None
    """Instead of whole images, a crop around each object with this margin."""
    validation_share: float | None = None
    """Share of the groups that goes to the validation side; None keeps the split."""
    seed: int = 0
    """Of the draw: same seed and groups, same split."""


def select(items: Items, selection: Selection) -> Iterator[AnnotatedImage]:
    """Yield what is to be exported.

    Parameters
    ----------
    items : callable
        Returns the images; called twice if groups are to be drawn.
    selection : Selection
        What of them.

    Raises
    ------
    DatasetError
        If there is nothing left, or too few groups to draw from.
    FormatError
        If a number is out of range.
    """
    _check(selection)
    judges: set[str] | None = None
    if selection.validation_share is not None:
        judges = _draw(_wanted(items(), selection), selection)
    count = 0
    for item in _wanted(items(), selection):
        if judges is not None:
            item = replace(item, split="val" if item.key in judges else "train")
        for part in _parts(item, selection.crops_px):
            count += 1
            yield part
    if not count:
        what = "verified objects" if selection.verified_only else "images"
        raise DatasetError(
            f"there are no {what} to export",
            remedy="Verify some objects, or export all of them.",
        )


def _check(selection: Selection) -> None:
    share, margin = selection.validation_share, selection.crops_px
    if share is not None and not 0 < share < 1:
        raise FormatError("the validation share must be between 0 and 1", f"{share}")
    if margin is not None and margin < 0:
        raise FormatError("the margin of crops must not be negative", f"{margin}")


def _wanted(
    items: Iterable[AnnotatedImage], selection: Selection
) -> Iterator[AnnotatedImage]:
    for item in items:
        if not selection.verified_only:
            yield item
            continue
        verified = {i for i in item.ids if item.states.get(i) == VERIFIED}
        if verified - item.ignored:
            others = set(item.ids) - verified
            yield replace(item, ignored=item.ignored | others)


def _draw(items: Iterable[AnnotatedImage], selection: Selection) -> set[str]:
    groups = {item.key for item in items if item.kept.any()}
    share = selection.validation_share or 0.0
    judges = draw_groups(groups, share=share, seed=selection.seed)
    if not judges:
        raise DatasetError(
            "there are too few images to hold some out",
            f"{len(groups)} groups with objects, at least {FEWEST_SOURCES} are needed",
            "Export without --val-share, or add images.",
        )
    return judges


def _parts(item: AnnotatedImage, margin: int | None) -> Iterator[AnnotatedImage]:
    if margin is None:
        yield item
    else:
        yield from crops(item, margin)


def crops(item: AnnotatedImage, margin: int) -> Iterator[AnnotatedImage]:
    """Yield a piece of the image around each object that is not ignored.

    Parameters
    ----------
    item : AnnotatedImage
        Its planes are cropped one by one; a crop holds its neighbours too.
    margin : int
        Pixels around the box of the object, less at the edge of the image.

    Yields
    ------
    AnnotatedImage
        Named ``name_id12``; all are of the group of the image.
    """
    for plane in item.planes():
        ids, dense = np.unique(np.append(plane.kept, 0), return_inverse=True)
        boxes = ndimage.find_objects(dense[:-1].reshape(plane.labels.shape))
        for object_id, box in zip(ids[1:].tolist(), boxes, strict=True):
            window = tuple(
                slice(max(part.start - margin, 0), part.stop + margin) for part in box
            )
            yield _crop(plane, object_id, (window[0], window[1]), item.key)


def _crop(
    plane: AnnotatedImage, object_id: int, window: tuple[slice, slice], group: str
) -> AnnotatedImage:
    labels = plane.labels[window]
    here = set(np.unique(labels).tolist())
    image = plane.image
    if image is not None:
        places = {"Y": window[0], "X": window[1]}
        image = image[tuple(places.get(axis, slice(None)) for axis in plane.axes)]
    return replace(
        plane,
        name=f"{plane.name}_id{object_id}",
        labels=labels,
        image=image,
        states={i: s for i, s in plane.states.items() if i in here},
        classes={i: c for i, c in plane.classes.items() if i in here},
        scores={i: s for i, s in plane.scores.items() if i in here},
        uncertainties={i: u for i, u in plane.uncertainties.items() if i in here},
        ignored=plane.ignored & here,
        group=group,
    )


class Counted:
    """Images passing by, and how many there were.

    Parameters
    ----------
    items : iterable of AnnotatedImage
        What passes by.
    on_image : callable, optional
        Called before each image goes on; whatever it raises stops the writing, and
        writers leave nothing half-written.
    """

    def __init__(
        self,
        items: Iterable[AnnotatedImage],
        on_image: Callable[[], None] = lambda: None,
    ) -> None:
        self.images = self.objects = 0
        self._items = items
        self._on_image = on_image

    def __iter__(self) -> Iterator[AnnotatedImage]:
        for item in self._items:
            self._on_image()
            self.images += 1
            self.objects += len(set(item.ids) - item.ignored)
            yield item
