"""Segment microscopy images in napari, correct them, train on the corrections.

The public names are loaded on first use: importing the package loads neither torch
nor Qt nor napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from napari_seg.imaging.metrics import evaluate as evaluate
    from napari_seg.imaging.weightmap import border_weight_map as border_weight_map
    from napari_seg.inference.crf import dense_crf as dense_crf
    from napari_seg.inference.result import Segmentation as Segmentation
    from napari_seg.inference.segment import segment as segment
    from napari_seg.inference.tracking import track as track
    from napari_seg.models.catalogue import list_models as list_models
    from napari_seg.models.checkpoint import load_model as load_model
    from napari_seg.models.registry import build_network as build_network
    from napari_seg.refine.graphcut import graph_cut as graph_cut
    from napari_seg.refine.session import CorrectionSession as CorrectionSession
    from napari_seg.training.trainer import train as train

_HOMES = {
    "CorrectionSession": "napari_seg.refine.session",
    "Segmentation": "napari_seg.inference.result",
    "border_weight_map": "napari_seg.imaging.weightmap",
    "build_network": "napari_seg.models.registry",
    "dense_crf": "napari_seg.inference.crf",
    "evaluate": "napari_seg.imaging.metrics",
    "graph_cut": "napari_seg.refine.graphcut",
    "list_models": "napari_seg.models.catalogue",
    "load_model": "napari_seg.models.checkpoint",
    "segment": "napari_seg.inference.segment",
    "track": "napari_seg.inference.tracking",
    "train": "napari_seg.training.trainer",
}

__all__ = [
    "CorrectionSession",
    "Segmentation",
    "__version__",
    "border_weight_map",
    "build_network",
    "dense_crf",
    "evaluate",
    "graph_cut",
    "list_models",
    "load_model",
    "segment",
    "track",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
