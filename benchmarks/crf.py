"""Whether a dense CRF helps: mean IoU, boundary F (2 px) and AP@0.5 with and without.

DATA holds ``<set>/{train,val}/{images,masks[,semantic]}``. A model is given as
``set=checkpoint``, e.g. ``nuclei_fluo=nuclei-unet``; brief ones are made by
``python -m benchmarks.crf_models DATA``, better ones by ``python -m benchmarks.finetune
DATA`` or ``python -m benchmarks.ablation DATA``. A model with the classes background,
myelin and axon is scored on the semantic maps at half the resolution: there mean IoU is
over the classes, boundary F and AP are of the axons.

Settings are chosen with ``--choose``: then every third training image is used, which
benchmarks.crf_models leaves out of the training, and a small grid is tried. Otherwise
the presets are scored on the validation images. The object size of each image is given,
so that nothing but the CRF differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from benchmarks._table import report
from benchmarks.crf_models import HELD_OUT, SEMANTIC, read_semantic, semantic_files
from napari_seg.data.io import read_image, read_labels
from napari_seg.imaging.instances import InstanceParams
from napari_seg.imaging.metrics import boundary_f, evaluate, pool
from napari_seg.inference.crf import CrfSolver
from napari_seg.inference.refinement import iter_refine
from napari_seg.inference.result import Segmentation, iter_derive
from napari_seg.inference.segment import segment
from napari_seg.models.checkpoint import Checkpoint, load_model
from napari_seg.refine.crf import CRF_PRESETS, CrfParams
from napari_seg.training.folders import pair_files
from napari_seg.training.pairs import median_diameter
from napari_seg.types import run

PRESET_OF = {"nuclei_fluo": "nuclei", "nuclei_histology_rgb": "histology"}
"""Other sets are scored with the general one."""
SEMANTIC_PRESET = "tissue"
GRID: Mapping[str, tuple[float, ...]] = {
    "appearance_weight": (0.3, 0.6, 1.0, 3.0),
    "appearance_sigma": (2.0, 3.0, 8.0),
    "intensity_sigma": (0.05, 0.15),
    "smoothness_weight": (0.0, 1.0),
}
Scores = dict[str, float]


def candidates(name: str, is_semantic: bool, choose: bool) -> dict[str, CrfParams]:
    """Return the settings that are tried."""
    preset = SEMANTIC_PRESET if is_semantic else PRESET_OF.get(name, "general")
    base = CRF_PRESETS[preset]
    if not choose:
        return {preset: base}
    tried = {}
    for values in product(*GRID.values()):
        fields = dict(zip(GRID, values, strict=True))
        text = " ".join(f"{v:g}" for v in values)
        tried[text] = replace(base, **fields)
    if not is_semantic:
        tried["all classes"] = replace(base, foreground_only=False)
    return tried


def images(
    folder: Path, options: argparse.Namespace, is_semantic: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """Give image, truth and axes of each file that is scored."""
    step = HELD_OUT if options.choose else 1
    if is_semantic:
        for file in semantic_files(folder)[::step][:: options.every]:
            yield *read_semantic(file), "YX"
        return
    for source in pair_files(folder)[::step][:: options.every]:
        image, truth = read_image(source.image), read_labels(source.labels).array
        crop = np.s_[: options.crop, : options.crop]
        yield image.array[crop], np.asarray(truth)[crop], image.axes


def labels_of(found: Segmentation, is_semantic: bool) -> np.ndarray:
    """Return instances, or the most likely class."""
    if is_semantic:
        return found.probabilities.argmax(0)
    return run(iter_derive(found, InstanceParams(**found.provenance["instances"])))


def score_semantic(found: np.ndarray, truth: np.ndarray) -> Scores:
    """Return the mean IoU over classes, and how well axons are found."""
    ious = []
    for value in range(len(SEMANTIC)):
        mine, theirs = found == value, truth == value
        ious.append((mine & theirs).sum() / max(1, (mine | theirs).sum()))
    axon = SEMANTIC.index("axon")
    parts = [ndimage.label(labels == axon)[0] for labels in (found, truth)]
    return {
        "mean IoU": float(np.mean(ious)),
        "boundary F": boundary_f(found == axon, truth == axon),
        "AP@0.5": evaluate(*parts).average_precision(0.5),
    }


def score(pairs: list[tuple[np.ndarray, np.ndarray]], is_semantic: bool) -> Scores:
    """Return the scores of all images together."""
    if is_semantic:
        each = [score_semantic(*pair) for pair in pairs]
        return {key: float(np.mean([s[key] for s in each])) for key in each[0]}
    total = pool([evaluate(*pair) for pair in pairs])
    return {
        "mean IoU": total.mean_iou,
        "boundary F": total.boundary_f,
        "AP@0.5": total.average_precision(0.5),
        "mean AP": total.mean_ap,
    }


def compare(
    name: str, model: Checkpoint, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Return a row without and one for each setting of the CRF."""
    is_semantic = model.card.classes == SEMANTIC
    tried = candidates(name, is_semantic, options.choose)
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"without": []}
    pairs |= {key: [] for key in tried}
    folder = options.data / name / ("train" if options.choose else "val")
    for image, truth, axes in images(folder, options, is_semantic):
        size = None if is_semantic else median_diameter(truth)
        size = size or model.card.object_diameter_px
        found = segment(image, model, axes=axes, diameter_px=size)
        pairs["without"].append((labels_of(found, is_semantic), truth))
        for key, params in tried.items():
            refined = run(iter_refine(found, CrfSolver(params)))
            pairs[key].append((labels_of(refined, is_semantic), truth))
    plain = score(pairs["without"], is_semantic)
    rows = []
    for key, found_pairs in pairs.items():
        scores = score(found_pairs, is_semantic)
        gains = {f"+{k}": scores[k] - plain[k] for k in ("boundary F", "AP@0.5")}
        shown = {k: scores[k] for k in ("mean IoU", "boundary F", "AP@0.5")}
        row = {"set": name, "model": model.card.name, "CRF": key, **shown, **gains}
        rows.append(row | {"images": len(found_pairs)})
    return rows


def main() -> None:
    """Print one table a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+", metavar="SET=CHECKPOINT")
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--every", type=int, default=1, help="take every n-th image")
    parser.add_argument("--crop", type=int, help="first rows and columns only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for text in options.models:
        name, _, path = text.partition("=")
        rows += compare(name, load_model(path), options)
    report("crf", rows, table=rows)


if __name__ == "__main__":
    main()
