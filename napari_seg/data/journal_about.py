"""What a journal of corrections is of: the description in its folder."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_seg.errors import FormatError

FORMAT_VERSION = 1
ABOUT = "about.json"
MAX_BYTES = 1 << 36
"""Labels larger than that are taken for a damaged file."""


@dataclass(frozen=True)
class About:
    """What a journal is of."""

    name: str
    """Of the labels layer."""
    shape: tuple[int, ...]
    dtype: str
    image: str = ""
    """Name of the image layer, if known."""
    placed: dict[str, Any] = field(default_factory=dict)
    """Scale, translation, units and axis labels: what a layer needs to lie right."""
    began: float = 0.0
    """Seconds since 1970."""
    pid: int = 0
    """Process that writes it."""
    pid_began: float = 0.0
    """When that process began: numbers of processes are used again."""
    base: str = ""
    """Folder of the base; empty where the labels were empty."""
    is_partial: bool = True
    """Whether the first base is not whole yet: then only what was edited is known."""
    records: tuple[str, ...] = ()
    """Files of records, in their order."""
    version: int = FORMAT_VERSION

    @property
    def is_written(self) -> bool:
        """Whether the process that writes it is alive."""
        try:
            began = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return False
        return abs(began - self.pid_began) < 2.0

    @classmethod
    def of(
        cls,
        labels: Any,
        name: str,
        image: str = "",
        placed: dict[str, Any] | None = None,
    ) -> About:
        """Describe labels that this process is about to follow."""
        return cls(
            name,
            tuple(int(n) for n in labels.shape),
            np.dtype(labels.dtype).str,
            image,
            placed or {},
            time.time(),
            os.getpid(),
            psutil.Process().create_time(),
        )


def read_about(folder: Path) -> About:
    """Read what a journal is of; FormatError if it is none, or damaged."""
    try:
        content = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        about = About(
            **{
                **content,
                "shape": tuple(int(n) for n in content["shape"]),
                "records": tuple(content["records"]),
            }
        )
        size = np.dtype(about.dtype).itemsize * int(np.prod(about.shape))
        names = [about.base, *about.records]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FormatError(f"{folder} is no journal", str(error)) from error
    inside = all(Path(str(name)).name == name for name in names)
    if about.version > FORMAT_VERSION or not 0 < size < MAX_BYTES or not inside:
        raise FormatError(
            f"The journal {folder} cannot be read",
            f"version {about.version}, {size} bytes of labels",
            "Update napari-seg.",
        )
    return about
