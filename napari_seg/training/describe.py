"""The card of the checkpoint that a run will write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seg import __version__
from napari_seg.errors import DatasetError
from napari_seg.models.card import DETECTIONS, Card
from napari_seg.models.registry import ARCHITECTURES
from napari_seg.training.targets import object_classes

if TYPE_CHECKING:
    from napari_seg.imaging.metrics import Metrics
    from napari_seg.training.pairs import TrainingPlane
    from napari_seg.training.params import TrainParams

OBJECT_CLASSES = ("background", "object")
"""Classes of a detector."""
FALLBACK_DIAMETER_PX = 20.0
"""Object diameter where neither the caller nor the labels give one."""
SCORE = 0.4
"""Score above which a detector's finds count while it trains. The longer it does, the
fewer of its scores exceed 0.5 by much: there good weights would seem to get worse."""


def make_card(
    pairs: Sequence[TrainingPlane],
    params: TrainParams,
    out: Path,
    start: Card | None = None,
) -> Card:
    """Describe the network to be trained, or the one to start from.

    Parameters
    ----------
    pairs : sequence of TrainingPlane
        Training images; they give the channels and the object diameter.
    params : TrainParams
    out : Path
        Output file; its stem is the name if `params` has none.
    start : Card, optional
        Card of the checkpoint to start from: its network and input are kept, but for
        the channels if they are to be adapted, and the classes of another target.
    """
    text = _text(params, out)
    architecture = start.architecture if start is not None else params.architecture
    decoder, classes = _outputs(architecture, params)
    if start is not None:
        _refuse_overrides(params)
        same = decoder == start.decoder and _stuff(params) == start.stuff
        # Whoever passes the model on still owes the first authors their due.
        origin = f"Started from {start.name}: {start.training_data}".rstrip(" :")
        text["training_data"] = " ".join(filter(None, [params.training_data, origin]))
        text["description"] = params.description or f"Fine-tuned from {start.name}"
        diameter = params.object_diameter_px
        return replace(
            start,
            arguments=start.arguments | _size(architecture, diameter),
            in_channels=pairs[0].channels,
            classes=start.classes if same else classes,
            stuff=_stuff(params),
            decoder=decoder,
            object_diameter_px=diameter or start.object_diameter_px,
            **_usual(pairs),
            # Those of the old weights, perhaps found on these very images, would let
            # no new weights win. The best weights get their own at the end.
            **_neutral(architecture),
            **text,
        )
    diameter = params.object_diameter_px or _typical_diameter(pairs)
    z_step = _z_step(pairs, diameter)
    return Card(
        architecture=architecture,
        arguments=_arguments(architecture, params, diameter, z_step),
        in_channels=pairs[0].channels,
        ndim=params.ndim,
        z_step_px=z_step,
        classes=classes,
        stuff=_stuff(params),
        decoder=decoder,
        normalisation=params.normalisation,
        object_diameter_px=diameter,
        **_usual(pairs),
        **_neutral(architecture),
        **text,
    )


def _text(params: TrainParams, out: Path) -> dict[str, Any]:
    """Return what the card says in words, and that it has no scores yet."""
    return {
        "name": params.name or out.stem,
        "description": params.description,
        "training_data": params.training_data,
        "licence": params.licence,
        "command": params.command,
        "software_version": __version__,
        "scores": {},
    }


def _neutral(architecture: str) -> dict[str, Any]:
    """Return the thresholds at which weights are compared until they get their own."""
    return {
        "threshold": Card.threshold,
        "seed_threshold": SCORE if _is_detector(architecture) else Card.seed_threshold,
        "smallest_px": Card.smallest_px,
    }


def _is_detector(architecture: str) -> bool:
    known = ARCHITECTURES.get(architecture)
    return known is not None and known.kind == "detector"


def _outputs(architecture: str, params: TrainParams) -> tuple[str, tuple[str, ...]]:
    """Return the decoder of the outputs and their classes."""
    if _is_detector(architecture):
        if params.stuff:
            raise DatasetError(
                f"{architecture} finds objects and no classes beside them",
                ", ".join(_stuff(params)),
                "Choose a network that classifies pixels, such as unet.",
            )
        return DETECTIONS, OBJECT_CLASSES
    return params.target, (*object_classes(params.target), *_stuff(params))


def _stuff(params: TrainParams) -> tuple[str, ...]:
    return tuple(one.name for one in params.stuff)


def _arguments(
    architecture: str,
    params: TrainParams,
    diameter_px: float,
    z_step_px: float | None,
) -> dict[str, Any]:
    """Return the caller's arguments, or those of the architecture."""
    arguments = dict(params.arguments or {})
    spec = ARCHITECTURES.get(architecture)
    if spec is not None and params.ndim not in spec.ndims:
        able = [one.name for one in ARCHITECTURES.values() if params.ndim in one.ndims]
        raise DatasetError(
            f"{architecture} does not learn from volumes",
            f"ndim {params.ndim}",
            f"Choose one of {', '.join(able)}, or train in two dimensions.",
        )
    if spec is not None and params.arguments is None:
        arguments = dict(spec.usual_arguments(pretrained=params.pretrained))
        if params.ndim == 3:
            arguments |= _volume_arguments(spec.volume_arguments, z_step_px)
    return _size(architecture, diameter_px) | arguments | params.overrides


def _refuse_overrides(params: TrainParams) -> None:
    if params.overrides:
        raise DatasetError(
            "A network that is started from says how it is built",
            ", ".join(params.overrides),
            "Leave out the arguments, or start from scratch.",
        )


def _volume_arguments(usual: dict[str, Any], z_step_px: float | None) -> dict[str, Any]:
    """Halve planes only from the level on where they are as near as pixels."""
    if z_step_px is None or "flat_levels" not in usual:
        return usual
    deepest = len(usual["channels"]) - 1
    flat = min(max(round(float(np.log2(z_step_px))), 0), deepest)
    return usual | {"flat_levels": flat}


def _size(architecture: str, diameter_px: float | None) -> dict[str, Any]:
    """Return what a detector must be told of the size of its objects, if it is new."""
    if diameter_px is None or not _is_detector(architecture):
        return {}
    return {"diameter_px": round(diameter_px, 2)}


def with_scores(card: Card, metrics: Metrics) -> Card:
    """Add validation scores to a card, rounded to four places."""
    scores = {
        key: round(float(value), 4)
        for key, value in metrics.as_dict().items()
        if key.startswith(("ap_", "mean_ap", "pq"))
    }
    return replace(card, scores=scores)


def _usual(pairs: Sequence[TrainingPlane]) -> dict[str, Any]:
    """Return how large objects are in the images, and how much that varies."""
    octaves = np.log2([p.diameter_px for p in pairs if p.diameter_px > 0])
    if not len(octaves):
        return {}
    return {
        "usual_diameter_px": round(float(2 ** np.median(octaves)), 2),
        "usual_spread": round(float(np.std(octaves)), 3),
    }


def _z_step(pairs: Sequence[TrainingPlane], diameter_px: float) -> float | None:
    """Return the distance of planes in pixels of the network, if it is known."""
    steps = [
        pair.z_aspect * diameter_px / pair.diameter_px
        for pair in pairs
        if pair.z_aspect is not None and pair.diameter_px > 0
    ]
    return round(float(np.median(steps)), 2) if steps else None


def _typical_diameter(pairs: Sequence[TrainingPlane]) -> float:
    sizes = [pair.diameter_px for pair in pairs if pair.diameter_px > 0]
    return float(np.median(sizes)) if sizes else FALLBACK_DIAMETER_PX
