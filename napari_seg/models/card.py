"""A model's description, kept in the header of its checkpoint. Needs no torch."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from napari_seg.errors import CheckpointError
from napari_seg.imaging.normalise import Normalisation

FORMAT = "napari-seg"
FORMAT_VERSION = 1
DETECTIONS = "detections"
"""Decoder of the networks that find objects one by one."""
MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors format itself."""


@dataclass(frozen=True)
class Card:
    """What a checkpoint is, was trained on and can do."""

    name: str
    """Name in the model list."""
    architecture: str
    """Name for `build_network`."""
    arguments: dict[str, Any]
    """Keyword arguments for `build_network`, beside channels and classes."""
    in_channels: int
    """Image channels the network takes."""
    classes: tuple[str, ...]
    """Class names; the first is background, those of `stuff` come last."""
    stuff: tuple[str, ...] = ()
    """Classes whose regions are not counted one by one, e.g. myelin."""
    ndim: int = 2
    """Spatial dimensions of one pass: 2 (plane by plane) or 3."""
    decoder: str = "interior-border"
    """What becomes labels: ``interior-border`` or ``foreground`` probabilities, or
    ``detections``, objects that are found one by one."""
    normalisation: Normalisation = field(default_factory=Normalisation)
    """Percentiles that become 0 and 1."""
    object_diameter_px: float = 20.0
    """Median object diameter (pixels) the network was trained at."""
    usual_diameter_px: float | None = None
    """Median object diameter (pixels) in the images of the training as they are;
    estimates for new images are drawn towards it."""
    usual_spread: float = 0.0
    """Standard deviation of that over the images, in octaves (doublings)."""
    look_error: float = 0.0
    """How far an estimate from a look at one image is off, in octaves (root mean square
    over images of known size)."""
    pixel_size_um: float | None = None
    """Pixel size (micrometres) of the training images, if one size holds for all."""
    z_step_px: float | None = None
    """Distance of planes (pixels at the object diameter) the network was trained at, of
    one that sees volumes; None if it is not known."""
    threshold: float = 0.5
    """Foreground or mask probability that scored best in validation."""
    seed_threshold: float = 0.5
    """Interior probability that scored best in validation; of a detector the score
    above which an object counts."""
    smallest_px: float = 0.0
    """Area (pixels, at the object diameter of the training) below which a find is
    dirt; scored best in validation."""
    description: str = ""
    """One line for the model list."""
    training_data: str = ""
    """Data the weights were trained on, with attribution."""
    licence: str = ""
    """Licence of the weights."""
    command: str = ""
    """The command that trained them."""
    scores: dict[str, float] = field(default_factory=dict)
    """Validation scores."""
    software_version: str = ""
    """Version of napari-seg that wrote the checkpoint."""

    @property
    def finds_objects(self) -> bool:
        """Whether the network finds objects instead of classifying pixels."""
        return self.decoder == DETECTIONS

    @property
    def object_classes(self) -> tuple[str, ...]:
        """Background and the classes that make objects: all but `stuff`."""
        return self.classes[: len(self.classes) - len(self.stuff)]

    def to_json(self) -> str:
        """One JSON object, with the format and its version."""
        return json.dumps(
            {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        )

    @classmethod
    def from_json(cls, text: str, source: str = "checkpoint") -> Card:
        """Rebuild a card; CheckpointError if it is foreign, too new or damaged."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise CheckpointError(
                f"The card of {source} is damaged", str(error)
            ) from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise _foreign(source)
        version = data.get("format_version")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise CheckpointError(
                f"{source} was written by a newer napari-seg",
                f"format {version}, this version reads up to {FORMAT_VERSION}",
                "Update napari-seg.",
            )
        known = {f.name for f in fields(cls)}
        try:
            values = {key: value for key, value in data.items() if key in known}
            values["classes"] = tuple(values["classes"])
            values["stuff"] = tuple(values.get("stuff", ()))
            values["normalisation"] = Normalisation(**values["normalisation"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"The card of {source} is incomplete", str(error)
            ) from error


def read_card(path: str | Path) -> Card:
    """Read the card of a checkpoint without its tensors, and without torch.

    Parameters
    ----------
    path : str or Path
        A ``.safetensors`` file.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of another program or too new.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            header = _read_header(file.read(8), file, path)
    except OSError as error:
        raise CheckpointError(
            f"Cannot read the checkpoint {path}", error.strerror or str(error)
        ) from error
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or "card" not in metadata:
        raise _foreign(str(path))
    return Card.from_json(metadata["card"], str(path))


def _read_header(prefix: bytes, file: Any, path: Path) -> dict[str, Any]:
    damaged = CheckpointError(
        f"{path} is not a safetensors checkpoint, or is damaged",
        f"{path.stat().st_size} bytes",
        "Train or download it again; only .safetensors files are read.",
    )
    if len(prefix) < 8:
        raise damaged
    (length,) = struct.unpack("<Q", prefix)
    if length > min(MAX_HEADER_BYTES, path.stat().st_size):
        raise damaged
    try:
        header = json.loads(file.read(length))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise damaged from error
    if not isinstance(header, dict):
        raise damaged
    return header


def _foreign(source: str) -> CheckpointError:
    return CheckpointError(
        f"{source} was not written by napari-seg",
        "no card in its header",
        "Use a checkpoint made by `napari-seg train`.",
    )
