"""Clicks until a mask is right: our graph cut and other tools, driven by one robot.

DATA holds ``<set>/val/images`` and ``<set>/val/masks``. For each object drawn the robot
starts from nothing and clicks at the middle of the largest error, at most 20 times::

    python -m benchmarks.clicks DATA
    python -m benchmarks.clicks DATA --rule plain
    python -m benchmarks.clicks DATA --sets em_chloroplast_3d --objects 15
    python -m benchmarks.clicks DATA --sets nuclei_fluo --network nuclei-unet
    python -m benchmarks.clicks DATA --sets nuclei_fluo --network nuclei-unet --fix

The last one instead starts from what the network found, and corrects every object that
it got wrong.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._table import report
from benchmarks.click_errors import KINDS
from benchmarks.click_fix import mend, spurious
from benchmarks.click_pieces import Network, Piece, Segmented, sample, segmented
from benchmarks.click_tools import MENDING, PLANAR, TOOLS
from benchmarks.robot import MOST_CLICKS, Rule, Trial, play

SETS = ("nuclei_fluo", "em_axons", "nuclei_histology_rgb", "phase_cells")
OURS = "graph cut"

Row = dict[str, Any]
Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]


def trial(tool: str, rule: Rule, piece: Piece) -> Trial:
    """Let the robot make one object with one tool."""
    view = piece.view
    made = TOOLS[tool](view)
    return play(made, piece.truth, view.start(), view.spacing, rule=rule)


def mended(
    tool: str, with_edits: bool, rule: Rule, data: Segmented
) -> list[tuple[str, Trial]]:
    """Let the robot mend one image with one tool, or that and split and join."""
    found = mend(data, TOOLS[tool], rule, with_edits=with_edits)
    return [(m.kind, m.trial) for m in found]


def summary(trials: Sequence[Trial]) -> Row:
    """Return the figures of one row of the table."""
    times = np.concatenate([t.seconds for t in trials if t.seconds] or [[0.0]]) * 1000
    first = [t.scores[min(1, len(t.scores) - 1)] for t in trials]
    return {
        "objects": len(trials),
        "noc85": float(np.mean([t.clicks(0.85) for t in trials])),
        "noc90": float(np.mean([t.clicks(0.9) for t in trials])),
        "fail90": sum(t.failed(0.9) for t in trials),
        "first_iou": float(np.mean(first)),
        "ms": float(times.mean()),
        "ms_p95": float(np.percentile(times, 95)),
    }


def from_nothing(options: argparse.Namespace, run: Map) -> tuple[list[Row], Row]:
    """Return the table of all tools on all sets, and the ratios to the best peer."""
    rows: list[Row] = []
    ratios: Row = {}
    network = _probabilities(options.network) if options.network else None
    for name in options.sets:
        folder = options.data / name / options.split
        draw = partial(
            sample, folder, options.objects, options.seed, spacing=options.spacing
        )
        plain = draw()
        own = []
        for tool in options.tools:
            if plain[0].view.ndim == 3 and tool in PLANAR:
                continue
            trials = list(run(partial(trial, tool, options.rule), plain))
            own.append({"set": name, "tool": tool, **summary(trials)})
        if network:
            pieces = draw(network=network)
            trials = list(run(partial(trial, OURS, options.rule), pieces))
            tool = f"{OURS}, {options.network}"
            own.append({"set": name, "tool": tool, **summary(trials)})
        ratios[name] = _ratio(own)
        rows += own
    return rows, {"ratio_to_best_peer": ratios}


def fixing(options: argparse.Namespace, run: Map) -> tuple[list[Row], Row]:
    """Return the clicks by kind of error, and how many labels are to be deleted."""
    rows: list[Row] = []
    extra = 0
    for name in options.sets:
        folder = options.data / name / options.split
        files = sorted(p.name for p in (folder / "images").glob("*.tif"))
        files = files[:: options.every]
        images = [segmented(folder, file, options.network) for file in files]
        extra += sum(spurious(image) for image in images)
        chosen = [(tool, False) for tool in options.tools if tool in MENDING]
        if OURS in options.tools:
            chosen.insert(0, (OURS, True))
        for tool, with_edits in chosen:
            found = run(partial(mended, tool, with_edits, options.rule), images)
            pairs = [pair for image in found for pair in image]
            shown = f"{tool}, split, join" if with_edits else tool
            for kind in (*KINDS, "all"):
                trials = [t for k, t in pairs if kind in (k, "all")]
                if trials:
                    row = {"set": name, "tool": shown, "error": kind}
                    rows.append(row | summary(trials))
    return rows, {"spurious_labels": extra}


def _probabilities(model: str) -> Network:
    from napari_seg.inference.segment import segment
    from napari_seg.models.checkpoint import load_model

    checkpoint = load_model(model)
    return lambda image: segment(image, checkpoint).probabilities


def _ratio(rows: Sequence[Row]) -> float | None:
    """Return our NoC@90 without a network, divided by the best of the others."""
    noc = {row["tool"]: row["noc90"] for row in rows}
    others = [noc[name] for name in noc if name in TOOLS and name != OURS]
    return round(noc[OURS] / min(others), 3) if OURS in noc and others else None


@contextmanager
def _workers(jobs: int) -> Iterator[Map]:
    if jobs == 1:
        yield lambda function, items: map(function, items)
        return
    # Not fork: the parent may have run a network, with threads of its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as pool:
        yield pool.map


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=TOOLS)
    parser.add_argument("--objects", type=int, default=20, help="of each set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="val")
    parser.add_argument(
        "--rule",
        type=Rule,
        choices=list(Rule),
        default=Rule.FITTED,
        metavar="RULE",
        help=f"which pixels a click marks: {', '.join(r.value for r in Rule)}",
    )
    parser.add_argument("--network", help="model whose probabilities our tool gets")
    parser.add_argument("--fix", action="store_true", help="mend the network's objects")
    parser.add_argument("--every", type=int, default=1, help="--fix: every Nth image")
    parser.add_argument("--spacing", type=float, nargs="+", help="voxel size")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.fix and not options.network:
        parser.error("--fix needs --network")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print one table and one JSON line."""
    options = parsed(arguments)
    with _workers(options.jobs) as run:
        rows, figures = (fixing if options.fix else from_nothing)(options, run)
    report(
        "clicks",
        rows,
        rule=options.rule.value,
        most_clicks=MOST_CLICKS,
        seed=options.seed,
        **figures,
        table=rows,
    )


if __name__ == "__main__":
    main()
