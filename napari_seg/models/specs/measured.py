"""What was counted and measured of each architecture. Needs no torch."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

FILE = "networks.json"
"""In the resources; written by ``python -m docs.make_network_table``."""


@cache
def measurements() -> dict[str, dict[str, Any]]:
    """Return parameters, and scores and speed where they are known, by name.

    Keys are ``parameters`` and, of one comparison of all (``benchmarks/family.py``),
    ``AP@0.5``, ``mean IoU``, ``boundary F``, ``Mpx/s`` and ``training MB``.
    """
    text = (resources.files("napari_seg.resources") / FILE).read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found
