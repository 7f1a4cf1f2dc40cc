"""Seconds from a stroke to the new mask, and against one cut of the whole image.

    python -m benchmarks.cut_speed [--objects 40] [--sides 2048 8192] [--no-volume]

Images are the shipped nuclei, mirrored side by side; the volume holds noisy ellipsoids
of up to 40 x 100 x 100 voxels. A robot clicks in an object, anywhere at least half as
deep as its middle, and corrects it up to four times at the middle of the largest error;
for every second object it also clicks on plain ground. The mask is there when the edit
that would write it is. Processor time is told as well: it hardly depends on what else
the machine does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from edt import edt
from scipy import ndimage

from benchmarks._table import report
from benchmarks.cut_whole import against_whole
from benchmarks.robot import Click, Rule, marked, next_click
from napari_seg.data.samples import read_sample, read_sample_truth
from napari_seg.imaging.deltas import bounding_box
from napari_seg.refine.session import CorrectionSession

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAR_MS = {2: 60, 3: 400}
VOLUME = (64, 1024, 1024)
LATER_CLICKS = 4
REACH_PX = 130
"""How far around a click the robot sees."""

Times = dict[str, list[tuple[float, float]]]
"""Seconds on the clock and of the processor, for each kind of click."""


def nuclei(side: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return an image of `side` rows and columns of nuclei, and their ids."""
    image, truth = read_sample("nuclei").array, read_sample_truth("nuclei").array
    pad = [(0, side - n) for n in image.shape]
    return np.pad(image, pad, mode="symmetric"), np.pad(truth, pad, mode="symmetric")


def ellipsoids(seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    """Return a noisy volume of bright ellipsoids, and their ids."""
    rng = np.random.default_rng(seed)
    image, truth = np.empty(VOLUME, np.uint8), np.zeros(VOLUME, np.int16)
    for plane in image:
        plane[...] = rng.normal(40, 8, VOLUME[1:]).clip(0, 255)
    for place in np.ndindex(7, 7):
        half = rng.uniform((8, 15, 15), (20, 50, 50))
        centre = np.array([rng.uniform(24, 40), *(80 + 140 * np.array(place))])
        low = np.maximum(centre - half, 0).astype(int)
        box = tuple(
            slice(a, int(c + h) + 1) for a, c, h in zip(low, centre, half, strict=True)
        )
        sides = zip(np.ogrid[box], centre, half, strict=True)
        inside = sum(((i - c) / h) ** 2 for i, c, h in sides) < 1
        image[box] += (inside * rng.uniform(30, 120)).astype(np.uint8)
        truth[box][inside] = 1 + 7 * place[0] + place[1]
    return image, truth


def first_click(
    truth: NDArray[Any], rng: np.random.Generator, *, ground: bool
) -> tuple[tuple[slice, ...], NDArray[np.bool_], Click]:
    """Return a piece of the image, an object there, and a click in it or beside it."""
    spacing = (1.0,) * truth.ndim
    while True:
        at = rng.integers(0, truth.shape)
        if bool(truth[tuple(at)] == 0) != ground:
            continue
        window = _around(at, at + 1, REACH_PX, truth.shape)
        parts, _ = ndimage.label(truth[window] == truth[tuple(at)])
        mask = parts == parts[tuple(at - [s.start for s in window])]
        if ground:
            here = at - [s.start for s in window]
            points = marked(here, 2.0, mask, spacing, Rule.PLAIN)
            return window, mask, Click(here, points, True, 2.0)
        depth = edt(mask, black_border=True)
        places = np.argwhere(depth >= 0.5 * depth.max())
        here = places[rng.integers(len(places))]
        tight = bounding_box(mask)
        low, high = ([getattr(s, side) for s in tight] for side in ("start", "stop"))
        piece = _around(low, high, 20, mask.shape)
        mask = mask[piece]
        here = here - [s.start for s in piece]
        points = marked(here, 2.0, mask, spacing, Rule.PLAIN)
        piece = tuple(
            slice(p.start + w.start, p.stop + w.start)
            for p, w in zip(piece, window, strict=True)
        )
        return piece, mask, Click(here, points, True, 2.0)


def _around(
    low: Sequence[int], high: Sequence[int], margin: int, shape: Sequence[int]
) -> tuple[slice, ...]:
    return tuple(
        slice(max(int(a) - margin, 0), min(int(b) + margin, n))
        for a, b, n in zip(low, high, shape, strict=True)
    )


def timed(
    session: CorrectionSession, click: Click, piece: tuple[slice, ...]
) -> tuple[NDArray[np.bool_], tuple[float, float]]:
    """Return the mask that a stroke makes in a piece, and how long that took."""
    points = click.points + [s.start for s in piece]
    wall, processor = time.perf_counter(), time.process_time()
    edit = session.stroke(points, click.positive)
    taken = time.perf_counter() - wall, time.process_time() - processor
    mask = np.zeros([s.stop - s.start for s in piece], bool)
    start = [s.start for s in piece]
    index = edit.indices
    inside = np.ones(len(index[0]), bool)
    for axis, low, length in zip(index, start, mask.shape, strict=True):
        inside &= (axis >= low) & (axis < low + length)
    mask[tuple(i[inside] - a for i, a in zip(index, start, strict=True))] = True
    return mask, taken


def measure(image: NDArray[Any], truth: NDArray[Any], objects: int, seed: int) -> Times:
    """Return the times of all clicks of the robot in one image."""
    session = CorrectionSession(image, np.zeros(truth.shape, np.int32))
    rng = np.random.default_rng(seed)
    times: Times = {"first": [], "later": [], "plain ground": []}
    spacing = (1.0,) * truth.ndim
    for number in range(objects + objects // 2):
        ground = number % 3 == 2
        piece, wanted, click = first_click(truth, rng, ground=ground)
        session.cancel()
        mask, taken = timed(session, click, piece)
        times["plain ground" if ground else "first"].append(taken)
        clicked = np.zeros(wanted.shape, bool)
        for _ in range(0 if ground else LATER_CLICKS):
            correction = next_click(mask, wanted, clicked, spacing)
            if (
                correction is None
                or (mask & wanted).sum() > 0.95 * (mask | wanted).sum()
            ):
                break
            clicked[tuple(correction.centre)] = True
            mask, taken = timed(session, correction, piece)
            times["later"].append(taken)
    return times


def rows(name: str, times: Times) -> list[dict[str, Any]]:
    """Return the table's rows for one image."""
    times = {**times, "all": [t for some in times.values() for t in some]}
    table = []
    for kind, some in times.items():
        if some:
            wall, processor = 1000 * np.array(some).T
            table.append(
                {
                    "image": name,
                    "click": kind,
                    "clicks": len(some),
                    "median_ms": float(np.median(wall)),
                    "p95_ms": float(np.percentile(wall, 95)),
                    "processor_median_ms": float(np.median(processor)),
                    "processor_p95_ms": float(np.percentile(processor, 95)),
                }
            )
    return table


def main() -> None:
    """Time all clicks, and one cut of a whole image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=40)
    parser.add_argument("--sides", type=int, nargs="*", default=[2048, 8192])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-volume", action="store_true")
    parser.add_argument("--no-whole", action="store_true")
    options = parser.parse_args()
    table: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    for side in options.sides:
        times = measure(*nuclei(side), options.objects, options.seed)
        table += rows(f"{side} x {side}", times)
    if not options.no_volume:
        times = measure(*ellipsoids(options.seed), options.objects, options.seed)
        table += rows(" x ".join(map(str, VOLUME)), times)
    if not options.no_whole:
        figures = against_whole(*nuclei(2048))
    bars = {"bar_image_p95_ms": BAR_MS[2], "bar_volume_p95_ms": BAR_MS[3]}
    report("cut_speed", table, **bars, **figures)


if __name__ == "__main__":
    main()
