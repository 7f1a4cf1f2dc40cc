"""``napari-seg segment``: images in, labels out, without a window."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_seg.cli.output import emit_json, follow, say, warn
from napari_seg.errors import FormatError, NapariSegError

if TYPE_CHECKING:
    from napari_seg.inference.segment import Segmentation, SegmentParams
    from napari_seg.models.checkpoint import Checkpoint
    from napari_seg.refine.crf import CrfParams
    from napari_seg.types import Progress

    Steps = Callable[
        [Any, Checkpoint, SegmentParams], Generator[Progress, None, Segmentation]
    ]

EXIT_BAD_INPUT = 2


def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="Images, or folders of images."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the labels, <stem>.tif each.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Name from `napari-seg models`, or a checkpoint file (nuclei-unet). "
            "Of several, the probabilities are averaged."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ...")
    ] = "auto",
    axes: Annotated[
        str | None, typer.Option(help="Axes of the images, e.g. ZYX or CYX.")
    ] = None,
    channel: Annotated[
        int | None, typer.Option(min=0, help="Channel to segment, from 0.")
    ] = None,
    diameter: Annotated[
        str,
        typer.Option(metavar="auto|PX", help="Object diameter in pixels, or e.g. 9um."),
    ] = "auto",
    tta: Annotated[
        str,
        typer.Option(
            metavar="none|flips|all",
            help="Average over mirrored (4 times as slow) and turned (8) tiles.",
        ),
    ] = "none",
    classes: Annotated[
        bool,
        typer.Option(
            "--classes", help="Write the class of each pixel as well, into classes/."
        ),
    ] = False,
    crf: Annotated[
        bool, typer.Option("--crf", help="Let outlines follow the image (dense CRF).")
    ] = False,
    crf_preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Settings of the CRF; any other name lists them."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout.")
    ] = False,
) -> None:
    """Segment images and write their labels as int32 TIFF with physical size."""
    size = _parse_diameter(diameter)
    refinement = _parse_crf(crf, crf_preset)
    from napari_seg.inference.segment import SegmentParams, load

    names = model or ["nuclei-unet"]
    checkpoint = load(names)
    params = SegmentParams(
        axes=axes, channel=channel, device=device, tta=tta, crf=refinement, **size
    )
    results: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    for path, target, problem in plan(inputs, out):
        try:
            if problem is not None:
                raise problem
            done = segment_file(path, target, checkpoint, params, classes=classes)
        except (NapariSegError, OSError, MemoryError) as error:
            text = str(error) or "not enough memory"
            warn(text if str(path) in text else f"{path}: {text}")
            errors.append({"input": str(path), "error": text})
            continue
        results.append(done)
        if not as_json:
            say(
                f"{done['output']}: {done['objects']} objects, "
                f"diameter {done['diameter_px']:.1f} px"
            )
    if as_json:
        emit_json({"model": checkpoint.card.name, "results": results, "errors": errors})
    if errors:
        raise typer.Exit(EXIT_BAD_INPUT)


def _parse_diameter(text: str) -> dict[str, Any]:
    """Return the field of the parameters that it sets; none for "auto"."""
    trimmed = text.strip().lower()
    if trimmed == "auto":
        return {}
    unit = "um" if trimmed.endswith(("um", "\u00b5m", "\u03bcm")) else "px"
    try:
        value = float(trimmed[:-2] if unit == "um" else trimmed.removesuffix("px"))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise typer.BadParameter(
            f"{text!r} is not 'auto' or a size above 0 such as 30 or 9um.",
            param_hint="--diameter",
        )
    return {f"diameter_{unit}": value}


def _parse_crf(is_on: bool, preset: str | None) -> CrfParams | None:
    """Return the parameters of the CRF, if there is to be one."""
    from napari_seg.refine.crf import CRF_PRESETS, DEFAULT_PRESET

    if not is_on and preset is None:
        return None
    name = preset or DEFAULT_PRESET
    if name not in CRF_PRESETS:
        raise typer.BadParameter(
            f"{name!r} is none of {', '.join(CRF_PRESETS)}.", param_hint="--crf-preset"
        )
    return CRF_PRESETS[name]


def plan(
    inputs: list[Path], out: Path
) -> list[tuple[Path, Path, NapariSegError | None]]:
    """Give each image its output file, and refuse what would overwrite something."""
    plan: list[tuple[Path, Path, NapariSegError | None]] = []
    taken: dict[Path, Path] = {}
    for path in [found for given in inputs for found in _expand(given)]:
        target = out / f"{path.stem}.tif"
        problem: NapariSegError | None = None
        if target.resolve() == path.resolve():
            problem = FormatError(
                "the labels would overwrite the image", remedy="Choose another --out."
            )
        elif target in taken:
            problem = FormatError(
                f"the labels would overwrite those of {taken[target]}",
                f"both are called {path.stem}",
                "Segment them into different folders.",
            )
        elif path.is_dir() and not _is_zarr(path):
            problem = FormatError(
                "the folder holds no image that can be read",
                remedy="Give image files or a folder of them.",
            )
        taken.setdefault(target, path)
        plan.append((path, target, problem))
    return plan


def _expand(path: Path) -> list[Path]:
    """Return the images of a folder; a file, or a Zarr image, is itself."""
    from napari_seg.data.io import READABLE_SUFFIXES

    if not path.is_dir() or _is_zarr(path):
        return [path]
    # macOS leaves "._image.tif" beside every file on foreign disks
    visible = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    return [p for p in visible if p.suffix.lower() in READABLE_SUFFIXES] or [path]


def _is_zarr(path: Path) -> bool:
    names = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
    return path.suffix.lower() == ".zarr" or any((path / n).is_file() for n in names)


def segment_file(
    path: Path,
    target: Path,
    checkpoint: Checkpoint,
    params: SegmentParams,
    *,
    classes: bool = False,
    steps: Steps | None = None,
) -> dict[str, Any]:
    """Segment one image into one labels file; return what to report.

    `steps` does it, as `iter_segment` does.
    """
    from dataclasses import replace

    from napari_seg.data.image_data import spacing_axes
    from napari_seg.data.io import read_image, write_labels
    from napari_seg.imaging.axes import check_axes, spatial_axes
    from napari_seg.inference.segment import iter_segment

    data = read_image(path)
    axes = check_axes(params.axes or data.axes, data.array.shape)
    sizes, spacing = {}, None
    if data.spacing is not None:
        sizes = dict(zip(spacing_axes(data.axes), data.spacing, strict=True))
        # the user may have called an axis Z that the file did not
        spacing = tuple(sizes.get(letter, 1.0) for letter in spacing_axes(axes))
    params = replace(
        params,
        axes=axes,
        # frames count as one pixel each, as the core wants it
        spacing=tuple(sizes.get(a, 1.0) for a in spatial_axes(axes)) if sizes else None,
        keep_probabilities=classes,
    )
    job = (steps or iter_segment)(data.array, checkpoint, params)
    result = follow(job, path.name)
    write_labels(target, result.labels, result.axes, spacing)
    more: dict[str, Any] = {}
    if classes:
        map_path = target.parent / "classes" / target.name
        write_labels(map_path, result.semantic, result.axes, spacing)
        more = {"classes": str(map_path), "class_names": result.class_names}
    return {
        "input": str(path),
        "output": str(target),
        **more,
        "objects": _count(result.labels),
        "axes": result.axes,
        "shape": list(result.labels.shape),
        "spacing_um": spacing,
        "diameter_px": result.diameter_px,
        "provenance": result.provenance,
    }


def _count(labels: Any) -> int:
    """Return the number of distinct ids, plane by plane to save memory."""
    import numpy as np

    seen = np.zeros(int(labels.max(initial=0)) + 1, dtype=bool)
    for plane in labels.reshape(-1, *labels.shape[-2:]):
        seen[plane] = True
    return int(seen[1:].sum())
