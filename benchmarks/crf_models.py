"""Models for benchmarks.crf: trained briefly, on two thirds of the training images.

DATA holds ``<set>/train/{images,masks[,semantic]}``. Every third image is left out:
benchmarks.crf chooses settings on those. ``nuclei_fluo`` starts from scratch, the other
sets from the shipped model. ``em_axons`` is semantic here: background, myelin, axon.
One model takes a minute or two of one core for 80 steps; one that is there is not
trained again.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as nnf

from napari_seg.data.io import read_image, read_labels
from napari_seg.imaging.normalise import intensity_range, rescale_intensity
from napari_seg.models.checkpoint import load_model, save_checkpoint
from napari_seg.models.registry import build_network
from napari_seg.training.folders import pair_files
from napari_seg.training.params import FINE_TUNING, TrainParams
from napari_seg.training.trainer import iter_train

SETS = ("nuclei_fluo", "nuclei_histology_rgb", "phase_cells", "em_membrane", "em_axons")
SEMANTIC = ("background", "myelin", "axon")
HELD_OUT = 3
"""Every so many-th training image is not trained on."""
_AXON_ZOOM = 0.5
_PATCH_PX = 160


def train_instances(data: Path, name: str, out: Path, steps: int) -> None:
    """Train interiors and borders, as the program does."""
    sources = [
        s for i, s in enumerate(pair_files(data / name / "train")) if i % HELD_OUT
    ]
    fields = {
        "steps": steps,
        "minutes": None,
        "validate_every": steps,
        "most_validated": 6,
        "device": "cpu",
        "threads": 1,
    }
    if name == "nuclei_fluo":
        alike = {k: FINE_TUNING[k] for k in ("augmentation", "average_decay")}
        params = TrainParams.quick_cpu(object_diameter_px=20.0, **alike, **fields)
    else:
        init = Path("nuclei-unet")
        frozen = {"rehearse": (), "freeze_norm": True, "encoder_rate": 0.5}
        params = TrainParams.quick_cpu(init=init, **frozen, **fields)
    for _ in iter_train(sources, out, params):
        pass


def train_semantic(data: Path, name: str, out: Path, steps: int) -> None:
    """Train a class for each value of the semantic maps."""
    shipped = load_model("nuclei-unet")
    card = dataclasses.replace(
        shipped.card, name=out.stem, classes=SEMANTIC, smallest_px=0.0, scores={}
    )
    network = build_network("unet", in_channels=1, num_classes=3, **card.arguments)
    known = {k: v.float() for k, v in shipped.network.state_dict().items()}
    network.load_state_dict(known)  # three classes there, too; the last layer adapts
    network.train()
    pairs = [
        read_semantic(p) for p in semantic_files(data / name / "train", held=False)
    ]
    rng = np.random.default_rng(0)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        images, classes = zip(
            *[patch(*pairs[rng.integers(len(pairs))], rng) for _ in range(4)],
            strict=True,
        )
        logits = network(torch.from_numpy(np.stack(images))[:, None])["out"]
        target = torch.from_numpy(np.stack(classes).astype(np.int64))
        loss = nnf.cross_entropy(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    save_checkpoint(out, network.eval(), card)


def semantic_files(folder: Path, *, held: bool | None = None) -> list[Path]:
    """Return images with a semantic map; those held out, the others, or all."""
    files = sorted((folder / "images").iterdir())
    return [
        f for i, f in enumerate(files) if held is None or held == (i % HELD_OUT == 0)
    ]


def read_semantic(image: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the normalised image and its classes, at half the resolution."""
    grey = np.asarray(read_image(image).array)
    classes = read_labels(image.parent.parent / "semantic" / image.name).array
    step = round(1 / _AXON_ZOOM)
    rows, columns = (n // step * step for n in grey.shape)
    grey = rescale_intensity(grey, intensity_range(grey))[:rows, :columns]
    small = grey.reshape(rows // step, step, columns // step, step).mean((1, 3))
    return small, np.asarray(classes)[:rows:step, :columns:step]


def patch(
    image: np.ndarray, classes: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a random patch, turned and mirrored at random."""
    y, x = (int(rng.integers(n - _PATCH_PX + 1)) for n in image.shape)
    window = np.s_[y : y + _PATCH_PX, x : x + _PATCH_PX]
    turns, mirror = int(rng.integers(4)), 1 - 2 * int(rng.integers(2))
    cut = [np.rot90(a[window], turns)[::mirror] for a in (image, classes)]
    return np.ascontiguousarray(cut[0], np.float32), np.ascontiguousarray(cut[1])


def main() -> None:
    """Train what is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--cache", type=Path, default=Path(".benchmarks/crf"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.cache.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        out = options.cache / f"{name}-{options.steps}.safetensors"
        if out.is_file():
            continue
        began = time.process_time()
        train = train_semantic if name == "em_axons" else train_instances
        train(options.data, name, out, options.steps)
        print(f"{out}: {time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
