"""A recipe: what was done to one image, to be done to others with the same result."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import yaml

import napari_seg
from napari_seg.errors import CheckpointError, FormatError
from napari_seg.files import atomic_path
from napari_seg.inference.params import SegmentParams
from napari_seg.refine.crf import CrfParams
from napari_seg.types import Progress

if TYPE_CHECKING:
    from napari_seg.inference.result import Segmentation
    from napari_seg.models.checkpoint import Checkpoint

VERSION = 1
_KEY = "napari_seg_recipe"
_SEGMENT = (
    "axes", "channel", "diameter_px", "diameter_um", "tile_px", "batch", "tta",
    "threshold", "seed_threshold", "min_size_px", "link_z",
)  # fmt: skip
"""Of `SegmentParams`; the rest is the image's, or the machine's."""
_LARGEST = 1 << 20
Kind = TypeVar("Kind", bound="SegmentParams | CrfParams")


@dataclass(frozen=True)
class Recipe:
    """Steps in the order they are done; what is None is not done."""

    model: str
    """Name of the model, or its file."""
    params: SegmentParams = field(default_factory=SegmentParams)
    """Of the segmentation, with the thresholds as they were in the end."""
    checkpoint_sha256: str = ""
    """Of the model's file; empty takes any of that name."""
    refine: CrfParams | None = None
    """Gives all objects refined outlines afterwards."""
    export: str | None = None
    """Format that all images are exported to together."""
    notes: tuple[str, ...] = ()
    """What a reader should know; nothing is done with it."""


def write_recipe(path: str | Path, recipe: Recipe) -> None:
    """Write a recipe as YAML, complete or not at all."""
    known = asdict(recipe.params)
    steps: list[dict[str, Any]] = [
        {
            "segment": {
                "model": recipe.model,
                "checkpoint_sha256": recipe.checkpoint_sha256,
                **{name: known[name] for name in _SEGMENT},
            }
        }
    ]
    if recipe.refine is not None:
        steps.append({"refine": asdict(recipe.refine)})
    if recipe.export is not None:
        steps.append({"export": {"format": recipe.export}})
    content = {
        _KEY: VERSION,
        "software": f"napari-seg {napari_seg.__version__}",
        "notes": list(recipe.notes),
        "steps": steps,
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe; nothing in it is executed.

    Raises
    ------
    FormatError
        If it is none, or says something that no version knows.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST:
            raise _wrong(file, "more than 1 MB")
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _wrong(file, " ".join(str(error).split())) from error
    if not isinstance(content, dict) or content.get(_KEY) != VERSION:
        raise _wrong(file, f"no line {_KEY}: {VERSION}")
    steps = _steps(file, content.get("steps"))
    segment = dict(steps["segment"])
    try:
        model = segment.pop("model")
        sha256 = segment.pop("checkpoint_sha256", "")
        if not isinstance(model, str) or not isinstance(sha256, str):
            raise TypeError("model and checkpoint_sha256 are no words")
        refine = steps.get("refine")
        return Recipe(
            model,
            _params(SegmentParams, segment, _SEGMENT),
            sha256,
            None if refine is None else _params(CrfParams, refine),
            _format(steps.get("export")),
        )
    except (KeyError, TypeError) as error:
        raise _wrong(file, f"{type(error).__name__}: {error}") from error


def check_model(recipe: Recipe, checkpoint: Checkpoint) -> None:
    """Refuse a model that only has the name of the one in the recipe."""
    expected, found = recipe.checkpoint_sha256, checkpoint.sha256
    if expected and expected != found:
        raise CheckpointError(
            f"The model {recipe.model} is not the one of the recipe",
            f"sha256 {str(found)[:12]}…, in the recipe {expected[:12]}…",
            "Put the model back, or empty checkpoint_sha256 in the recipe to take "
            "this one",
        )


def iter_recipe(
    recipe: Recipe, image: Any, checkpoint: Checkpoint, params: SegmentParams
) -> Generator[Progress, None, Segmentation]:
    """Segment an image as a recipe says, and refine the outlines.

    Parameters
    ----------
    recipe : Recipe
    image : array_like
    checkpoint : Checkpoint
    params : SegmentParams
        Those of the recipe, with axes, spacing and device for this image.

    Yields
    ------
    Progress
        Stages of `iter_segment`, then ``"refine"``.
    """
    from napari_seg.inference.segment import iter_segment

    keep = params.keep_probabilities or recipe.refine is not None
    wanted = replace(params, keep_probabilities=keep)
    found = yield from iter_segment(image, checkpoint, wanted)
    if recipe.refine is not None:
        yield from iter_refine_labels(found, recipe.refine, params)
        found.provenance["crf"] = asdict(recipe.refine)
    return found


def iter_refine_labels(
    segmentation: Segmentation, crf: CrfParams, params: SegmentParams
) -> Generator[Progress, None, None]:
    """Give the labels of a segmentation refined outlines, in place."""
    from napari_seg.imaging.objects import next_free_id
    from napari_seg.inference.crf import CrfSolver
    from napari_seg.inference.planes import order_planes
    from napari_seg.inference.relabel import Place, iter_relabel

    labels, axes = segmentation.labels, segmentation.axes
    made = segmentation.provenance["instances"]
    threshold, seeds = params.threshold, params.seed_threshold
    instances = segmentation.instance_params(
        threshold=made["threshold"] if threshold is None else threshold,
        seed_threshold=made["seed_threshold"] if seeds is None else seeds,
        min_size_px=params.min_size_px,
    )
    solver = CrfSolver(crf, device=params.device)
    sizes = dict(zip(axes, labels.shape, strict=True))
    window = slice(0, sizes["Y"]), slice(0, sizes["X"])
    planes = order_planes(axes, labels.shape, None)
    least = next_free_id(labels)  # ids that vanish below are not given again
    for done, plane in enumerate(planes):
        yield Progress("refine", done, len(planes))
        place = Place(plane, window)
        steps = iter_relabel(segmentation, labels, solver, instances, place, least)
        found = yield from steps
        least = max(least, int(found.after.max(initial=0)) + 1)
        labels[found.index] = np.reshape(found.after, labels[found.index].shape)


def _steps(file: Path, steps: Any) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for step in steps if isinstance(steps, list) else ():
        if not isinstance(step, dict) or len(step) != 1:
            raise _wrong(file, f"a step that is not one word: {step!r}")
        ((name, content),) = step.items()
        if name not in ("segment", "refine", "export") or name in found:
            raise _wrong(file, f"the step {name!r}, unknown or there twice")
        if not isinstance(content, dict):
            raise _wrong(file, f"nothing below the step {name!r}")
        found[name] = content
    if list(found) != [n for n in ("segment", "refine", "export") if n in found]:
        raise _wrong(file, f"steps in the order {', '.join(found)}")
    if "segment" not in found:
        raise _wrong(file, "no step segment")
    return found


def _params(
    kind: type[Kind], content: Mapping[str, Any], names: tuple[str, ...] = ()
) -> Kind:
    """Build parameters; a field that is unknown, or of another type, is refused."""
    defaults = {f.name: f.default for f in fields(kind)}
    known = set(names) or set(defaults)
    if set(content) - known:
        raise KeyError(f"unknown: {', '.join(sorted(set(content) - known))}")
    for name, value in content.items():
        default = defaults[name]
        kinds = str if name in ("axes", "tta", "unit") else (int, float)
        is_flag = isinstance(default, bool)
        fits = isinstance(value, bool) if is_flag else isinstance(value, kinds)
        fits = fits and (is_flag or not isinstance(value, bool))
        fits = fits and (isinstance(value, str) or math.isfinite(value))
        if not fits and not (value is None and default is None):
            raise TypeError(f"{name} is {value!r}")
    made = kind(**content)
    made.check()
    return made


def _format(content: Mapping[str, Any] | None) -> str | None:
    if content is None:
        return None
    if set(content) != {"format"} or not isinstance(content["format"], str):
        raise TypeError("export needs a format, and nothing else")
    return content["format"]


def _wrong(file: Path, found: str) -> FormatError:
    return FormatError(
        f"{file} is not a recipe that can be run",
        found,
        "Save one on the Segment tab, or compare it with docs/recipes.md.",
    )
