"""Fit the model that tells whole objects among flooded regions, and store it.

DATA holds ``<set>/train/images`` and ``<set>/train/masks``. Objects of each set are
clicked in their middle and off it, floods from there are described as the graph cut
sees them in windows of three sizes, and a small model is fitted to choose the region of
the best IoU; each set counts the same::

    python -m benchmarks.region_rating DATA --collect regions.npz
    python -m benchmarks.region_rating DATA --fit regions.npz --leave-out
    python -m benchmarks.region_rating DATA --fit regions.npz --store regions.json

where the last file belongs into ``resources/``.
The second prints the mean IoU of the regions chosen in each set by a model that was
fitted to the other sets, and by one fitted to two thirds of the objects of all sets.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from benchmarks.click_pieces import Piece, cut_piece, sample
from benchmarks.robot import Rule, marked, next_click
from napari_seg.refine.box import box_around
from napari_seg.refine.depth import depth_inside
from napari_seg.refine.pyramid import block_mean
from napari_seg.refine.rating import CLIP, Rater
from napari_seg.refine.scale import looked
from napari_seg.refine.scene import CutParams, Known
from napari_seg.refine.strokes import Stroke
from napari_seg.refine.volume import Volume
from napari_seg.refine.whole import floods

if TYPE_CHECKING:
    from numpy.typing import NDArray

SETS = (
    "nuclei_fluo",
    "em_axons",
    "nuclei_histology_rgb",
    "phase_cells",
    "drawn",
)
"""Whose licences let what is fitted to them be shipped. The last are drawn here: plain
noisy ellipses, much larger than the others, too."""
ABOUT = (
    "Rates regions that may be a whole object (napari_seg/refine/rating.py). Fitted by "
    "benchmarks/region_rating.py to clicks on drawn ellipses and on training images of "
    "BBBC038 (nuclei, CC0), AxonDeepSeg SEM (MIT, doi:10.5281/zenodo.5498378) and "
    "Usiigaci (MIT). CC0-1.0."
)
"""Source and licence, kept in the file."""
MOST = 500
"""Regions of a click: two floods in three windows, 80 levels at most each."""


@dataclass(frozen=True)
class Clicks:
    """Regions that clicks may mean: features (N, R, F), IoU (N, R), set, object."""

    features: NDArray[np.float32]
    ious: NDArray[np.float32]
    kinds: NDArray[np.intp]
    objects: NDArray[np.intp]
    names: tuple[str, ...]


def regions(piece: Piece, seed: int) -> list[tuple[dict, NDArray[np.floating]]]:  # type: ignore[type-arg]
    """Return for two clicks the features of all regions, and their IoU."""
    view = piece.view
    nothing = np.zeros(piece.truth.shape, bool)
    click = next_click(nothing, piece.truth, nothing, view.spacing)
    assert click is not None
    depth = depth_inside(np.pad(piece.truth, 1), view.spacing)[
        tuple(slice(1, -1) for _ in nothing.shape)
    ]
    places = np.argwhere(depth > 0.4 * depth.max())
    aside = places[np.random.default_rng(seed).integers(len(places))]
    described = []
    for centre in (click.centre, aside):
        reach = float(depth[tuple(centre)])
        points = marked(centre, reach, piece.truth, view.spacing, Rule.FITTED)
        described.append(_described(piece, points))
    return described


def _described(
    piece: Piece, points: NDArray[np.intp]
) -> tuple[dict[str, NDArray[np.floating]], NDArray[np.floating]]:
    view, params = piece.view, CutParams()
    axis = -1 if view.has_channels else None
    image = Volume(view.image, view.ndim, channel_axis=axis)
    known = Known(_empty, _empty, lambda _: None)
    stroke = Stroke(points, positive=True)
    rows, ious = [], []
    for wider in (1.0, *params.wider[:-1]):
        margin = wider * params.margin_px
        box = box_around(stroke.points, image.shape, margin, view.spacing)
        look, factors = looked(image, box, [stroke], known, view.spacing)
        truth = block_mean(piece.truth[box], factors) > 0.5
        # What of the object lies outside the window is missed by all regions.
        outside = piece.truth.sum() / np.prod(factors) - truth.sum()
        for flood in floods(look):
            ranks = np.searchsorted(flood.levels, flood.distance).ravel()
            most = len(flood.levels) + 1
            size = np.cumsum(np.bincount(ranks, minlength=most)[:-1])
            shared = np.cumsum(np.bincount(ranks, truth.ravel(), most)[:-1])
            ious.append(shared / (size + truth.sum() + max(outside, 0) - shared))
            rows.append(flood.features)
    joined = {k: np.concatenate([row[k] for row in rows]) for k in rows[0]}
    return joined, np.concatenate(ious)


def _empty(box: tuple[slice, ...]) -> NDArray[np.bool_]:
    return np.zeros([s.stop - s.start for s in box], bool)


def drawn(seed: int) -> Piece:
    """Return an ellipse among others, brighter or darker than noisy ground."""
    rng = np.random.default_rng(seed)
    length = float(np.exp(rng.uniform(np.log(8), np.log(320))))
    image = np.zeros((round(2.2 * length + 120),) * 2)
    truth = np.zeros(image.shape, bool)
    middle = image.shape[0] / 2
    sign = rng.choice([-1, 1])
    for number in range(rng.integers(1, 8)):
        place = rng.uniform(0, 2 * middle, 2) if number else np.full(2, middle)
        turn, thin = rng.uniform(0, np.pi), rng.uniform(0.4, 1)
        y, x = np.indices(image.shape) - place.reshape(2, 1, 1)
        along = x * np.cos(turn) + y * np.sin(turn)
        across = (y * np.cos(turn) - x * np.sin(turn)) / thin
        inside = along**2 + across**2 < (length / 2) ** 2
        truth = truth & ~inside if number else inside
        image[inside] = sign * rng.uniform(0.7, 1.3)
    image = ndimage.gaussian_filter(image, rng.uniform(0.5, 2))
    image += rng.uniform(0.02, 0.4) * rng.standard_normal(image.shape)
    nothing = np.zeros(image.shape, np.int32)
    return cut_piece(f"drawn {seed}", image, truth, nothing, (1.0, 1.0))


def collect(data: Path, count: int, seed: int, jobs: int) -> Clicks:
    """Return the regions of clicks on training images of all sets."""
    features, ious, kinds, objects = [], [], [], []
    names: tuple[str, ...] = ()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as pool:
        for kind, name in enumerate(SETS):
            if name == "drawn":
                pieces = [drawn(seed * count + i) for i in range(count)]
            else:
                pieces = sample(data / name / "train", count, seed)
            found = pool.map(partial(regions, seed=seed), pieces, chunksize=4)
            for number, clicks in enumerate(found):
                for row, iou in clicks:
                    names = tuple(row)
                    table = np.stack(list(row.values()), axis=1)
                    pad = MOST - len(iou)
                    features.append(np.pad(table, ((0, pad), (0, 0))))
                    ious.append(np.pad(iou, (0, pad), constant_values=-1))
                    kinds.append(kind)
                    objects.append(number)
    return Clicks(
        np.array(features, np.float32),
        np.array(ious, np.float32),
        np.array(kinds),
        np.array(objects),
        names,
    )


def fitted(
    clicks: Clicks, chosen: NDArray[np.bool_], *, units: int, steps: int, decay: float
) -> Rater:
    """Return the model whose choice, as a soft maximum, has the best mean IoU."""
    import torch

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    ious = clicks.ious[chosen]
    raw = clicks.features[chosen]
    mean, spread = raw[ious >= 0].mean(axis=0), raw[ious >= 0].std(axis=0) + 1e-6
    x = torch.tensor(np.clip((raw - mean) / spread, -CLIP, CLIP))
    y = torch.tensor(ious)
    first = torch.nn.Linear(x.shape[-1], units)
    last = torch.nn.Linear(units, 1, bias=False)
    weights = [*first.parameters(), *last.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=0.02, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    kinds = clicks.kinds[chosen]
    groups = [np.flatnonzero(kinds == k) for k in np.unique(kinds)]
    for _ in range(steps):
        batch = np.concatenate([rng.choice(g, 10) for g in groups])
        rating = last(torch.tanh(first(x[batch])))[..., 0]
        rating = rating.masked_fill(y[batch] < 0, -1e9)
        loss = -(torch.softmax(rating, 1) * y[batch]).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    hidden = torch.cat([first.weight, first.bias[:, None]], 1).detach().numpy()
    output = last.weight[0].detach().numpy()
    return Rater(clicks.names, mean, spread, hidden, output)


def chosen_ious(rater: Rater, clicks: Clicks) -> NDArray[np.float32]:
    """Return the IoU of the region that the model prefers, for each click."""
    best = []
    for table, ious in zip(clicks.features, clicks.ious, strict=True):
        used = ious >= 0
        rating = rater.rate(dict(zip(clicks.names, table[used].T, strict=True)))
        best.append(ious[used][np.argmax(rating)])
    return np.array(best)


def report(clicks: Clicks, **settings: float) -> None:
    """Print how well regions are chosen in sets and objects left out."""
    print("set                        best  left out  shared")
    third = clicks.objects % 3 == 0
    shared = chosen_ious(fitted(clicks, ~third, **settings), clicks)  # type: ignore[arg-type]
    for kind, name in enumerate(SETS):
        here = clicks.kinds == kind
        alone = chosen_ious(fitted(clicks, ~here, **settings), clicks)  # type: ignore[arg-type]
        best = clicks.ious.max(axis=1)
        figures = best[here].mean(), alone[here].mean(), shared[here & third].mean()
        print(f"{name:25s}", *(f"{f:6.3f}" for f in figures), flush=True)


def store(rater: Rater, path: Path) -> None:
    """Write a model as JSON, with few digits."""
    arrays = {
        k: np.round(np.asarray(getattr(rater, k), float), 4).tolist()
        for k in ("mean", "spread", "hidden", "output")
    }
    stored = {"about": ABOUT, "names": rater.names, **arrays}
    path.write_text(json.dumps(stored, indent=0) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect, judge or store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--collect", type=Path)
    parser.add_argument("--fit", type=Path)
    parser.add_argument("--leave-out", action="store_true")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--objects", type=int, default=110, help="of each set")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--units", type=int, default=8)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--decay", type=float, default=0.01)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    settings = {k: getattr(options, k) for k in ("units", "steps", "decay")}
    if options.collect:
        clicks = collect(options.data, options.objects, options.seed, options.jobs)
        np.savez_compressed(options.collect, **vars(clicks))
    if options.fit:
        with np.load(options.fit) as data:
            parts = {k: data[k] for k in data.files}
        clicks = Clicks(**{**parts, "names": tuple(parts["names"].tolist())})
        if options.store:
            store(
                fitted(clicks, np.ones(len(clicks.kinds), bool), **settings),
                options.store,
            )
        if options.leave_out:
            report(clicks, **settings)


if __name__ == "__main__":
    main()
