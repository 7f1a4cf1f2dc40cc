"""What a segmentation can be told; the forms of the panel are made from this."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_seg.errors import ImageError

if TYPE_CHECKING:
    from napari_seg.inference.tracking import TrackParams
    from napari_seg.refine.crf import CrfParams


TTA = ("none", "flips", "all")
"""Names of `SegmentParams.tta`; the orientations are `ORIENTATIONS`."""


@dataclass(frozen=True)
class SegmentParams:
    """Parameters of `segment`; None means: guess, estimate or take the model's."""

    axes: str | None = None
    """Meaning of the image's axes in order, letters of T C Z Y X. Empty: guessed."""
    channel: int | None = None
    """Channel to segment, counted from 0. Empty: colour is turned to grey, otherwise
    the first channel."""
    spacing: tuple[float, ...] | None = None
    """Distance between pixels in micrometres along each of Z, Y, X the image has."""
    diameter_px: float | None = None
    """Typical diameter of the objects in image pixels. Empty: estimated."""
    diameter_um: float | None = None
    """Typical diameter of the objects in micrometres; needs the spacing."""
    device: str = "auto"
    """Where the network runs: auto, cpu, cuda, cuda:1, mps."""
    tile_px: int = 256
    """Side of a tile as the network sees it, in network pixels. Smaller needs less
    memory."""
    batch: int = 0
    """Tiles computed at once; 0 chooses."""
    tta: str = "none"
    """Test-time augmentation: probabilities are averaged over orientations of each
    tile. ``flips`` takes 4 times as long, ``all`` (with quarter turns) 8 times."""
    compile: bool = False
    """Whether torch compiles the network first, which takes about a minute. On a
    processor it gains nothing; on a GPU it was not measured."""
    threshold: float | None = None
    """Foreground probability above which a pixel belongs to an object, 0 to 1; of a
    detector that of the object's mask."""
    seed_threshold: float | None = None
    """Interior probability above which an object is started, 0 to 1. Higher splits
    touching objects more readily. Of a detector the score above which an object
    counts: higher leaves out doubtful ones."""
    min_size_px: float = 0.0
    """Smaller objects are dropped; area in image pixels."""
    link_z: bool = True
    """Whether overlapping objects of neighbouring planes get the same id."""
    keep_probabilities: bool = True
    """Whether probabilities are kept, so that thresholds can be changed afterwards."""
    crf: CrfParams | None = None
    """Refines the probabilities by a dense CRF before they become objects."""
    track: TrackParams | None = None
    """Gives the objects of a film one id in all frames."""
    focus: tuple[float, ...] | None = None
    """Position in the labels, in pixels along each axis but C, that is computed
    first."""

    def compared(self) -> dict[str, Any]:
        """Return what decides on the labels of any image, on any machine."""
        known = asdict(self)
        for name in (
            "batch", "compile", "device", "focus", "keep_probabilities", "spacing",
        ):  # fmt: skip
            del known[name]
        return known

    def check(self) -> None:
        """Refuse values that no image could make sense of.

        Raises
        ------
        ImageError
            Naming the field, its value and the allowed range.
        """
        for name in ("threshold", "seed_threshold"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ImageError(
                    f"{name} is not a probability", repr(value), "Use 0 to 1"
                )
        if self.tta not in TTA:
            raise ImageError(
                "Unknown test-time augmentation",
                repr(self.tta),
                f"Use one of {', '.join(TTA)}",
            )
        self._check_diameter()
        if self.crf is not None:
            self.crf.check()
        if self.track is not None:
            self.track.check()
        if self.spacing is not None and not all(
            math.isfinite(s) and s > 0 for s in self.spacing
        ):
            raise ImageError(
                "The pixel spacing must be positive",
                repr(self.spacing),
                "Give micrometres per pixel for each of Z, Y, X",
            )
        if self.tile_px < 1 or self.batch < 0:
            raise ImageError(
                "The tile side must be at least 1 and the batch at least 0",
                f"tile {self.tile_px}, batch {self.batch}",
                "Use 256 and 0 if in doubt",
            )

    def _check_diameter(self) -> None:
        for diameter, unit in (
            (self.diameter_px, "pixels"),
            (self.diameter_um, "micrometres"),
        ):
            if diameter is not None and not 0 < diameter < math.inf:
                raise ImageError(
                    f"The object diameter must be a positive number of {unit}",
                    repr(diameter),
                    "Measure an object in the viewer, or leave it empty to estimate it",
                )
        if self.diameter_um is not None and self.spacing is None:
            raise ImageError(
                "A diameter in micrometres needs the pixel size",
                "no spacing",
                "Give the spacing, or the diameter in pixels",
            )
