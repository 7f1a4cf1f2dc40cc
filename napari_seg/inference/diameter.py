"""How large the objects are: given, known from the pixel size, or estimated."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING

from napari_seg.imaging.axes import spacing_by_axis
from napari_seg.imaging.rescale import snap_zoom
from napari_seg.inference.scout import Scout, Sighting, best_sighting
from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.inference.detector import Detector
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.predictor import Predictor
    from napari_seg.inference.reader import ImageReader
    from napari_seg.models.card import Card

LOOK_ERROR = 0.4
"""How wrong (octaves, standard deviation) an estimate from a look is at least: no
model has been tried on more than a few kinds of images."""
LEAST_SPREAD = 0.3
"""How much (octaves) objects may differ from the usual however alike those were."""
ZOOMS = (1.0, 0.5, 0.25, 0.125, 2.0)
"""Network pixels per image pixel at which objects are looked for."""


def iter_diameter(
    reader: ImageReader,
    predictor: Predictor | Detector,
    card: Card,
    params: SegmentParams,
) -> Generator[Progress, None, tuple[float, str]]:
    """Decide on the object diameter.

    Parameters
    ----------
    reader : ImageReader
        The image.
    predictor : Predictor or Detector
        The network.
    card : Card
        At what size the network was trained.
    params : SegmentParams
        A diameter in pixels wins over one in micrometres, that over the pixel size,
        and that over an estimate.

    Yields
    ------
    Progress
        Stage ``"size"``.

    Returns
    -------
    diameter_px : float
        In image pixels.
    origin : str
        ``"given"``, ``"pixel size"``, ``"estimated"`` or ``"nothing found"``.
    """
    known = _known(reader, card, params)
    if known is not None:
        diameter, origin = known
        yield Progress("size", 1, 1, message=f"Objects: {diameter:.3g} px ({origin})")
        return known
    found = yield from iter_estimate(reader, predictor, card)
    if found is None:
        reader.notes.append("no object was found to estimate the size from")
        return card.object_diameter_px, "nothing found"
    return found, "estimated"


def _known(
    reader: ImageReader, card: Card, params: SegmentParams
) -> tuple[float, str] | None:
    if params.diameter_px is not None:
        return params.diameter_px, "given"
    if params.spacing is None:
        return None
    pixel_um = _pixel_um(reader, params.spacing)
    if params.diameter_um is not None:
        return params.diameter_um / pixel_um, "given"
    if card.pixel_size_um is None:
        return None
    return card.object_diameter_px * card.pixel_size_um / pixel_um, "pixel size"


def _pixel_um(reader: ImageReader, spacing: tuple[float, ...]) -> float:
    by_axis = spacing_by_axis(reader.axes, spacing)
    return math.sqrt(by_axis["Y"] * by_axis["X"])


def iter_estimate(
    reader: ImageReader, predictor: Predictor | Detector, card: Card
) -> Generator[Progress, None, float | None]:
    """Estimate the object diameter from a look at a small part at several zooms.

    Returns
    -------
    float or None
        Image pixels; None if nothing is found at any zoom.
    """
    scout = Scout(reader, predictor, card)
    zooms = [z for z in ZOOMS if scout.is_worthwhile(z)]
    total = len(zooms) + 1
    sightings: list[Sighting] = []
    for i, zoom in enumerate(zooms):
        yield Progress("size", i, total)
        sightings.append(scout.look(zoom))
    yield Progress("size", len(zooms), total)
    best = best_sighting(sightings, card.object_diameter_px)
    if best is not None:
        # Once more where the objects appear as large as those of the training.
        zoom = snap_zoom(card.object_diameter_px / best.diameter_px)
        refined = best_sighting([scout.look(zoom, parts=2)], card.object_diameter_px)
        best = refined or best
    message = "No object found to estimate the size from: the image is not rescaled"
    diameter = None if best is None else temper(best.diameter_px, card)
    if diameter is not None:
        message = f"Objects: about {diameter:.3g} px"
    yield Progress("size", total, total, message=message)
    return diameter


def temper(seen_px: float, card: Card) -> float:
    """Return an estimate, drawn towards the usual diameter by what each is worth.

    The next image is likely from the same microscope as those of the training, and an
    estimate from a look is rough: its expectation given both, in octaves. Without a
    usual diameter it stays as it is.
    """
    if card.usual_diameter_px is None:
        return seen_px
    prior = math.hypot(card.usual_spread, LEAST_SPREAD)
    error = max(card.look_error, LOOK_ERROR)
    share = prior**2 / (prior**2 + error**2)
    usual = card.usual_diameter_px
    return float(usual * (seen_px / usual) ** share)
