"""What the panel says about the folder and the image that is open."""

from __future__ import annotations

from collections.abc import Iterable

from napari_seg.data.folder import FolderImage, ImageState
from napari_seg.gui.folder.listing import Listing


def progress_text(images: Iterable[FolderImage]) -> str:
    """Say how far the folder is, and how long an object takes."""
    known = list(images)
    if not known:
        return ""
    done = [image for image in known if image.state is ImageState.VERIFIED]
    objects = sum(image.objects for image in known)
    verified = sum(image.verified for image in known)
    spent = sum(image.time_spent_s for image in known if image.verified)
    text = f"{len(done)} of {len(known)} images verified"
    if objects:
        text += f" · {verified} of {objects} objects"
    if verified and spent:
        text += f" · {spent / verified:.1f} s each"
    return text


def place_text(listing: Listing) -> str:
    """Say which image is open."""
    names = listing.names()
    if listing.at not in names:
        return ""
    image = listing.images[listing.at]
    place = names.index(listing.at) + 1
    return f"{image.name} · {place} of {len(names)} · {image.state.value}"


def amount_text(image: FolderImage) -> str:
    """Say below its name how far an image is."""
    if image.state is ImageState.UNTOUCHED:
        return image.state.value
    count = f"{image.objects} object{'s' * (image.objects != 1)}"
    if image.state is ImageState.CORRECTING and image.verified:
        count = f"{image.verified} of {count} verified"
    return f"{image.state.value} · {count}"
