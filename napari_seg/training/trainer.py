"""The training loop: a generator that yields progress and returns a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seg.models.checkpoint import (
    Checkpoint,
    load_model,
    save_checkpoint,
)
from napari_seg.training.curve import CurveLog
from napari_seg.training.describe import make_card
from napari_seg.training.finish import iter_finish
from napari_seg.training.folders import folder_sources
from napari_seg.training.pairs import TrainingPlane, memory_report
from napari_seg.training.params import TrainParams
from napari_seg.training.preparation import (
    build_networks,
    make_batches,
    torch_threads,
)
from napari_seg.training.progress import Stopwatch, TrainProgress
from napari_seg.training.rehearsal import iter_read_rehearsal
from napari_seg.training.schedule import fraction_done
from napari_seg.training.sitting import Sitting
from napari_seg.training.sources import (
    Reading,
    Source,
    iter_read,
    marked_sides,
)
from napari_seg.training.split import split_planes
from napari_seg.training.validation import (
    Validation,
    evenly,
    iter_validate,
    total_score,
)
from napari_seg.types import Progress, run

if TYPE_CHECKING:
    from threading import Event

    from napari_seg.models.card import Card
    from napari_seg.training.state import Progression

FOREIGN = 0.3
"""Where a model scores less than this AP at IoU 0.5, holding it to what it knew costs
more than it is worth: of axons and phase contrast cells a free one finds far more."""

Data = str | Path | Source | Sequence[str | Path | Source]
"""Folders, files, open layers, or several of them."""


def train(dataset: Data, *, out: str | Path, **fields: Any) -> Checkpoint:
    """Train a network on a data set and write its checkpoint.

    Parameters
    ----------
    dataset : str, Path, Source, or a sequence of them
        Folder with ``images/`` and ``labels/`` (or ``masks/``) paired by file stem,
        optionally inside ``train/`` and ``val/``; an exported data set; an
        `ArraySource` or `FileSource`; or any mixture.
    out : str or Path
        Checkpoint to write, ``.safetensors``.
    **fields
        Fields of `TrainParams`, e.g. ``minutes=5`` or ``init="nuclei-unet"``.

    Returns
    -------
    Checkpoint
        The weights that scored best in validation.
    """
    return run(iter_train(dataset, out, TrainParams(**fields)))


def iter_train(
    dataset: Data, out: str | Path, params: TrainParams, *, stop: Event | None = None
) -> Generator[Progress, None, Checkpoint]:
    """Train step by step; see `train`.

    Closing the generator stops within a step and keeps what there is. Leaving it
    alone for a while is a pause, which does not count as training time. Setting `stop`
    from any thread ends the training after the step in hand as if its time were over.

    Yields
    ------
    Progress
        Stages ``"load"``, ``"train"`` (`TrainProgress`), ``"validate"``,
        ``"advice"`` and ``"calibrate"``.
    """
    start = load_model(params.init) if params.init else None
    norm = start.card.normalisation if start else params.normalisation
    keep = start is not None and not params.adapt_channels
    channels = start.card.in_channels if start is not None and keep else None
    sources = find_sources(dataset)
    ndim = start.card.ndim if start else params.ndim
    reading = Reading(channels, norm, params.stuff, volumes=ndim == 3)
    planes = yield from iter_read(sources, reading)
    split = split_planes(planes, marked_sides(sources), seed=params.seed)
    rehearsal: list[TrainingPlane] = []
    if start is not None and params.rehearse and ndim == 2:  # samples are planes
        rehearsal = yield from iter_read_rehearsal(start, params)
    count = len(sources)
    yield Progress("load", count, count, message=memory_report(planes))
    if split.note:
        yield Progress("load", count, count, message=split.note)
    return (
        yield from iter_train_pairs(
            split.train,
            split.val,
            out,
            params,
            start=start,
            rehearsal=rehearsal,
            stop=stop,
        )
    )


def find_sources(dataset: Data) -> list[Source]:
    """List the sources of a mixture; folders are looked into, nothing is opened."""
    if isinstance(dataset, str | Path):
        return list(folder_sources(dataset))
    if isinstance(dataset, Sequence):
        return [source for part in dataset for source in find_sources(part)]
    return [dataset]


def iter_train_pairs(
    pairs: Sequence[TrainingPlane],
    held_out: Sequence[TrainingPlane],
    out: str | Path,
    params: TrainParams,
    *,
    start: Checkpoint | None = None,
    rehearsal: Sequence[TrainingPlane] = (),
    stop: Event | None = None,
) -> Generator[Progress, None, Checkpoint]:
    """Train on planes.

    Yields
    ------
    Progress
        `TrainProgress` after every step, with metrics and a picture at validations.
        The checkpoint at `out` is always the best so far, the loss curve lies beside
        it (see `read_curve`), and so does the state that lets the run be resumed. At
        the end the thresholds that score best are found. A run that is stopped before
        its first validation leaves its weights there without scores.
    """
    watch = Stopwatch()
    run_ = _Run(pairs, evenly(held_out, params.most_validated), Path(out), params, stop)
    return (yield from watch.time(run_.iter(watch, start, rehearsal)))


@dataclass(frozen=True)
class _Run:
    """One run, from its first step or the step it is resumed at to its end."""

    pairs: Sequence[TrainingPlane]
    held_out: Sequence[TrainingPlane]
    out: Path
    params: TrainParams
    stop: Event | None

    def iter(
        self,
        watch: Stopwatch,
        start: Checkpoint | None,
        rehearsal: Sequence[TrainingPlane],
    ) -> Generator[Progress, None, Checkpoint]:
        params = self.params
        card = make_card(self.pairs, params, self.out, start.card if start else None)
        with torch_threads(params.threads):
            network, teacher = build_networks(card, start, params)
            sitting = Sitting(card, network, self.out, params, teacher)
            known = start.card if start is not None and teacher is not None else None
            rivals = self._finished(sitting)
            try:
                yield from self._iter_steps(
                    sitting, watch, rehearsal, is_tuning=start is not None
                )
                rivals += sitting.last()
            except (GeneratorExit, KeyboardInterrupt):
                sitting.stop()
                raise
            finally:
                sitting.release()
            # The best weights were chosen with the thresholds of the start: with those
            # that fit them, others may be better.
            best = yield from iter_finish(
                [load_model(self.out), *rivals],
                self.pairs,
                self.held_out,
                device=sitting.device,
                known=known,
            )
            save_checkpoint(self.out, best.network, best.card)
            return load_model(self.out)

    def _iter_steps(
        self,
        sitting: Sitting,
        watch: Stopwatch,
        rehearsal: Sequence[TrainingPlane],
        *,
        is_tuning: bool,
    ) -> Generator[Progress, None, None]:
        params, done = self.params, sitting.done
        before = done.elapsed_s
        batches = make_batches(self.pairs, rehearsal, params, sitting.card, done.step)
        with closing(batches), CurveLog(self.out, done.step) as log:
            if is_tuning and done.best_score < 0:
                # What comes out must not be worse than what was there.
                first = yield from self._iter_validate(sitting)
                if total_score(first.metrics) > 0:
                    sitting.take(first.metrics)
                ap = first.metrics.average_precision(0.5)
                if sitting.teacher is not None and ap < FOREIGN:
                    yield _advice(ap)
            judged = done.best_score >= 0
            while not self._is_over(done):
                loss = sitting.step(*next(batches))
                done.elapsed_s = before + watch.seconds
                found: Validation | None = None
                try:
                    if self._is_to_validate(done):
                        found = yield from self._iter_validate(sitting)
                finally:  # also of a step whose validation is cancelled
                    done.elapsed_s = before + watch.seconds
                    metrics = None if found is None else found.metrics
                    log.add(done, loss, sitting.rate, metrics)
                judged = found is not None
                if found is not None:
                    sitting.take(found.metrics)
                elif done.step % params.save_every == 0:
                    sitting.save()
                yield _progress(done, params, loss, sitting.rate, found)
        if not judged:  # told to stop between two steps
            found = yield from self._iter_validate(sitting)
            sitting.take(found.metrics)

    def _iter_validate(self, sitting: Sitting) -> Generator[Progress, None, Validation]:
        return (
            yield from iter_validate(
                sitting.checkpoint(), self.held_out, device=sitting.device
            )
        )

    def _is_to_validate(self, done: Progression) -> bool:
        return done.step % self.params.validate_every == 0 or self._is_over(done)

    def _is_over(self, done: Progression) -> bool:
        patience = self.params.patience
        return (
            fraction_done(done, self.params) >= 1
            or (patience is not None and done.stale >= patience)
            or (self.stop is not None and self.stop.is_set())
        )

    def _finished(self, sitting: Sitting) -> list[Checkpoint]:
        """Weights that an earlier sitting ended with, if this run prolongs it.

        Its state knows their score only without the thresholds found at the end. Of a
        sitting that broke off there are none: its best weights have no thresholds.
        """
        if sitting.done.step == 0 or not self.out.is_file():
            return []
        ended = load_model(self.out)
        has_own = _thresholds_of(ended.card) != _thresholds_of(sitting.card)
        return [ended] if has_own else []


def _thresholds_of(card: Card) -> tuple[float, float, float]:
    """Return threshold, seed threshold and smallest area, as they are calibrated."""
    return card.threshold, card.seed_threshold, card.smallest_px


def _advice(ap: float) -> Progress:
    message = (
        f"The model started from finds little here (AP at IoU 0.50: {ap:.2f}). It "
        "would learn these images better if it might forget the rest."
    )
    return Progress("advice", 1, 1, message=message)


def _progress(
    done: Progression,
    params: TrainParams,
    loss: float,
    rate: float,
    found: Validation | None,
) -> TrainProgress:
    fraction = fraction_done(done, params)
    remaining = done.elapsed_s * (1 - fraction) / fraction if fraction else math.nan
    total = params.steps or max(done.step, round(done.step / max(fraction, 1e-6)))
    return TrainProgress(
        "train",
        done.step,
        total,
        loss=loss,
        learning_rate=rate,
        metrics=None if found is None else found.metrics,
        remaining_s=max(remaining, 0.0) if fraction else math.nan,
        picture=None if found is None else found.picture,
    )
