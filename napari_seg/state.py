"""What one window knows: settings, the status of its job, what is remembered.

Neither Qt nor napari here: the controller of the window writes these objects and
reacts to their psygnal events. A job never gets the live objects but a frozen
snapshot, because the user may go on editing while it runs.
"""

from __future__ import annotations

import enum
import json
import math
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from platformdirs import user_config_dir
from psygnal import SignalGroupDescriptor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kind = TypeVar("Kind", bound="DataclassInstance")

DEFAULT_MODEL = "nuclei-unet"


class JobState(enum.Enum):
    """Where a job is in its life."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def is_active(self) -> bool:
        """Whether something is being computed right now."""
        return self in (JobState.RUNNING, JobState.CANCELLING)


class Scope(enum.Enum):
    """Which part of the image is segmented."""

    IMAGE = "Whole image"
    PLANE = "This plane"
    FIELD = "Visible field"


@dataclass(frozen=True)
class Advanced:
    """Settings few users need; each docstring is the tooltip of its field."""

    tile_px: int = 256
    """Edge of the tiles that go through the network, in pixels of the network.
    Smaller tiles need less memory; on a CPU 256 is fastest."""
    batch: int = 0
    """Tiles that go through the network at once. 0 lets the device decide."""
    seed_threshold: float = 0.5
    """Probability an object's core must reach, or with a detector its score. Raise it
    if touching objects are joined or doubtful ones found, lower it if faint objects
    are missed."""
    link_z: bool = True
    """Give the parts of one object the same id in all planes of a stack."""
    tta: str = "none"
    """Look at each tile in several orientations and average. A little more accurate,
    and as many times slower."""


@dataclass
class SegmentSettings:
    """What the Segment panel shows; each docstring is the tooltip of its field."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    model: str = DEFAULT_MODEL
    """The network that segments the image."""
    device: str = "auto"
    """Where the network runs. Automatic takes the fastest device there is."""
    axes: str = ""
    """What each dimension of the image is: T time, C channel, Z plane, Y row,
    X column."""
    channel: int | None = None
    """The channel that shows the objects."""
    scope: Scope = Scope.IMAGE
    """Which part of the image is segmented. Try the settings on the visible field
    before you run the whole image."""
    diameter_px: float | None = None
    """Typical diameter of the objects. The image is rescaled so that they have
    the size the network was trained on. Automatic estimates it from a quick look
    at the image."""
    threshold: float = 0.5
    """Probability above which a pixel belongs to an object. Lower it if objects
    come out too small or are missed. Acts at once on labels already there."""
    min_size_px: float = 0.0
    """Objects with fewer pixels than this are left out. Acts at once on labels
    already there."""
    advanced: Advanced = field(default_factory=Advanced)

    def snapshot(self) -> SegmentRequest:
        """Return a frozen copy for a job."""
        return SegmentRequest(**{f.name: getattr(self, f.name) for f in fields(self)})


@dataclass(frozen=True)
class SegmentRequest:
    """The settings a job was started with."""

    model: str = DEFAULT_MODEL
    device: str = "auto"
    axes: str = ""
    channel: int | None = None
    scope: Scope = Scope.IMAGE
    diameter_px: float | None = None
    threshold: float = 0.5
    min_size_px: float = 0.0
    advanced: Advanced = field(default_factory=Advanced)

    def tunables(self) -> tuple[float, float, float, bool]:
        """Return what acts on cached probabilities, without the network."""
        advanced = self.advanced
        return (
            self.threshold,
            self.min_size_px,
            advanced.seed_threshold,
            advanced.link_z,
        )


@dataclass
class JobStatus:
    """What the footer of the panel shows."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    state: JobState = JobState.IDLE
    """Where the job is in its life."""
    fraction: float = 0.0
    """Finished share of the job, 0..1; negative while nobody can know."""
    message: str = ""
    """One line for the user."""


class Remembered:
    """Settings that survive a restart, in a small JSON file.

    A missing, damaged or foreign file reads as empty: preferences are never worth
    an error message. Values of the wrong type are dropped one by one.

    Parameters
    ----------
    path : Path, optional
        The file, by default ``settings.json`` in the user's configuration folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path(user_config_dir("napari-seg")) / "settings.json"

    def restore(self, settings: SegmentSettings) -> None:
        """Put what was remembered into `settings`."""
        stored = self._read()
        for name in ("model", "device"):
            value = stored.get(name)
            if isinstance(value, str) and value:
                setattr(settings, name, value)
        settings.advanced = from_stored(Advanced, stored.get("advanced"))

    def store(self, settings: SegmentSettings) -> None:
        """Remember model, device and advanced settings.

        A folder that cannot be written is not worth interrupting the user.
        """
        self._keep(
            model=settings.model,
            device=settings.device,
            advanced=asdict(settings.advanced),
        )

    def part(self, key: str) -> dict[str, Any]:
        """Return what was kept under a key; empty if there is nothing of use."""
        stored = self._read().get(key)
        return stored if isinstance(stored, dict) else {}

    def keep_part(self, key: str, content: dict[str, Any]) -> None:
        """Remember something under a key."""
        self._keep(**{key: content})

    def _keep(self, **content: Any) -> None:
        """Write some values, leaving the others as they are."""
        with suppress(OSError):
            self._write(json.dumps(self._read() | content, indent=1))

    def _read(self) -> dict[str, Any]:
        # ValueError covers broken JSON and broken UTF-8 alike.
        with suppress(OSError, ValueError, RecursionError):
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(content, dict):
                return content
        return {}

    def _write(self, text: str) -> None:
        """Write beside the file and rename, so that a crash leaves the old one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(name, self.path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


class RefineScope(enum.Enum):
    """Which labels get refined outlines."""

    PLANE = "This plane"
    STACK = "Whole stack"
    OBJECT = "Selected object"


@dataclass(frozen=True)
class CorrectSettings:
    """What the Correct panel remembers."""

    brush_px: float = 3.0
    """Radius of the brush, in pixels of the labels."""
    overwrite: bool = False
    """Whether an object may take pixels of others that are not locked."""
    is_volume: bool = False
    """Whether strokes act on the whole volume instead of the plane shown."""


@dataclass(frozen=True)
class ReviewSettings:
    """What is remembered of *Next to correct*."""

    measure: str = "entropy"
    """How doubt is measured, unless these labels do not allow it."""


@dataclass(frozen=True)
class WeightSettings:
    """What the Weights panel remembers; each docstring is the tooltip of its field."""

    w0: float = 10.0
    """How much more a pixel counts in training that lies in a narrow gap between two
    cells. Raise it if touching cells come out joined."""
    sigma_px: float = 5.0
    """How wide a gap may be to count more: at d1 + d2 = sigma, the distances to the two
    nearest cells together, 0.6 of w0 is left."""
    sigma_um: float = 1.0
    """The same in micrometres."""
    is_um: bool = False
    """Whether sigma is set in micrometres, where a pixel has a size."""
    is_volume: bool = False
    """Measure distances through the planes of a volume, too, with their spacing;
    otherwise each plane is by itself. The networks for planes are trained with
    planes."""
    balance_classes: bool = False
    """Also let cells and background weigh the same in sum: wc is N / (2 n) for a class
    with n of N pixels. Training does that over all images together."""


def from_stored(kind: type[Kind], stored: object) -> Kind:
    """Build a dataclass of plain values from what of `stored` makes sense.

    Parameters
    ----------
    kind : type
        A dataclass whose fields all have defaults.
    stored : object
        A dict, if all is well.
    """
    values: dict[str, Any] = {}
    for known in fields(kind):
        value = stored.get(known.name) if isinstance(stored, dict) else None
        # bool is an int in Python, but true is no tile size.
        if type(value) is type(known.default) and _is_sane(known.name, value):
            values[known.name] = value
    return kind(**values)


def _is_sane(name: str, value: Any) -> bool:
    """Whether a stored number lies where the form could have put it."""
    if isinstance(value, str):
        known = [choice for _, choice in ADVANCED_CHOICES.get(name, ())]
        return not known or value in known
    low, high = ADVANCED_RANGES.get(name, (-math.inf, math.inf))
    return bool(low <= value <= high)


ADVANCED_RANGES: dict[str, tuple[float, float]] = {
    "tile_px": (64, 2048),
    "batch": (0, 64),
    "seed_threshold": (0.0, 1.0),
    "brush_px": (0.5, 100.0),
    "w0": (0.0, 50.0),
    "sigma_px": (0.5, 20.0),
    "sigma_um": (1e-4, 1e4),
}
"""Smallest and largest value of each number that is remembered."""

ADVANCED_CHOICES: dict[str, tuple[tuple[str, str], ...]] = {
    "tta": (
        ("One", "none"),
        ("4, mirrored", "flips"),
        ("8, mirrored and turned", "all"),
    ),
}
"""What each word that is remembered may be: as shown, and as stored."""
