"""Where labels come from: what is kept with them so that others can cite them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """How an image came to its labels; whatever is unknown is empty."""

    source: str = ""
    """File the image was taken from."""
    plane: int | None = None
    """Plane of the file, where it is one of several."""
    time: int | None = None
    """Frame of the file, where it is one of several."""
    annotator: str = ""
    """Who looked at the objects."""
    model: str = ""
    """Name of the network that proposed them."""
    checkpoint_sha256: str = ""
    """Hash of its checkpoint file."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Settings of network, CRF and graph cut; plain JSON values."""
    edits: Mapping[str, int] = field(default_factory=dict)
    """How often each tool was used."""
    time_spent_s: float = 0.0
    """Time of the annotator, in seconds."""
    software: str = ""
    """Program and version that wrote the labels."""

    @classmethod
    def of_run(cls, made: Mapping[str, Any] | None, source: str) -> Provenance:
        """Return what a run says of itself, in plain JSON values.

        Parameters
        ----------
        made : mapping or None
            ``Segmentation.provenance``; its parameters may hold tuples and paths.
        source : str
            File of the image.
        """
        made = made or {}
        return cls(
            source=source,
            model=str(made.get("model", "")),
            checkpoint_sha256=str(made.get("sha256", "")),
            parameters=json.loads(json.dumps(made.get("parameters", {}), default=str)),
            software=str(made.get("software", "")),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what is known, as JSON can hold it."""
        known = asdict(self).items()
        return {k: v for k, v in known if v or (k in ("plane", "time") and v == 0)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Provenance:
        """Read it back; keys of later versions are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in stored.items() if key in known})
