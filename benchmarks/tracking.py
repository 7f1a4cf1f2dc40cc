"""Linking over time: films of real nuclei that move, blink and divide, with known ids.

DATA holds ``images`` and ``masks`` of single images (``nuclei_fluo/val``). Each becomes
a film: a smooth field and a drift move its nuclei, some are missing in single frames,
and some divide. The ids of each frame are shuffled, and linked again::

    python -m benchmarks.tracking DATA
    python -m benchmarks.tracking DATA --segment nuclei-unet

With ``--segment`` the images are moved in the same way and segmented by a model, so
that the masks have the errors of a network; a link counts where both its objects
overlap true ones by an IoU of 0.5.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from benchmarks._table import report
from napari_seg.data.io import read_image, read_labels
from napari_seg.imaging.frame_objects import frame_objects, shared_pixels
from napari_seg.imaging.linking import match_planes
from napari_seg.inference.tracking import track

FRAMES = 8
SPEEDS = (0.25, 0.5, 0.75, 1.0)
"""Mean way from frame to frame, in diameters."""
LEAST_OBJECTS = 20
Links = set[tuple[int, int, int]]
"""Frame, id there, id in the next frame."""


class Film(NamedTuple):
    """A film and what is true of it."""

    images: NDArray[np.float32]
    labels: NDArray[np.int32]
    parents: dict[int, int]


def film(image: NDArray[Any], masks: NDArray[Any], speed: float, seed: int) -> Film:
    """Move the nuclei of an image along a smooth field that changes, and a drift."""
    rng = np.random.default_rng(seed)
    side = float(np.median(frame_objects(masks).diameters((1.0, 1.0))))
    grid = np.mgrid[: masks.shape[0], : masks.shape[1]].astype(float)
    drift = rng.normal(size=2)
    drift *= 0.5 * speed * side / np.linalg.norm(drift)
    places, images, labels = grid.copy(), [], []
    for _ in range(FRAMES):
        images.append(map_coordinates(image, places, order=1, mode="reflect"))
        labels.append(map_coordinates(masks, places, order=0, mode="constant"))
        noise = rng.normal(size=(2, *masks.shape))
        field = gaussian_filter(noise, (0, 2 * side, 2 * side))
        field *= speed * side / np.linalg.norm(field, axis=0).mean()
        # what is in the film moves against the places it is taken from
        places = places - field - drift[:, None, None]
    return Film(np.array(images, np.float32), np.array(labels, np.int32), {})


def with_events(plain: Film, missing: float, seed: int) -> Film:
    """Let one nucleus in eight divide, and leave some out of single frames."""
    rng = np.random.default_rng(seed)
    labels = plain.labels.copy()
    side = float(np.median(frame_objects(labels[0]).diameters((1.0, 1.0))))
    parents = _divide(labels, rng, side)
    for frame in labels[1:-1]:
        ids = np.unique(frame)
        gone = ids[(rng.random(len(ids)) < missing) & (ids > 0)]
        frame[np.isin(frame, gone)] = 0
    return Film(plain.images, labels, parents)


def _divide(
    labels: NDArray[np.int32], rng: np.random.Generator, side: float
) -> dict[int, int]:
    """Let one nucleus in eight become two halves that move apart, in place."""
    parents: dict[int, int] = {}
    last = int(labels.max())
    ids = frame_objects(labels[0]).ids
    for mother in rng.choice(ids, len(ids) // 8, replace=False).tolist():
        begin = int(rng.integers(2, FRAMES - 2))
        spots = [np.argwhere(frame == mother) for frame in labels[begin - 1 :]]
        if any(len(spot) < 40 for spot in spots):
            continue
        halves = (last + 1, last + 2)
        for n, spot in enumerate(spots[1:]):
            _halve(labels[begin + n], spot, halves, 0.15 * side * (n + 1))
        parents |= dict.fromkeys(halves, mother)
        last += 2
    return parents


def _halve(
    frame: NDArray[np.int32],
    spot: NDArray[np.intp],
    halves: tuple[int, int],
    apart: float,
) -> None:
    """Replace an object by its halves on both sides of its short axis."""
    centre = spot.mean(axis=0)
    axis = np.linalg.eigh(np.cov((spot - centre).T))[1][:, 1]
    ahead = (spot - centre) @ axis > 0
    frame[tuple(spot.T)] = 0
    for half, sign in zip((ahead, ~ahead), (1, -1), strict=True):
        at = np.rint(spot[half] + sign * apart * axis).astype(int)
        at = at[((at >= 0) & (at < frame.shape)).all(axis=1)]
        free = at[frame[tuple(at.T)] == 0]
        frame[tuple(free.T)] = halves[0 if sign > 0 else 1]


def shuffled(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Give each frame other ids."""
    found = np.zeros_like(labels)
    for before, after in zip(labels, found, strict=True):
        table = np.append(0, rng.permutation(int(labels.max())) + 1).astype(np.int32)
        after[...] = table[before]
    return found


def true_ids(
    found: NDArray[np.int32], truth: NDArray[np.int32]
) -> list[dict[int, int]]:
    """Return for each frame which true object each found one is, at IoU 0.5."""
    tables = []
    for ours, theirs in zip(found, truth, strict=True):
        a, b = frame_objects(ours), frame_objects(theirs)
        both = shared_pixels(ours, theirs, (a, b))
        union = a.sizes[both.first] + b.sizes[both.second] - both.counts
        good = both.counts / union > 0.5
        first, second = a.ids[both.first[good]], b.ids[both.second[good]]
        tables.append(dict(zip(first.tolist(), second.tolist(), strict=True)))
    return tables


def greedy(labels: NDArray[np.int32], least: float) -> Links:
    """Link mutual best overlaps from frame to frame."""
    return {
        (t, a, b)
        for t, (first, second) in enumerate(pairwise(labels))
        for a, b in match_planes(first, second, min_iou=least)
    }


def tracked(labels: NDArray[np.int32], *, divisions: bool) -> tuple[Links, Any, float]:
    """Link with laptrack; return the links by the ids of the labels."""
    start = time.perf_counter()
    _, tracks = track(labels, axes="TYX", divisions=divisions)
    took = time.perf_counter() - start
    links: Links = set()
    for t in range(len(labels) - 1):
        earlier = dict(zip(tracks.numbers[t].tolist(), tracks.objects[t].ids.tolist(),
                           strict=True))  # fmt: skip
        for new, now in zip(
            tracks.numbers[t + 1].tolist(), tracks.objects[t + 1].ids.tolist(),
            strict=True,
        ):  # fmt: skip
            origin = new if new in earlier else tracks.parents.get(new, 0)
            if origin in earlier:
                links.add((t, earlier[origin], now))
    return links, tracks, took


def score(links: Links, names: list[dict[int, int]], truth: Film) -> dict[str, float]:
    """Compare links with the true ones; those of daughters count as well."""
    known = {
        (t, names[t][a], names[t + 1][b])
        for t, a, b in links
        if a in names[t] and b in names[t + 1]
    }
    there = [set(table.values()) for table in names]
    right = set()
    for t in range(len(there) - 1):
        for b in there[t + 1]:
            origin = b if b in there[t] else truth.parents.get(b, 0)
            if origin in there[t]:
                right.add((t, origin, b))
    hits = len(known & right)
    return {
        "wrong": len(known) - hits,
        "found": hits,
        "true": len(right),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print link accuracy by speed, for greedy overlap and for the assignment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--missing", type=float, default=0.03)
    parser.add_argument("--segment", metavar="MODEL")
    chosen = parser.parse_args(arguments)
    pairs = _pairs(chosen.data, chosen.images)
    rows, seconds, frames = [], 0.0, 0
    for speed in SPEEDS:
        totals: dict[str, dict[str, float]] = {}
        divided = [0, 0, 0]
        for seed, (image, masks) in enumerate(pairs):
            truth = film(image, masks, speed, seed)
            if chosen.segment:
                labels = _segmented(truth.images, chosen.segment)
            else:  # the image shows no division, so the model cannot find one
                truth = with_events(truth, chosen.missing, seed)
                labels = shuffled(truth.labels, np.random.default_rng(seed))
            names = true_ids(labels, truth.labels)
            ways = {
                "best overlap": greedy(labels, 0.0),
                "best overlap, IoU 0.25": greedy(labels, 0.25),
                "assignment": tracked(labels, divisions=False)[0],
            }
            links, tracks, took = tracked(labels, divisions=True)
            ways["assignment, divisions"] = links
            seconds, frames = seconds + took, frames + len(labels)
            for way, known in ways.items():
                sums = totals.setdefault(way, {})
                for key, value in score(known, names, truth).items():
                    sums[key] = sums.get(key, 0) + value
            if not chosen.segment:
                _count_divisions(divided, tracks, names, truth)
        for way, sums in totals.items():
            with_divisions = way.endswith("divisions") and not chosen.segment
            rows.append(
                {
                    "speed": speed,
                    "method": way,
                    "links found": sums["found"] / sums["true"],
                    "links wrong": sums["wrong"] / (sums["wrong"] + sums["found"]),
                    "divisions": "{}/{}, {} false".format(*divided)
                    if with_divisions
                    else "",
                }
            )
    report("tracking", rows, seconds_per_frame=round(seconds / frames, 4))


def _count_divisions(
    divided: list[int], tracks: Any, names: list[dict[int, int]], truth: Film
) -> None:
    """Add found, true and false divisions; those seen in one frame count as true."""
    first: dict[int, tuple[int, int]] = {}
    for number, t, row in tracks.rows():
        first.setdefault(number, (t, int(tracks.objects[t].ids[row])))
    found: dict[int, set[int]] = {}
    for child in tracks.parents:
        t, label = first[child]
        found.setdefault(tracks.parents[child], set()).add(names[t].get(label, 0))
    right = {}
    for child, mother in truth.parents.items():
        right.setdefault(mother, set()).add(child)
    wanted = [frozenset(children) for children in right.values()]
    given = [frozenset(children) for children in found.values()]
    hits = len(set(wanted) & set(given))
    for place, value in enumerate((hits, len(wanted), len(given) - hits)):
        divided[place] += value


def _segmented(images: NDArray[np.float32], model: str) -> NDArray[np.int32]:
    from napari_seg import segment

    return segment(images, model, axes="TYX", keep_probabilities=False).labels


def _pairs(data: Path, count: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return the first images with enough nuclei, and their masks."""
    found = []
    for path in sorted((data / "masks").iterdir()):
        masks = np.asarray(read_labels(path).array)
        if len(np.unique(masks)) > LEAST_OBJECTS:
            image = np.asarray(read_image(data / "images" / path.name).array)
            found.append((image, masks))
        if len(found) == count:
            break
    return found


if __name__ == "__main__":
    main()
