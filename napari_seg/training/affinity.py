"""Adaptive affinity fields: a loss on pairs of pixels, not on pixels.

Ke, Hwang, Liu and Yu, ECCV 2018, arXiv:1803.10335, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

MARGIN = 3.0
"""Divergence beyond which neighbours of different classes are apart enough."""
SIZES = (1, 2, 3)
"""Distances (pixels) of the eight neighbours a pixel is compared with."""
ASCENT = 1e-3
"""Step by which the distance that costs most gains weight."""
_LEAST = 1e-4
_HALF = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Of the eight directions those that are not the other way of another."""


class AdaptiveAffinity:
    """Neighbours of one class shall agree, those of different classes shall not.

    For each class and pair the Kullback-Leibler divergence of the neighbour's
    probability to the pixel's: itself if both or none are of the class, otherwise what
    it falls short of `MARGIN`. How much each of `SIZES` counts is drawn towards the one
    that costs most, for each class on its own (section 4): what is learnt is played
    against. In contrast to the authors' code, the loss does not fade towards the end of
    the training, whose length is not known here.
    """

    def __init__(self) -> None:
        self._scores: dict[str, Tensor] = {}

    def __call__(self, logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
        """Sum of both parts.

        Parameters
        ----------
        logits : Tensor of shape (N, K, *spatial)
        classes : Tensor of int64, shape (N, *spatial)
        weights : Tensor of float32, shape (N, *spatial)
            0 leaves out all pairs of a pixel; otherwise pairs count alike.

        Returns
        -------
        Tensor
            A scalar.
        """
        edge, inner = affinity_field(logits, classes, weights)
        return self._worst("edge", edge) + self._worst("inner", inner)

    def _worst(self, name: str, costs: Tensor) -> Tensor:
        """Mean over the classes of the weighted costs (K, sizes); then adapt."""
        scores = self._scores.get(name)
        if scores is None or scores.shape != costs.shape:
            scores = torch.zeros_like(costs)
        share = scores.detach().to(costs.device).softmax(dim=1)
        total = (share * costs).sum(dim=1)
        with torch.no_grad():  # the gradient of the softmax, uphill
            slope = share * (costs - total[:, None])
            self._scores[name] = scores.to(costs.device) + ASCENT * slope
        return total.mean()


def affinity_field(
    logits: Tensor, classes: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Costs of pairs across and within borders, for every class and distance.

    Parameters
    ----------
    logits, classes, weights
        See `AdaptiveAffinity`.

    Returns
    -------
    edge, inner : Tensor of shape (K, sizes)
        Means over the pairs of which one is of the class, and over those of which both
        or none are; times K, so that uniform probabilities cost `MARGIN` across. 0
        without such pairs.
    """
    count = logits.shape[1]
    probabilities = logits.float().softmax(dim=1)
    truth = functional.one_hot(classes, count).movedim(-1, 1).bool()
    kept = (weights > 0).unsqueeze(1)
    columns = [_at_distance(size, probabilities, truth, kept) for size in SIZES]
    sums, numbers = torch.stack(columns, dim=-1)  # (2, 2, K, sizes)
    edge, inner = count * sums / numbers.sum(dim=1, keepdim=True).clamp(min=1)
    return edge, inner


def _at_distance(
    size: int, probabilities: Tensor, truth: Tensor, kept: Tensor
) -> Tensor:
    """Return sums of costs, and numbers of pairs: (2, edge and inner, K)."""
    axes = [0, *range(2, probabilities.ndim)]
    found = probabilities.new_zeros(2, 2, probabilities.shape[1])
    for near, far in _directions(size, probabilities.shape[-2:]):
        valid = kept[near] & kept[far]
        differ = truth[near] != truth[far]
        edge, inner = differ & valid, ~differ & valid
        p, q = probabilities[near], probabilities[far]
        divergences = _divergence(p, q), _divergence(q, p)
        apart = sum((MARGIN - each).clamp(min=0) for each in divergences)
        costs = [(apart * edge).sum(axes), (sum(divergences) * inner).sum(axes)]
        numbers = [2 * edge.sum(axes), 2 * inner.sum(axes)]
        found = found + torch.stack([torch.stack(costs), torch.stack(numbers)])
    return found


def _directions(
    size: int, shape: Sequence[int]
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Parts of an image that are neighbours of each other, for four directions."""
    rows, columns = shape
    for dy, dx in _HALF:
        dy, dx = dy * size, dx * size
        if dy < rows and abs(dx) < columns:
            yield (
                (..., slice(rows - dy), slice(max(0, -dx), columns - max(0, dx))),
                (..., slice(dy, None), slice(max(0, dx), columns - max(0, -dx))),
            )


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Kullback-Leibler divergence of two probabilities of a class, in nats."""
    p_not, q_not = (1 - p).clamp(_LEAST, 1), (1 - q).clamp(_LEAST, 1)
    p, q = p.clamp(_LEAST, 1), q.clamp(_LEAST, 1)
    return p * (p / q).log() + p_not * (p_not / q_not).log()
