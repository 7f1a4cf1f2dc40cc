"""Losses of the dense networks. All leave out pixels of weight 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from napari_seg.errors import DatasetError
from napari_seg.training.affinity import AdaptiveAffinity

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]
"""From logits (N, K, *spatial), classes and weights (N, *spatial) to a scalar."""

FOCUS = 2.0
"""Exponent of the focal loss."""
TVERSKY = (0.3, 0.7)
"""Cost of false positives and of false negatives in the Tversky loss."""


def weighted_cross_entropy(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Pixel-wise softmax cross-entropy, each pixel with its weight.

    Ronneberger et al. 2015, equation 1, averaged over the pixels that count.

    Parameters
    ----------
    logits : Tensor of shape (N, K, *spatial)
        Of any float type; the loss is computed in float32.
    classes : Tensor of int64, shape (N, *spatial)
        Class numbers.
    weights : Tensor of float32, shape (N, *spatial)
        0 leaves a pixel out.

    Returns
    -------
    Tensor
        ``sum(w * CE) / number of pixels with w > 0``, a scalar; 0 without any.
    """
    loss = functional.cross_entropy(logits.float(), classes, reduction="none")
    return _mean(loss * weights, weights)


def focal(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy that fades where the network is already right.

    ``-(1 - p)^2 log p`` with the probability p of the true class, weighted and
    averaged as `weighted_cross_entropy` (Lin et al., arXiv:1708.02002).
    """
    loss = functional.cross_entropy(logits.float(), classes, reduction="none")
    return _mean((1 - torch.exp(-loss)) ** FOCUS * loss * weights, weights)


def dice(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """``1 - 2 sum(p t) / (sum(p) + sum(t))``, averaged over the classes present.

    Sums run over the pixels of the whole batch that count; how much they count is
    not looked at (Milletari et al., arXiv:1606.04797, without the squares).
    """
    hit, missed, wrong = _overlaps(logits, classes, weights)
    return _over_present(1 - 2 * hit / (2 * hit + missed + wrong + 1e-8), hit + missed)


def tversky(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Dice in which a missed pixel costs more than a wrong one.

    ``1 - TP / (TP + 0.3 FP + 0.7 FN)`` (Salehi et al., arXiv:1706.05721).
    """
    hit, missed, wrong = _overlaps(logits, classes, weights)
    cost = TVERSKY[0] * wrong + TVERSKY[1] * missed
    return _over_present(1 - hit / (hit + cost + 1e-8), hit + missed)


def lovasz(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Lovasz-softmax: a convex stand-in for 1 - IoU (Berman et al., 1705.08790).

    Averaged over the classes present in the pixels that count.
    """
    kept = weights > 0
    probabilities = logits.float().softmax(dim=1).movedim(1, -1)[kept]
    truth = classes[kept]
    losses = []
    for number in torch.unique(truth):
        true = (truth == number).float()
        errors = (true - probabilities[:, int(number)]).abs()
        errors, order = errors.sort(descending=True)
        losses.append(torch.dot(errors, _jaccard_steps(true[order])))
    return torch.stack(losses).mean() if losses else logits.sum() * 0


def _jaccard_steps(true: Tensor) -> Tensor:
    """How much each further error, the largest first, adds to 1 - IoU."""
    total = true.sum()
    both = total - true.cumsum(0)
    either = total + (1 - true).cumsum(0)
    loss = 1 - both / either
    return torch.cat([loss[:1], loss[1:] - loss[:-1]])


def _always(loss: Loss) -> Callable[[], Loss]:
    return lambda: loss


LOSSES: Mapping[str, Callable[[], Loss]] = {
    "cross-entropy": _always(weighted_cross_entropy),
    "focal": _always(focal),
    "dice": _always(dice),
    "tversky": _always(tversky),
    "lovasz": _always(lovasz),
    "aaf": AdaptiveAffinity,
}
"""What makes the loss of a name, for one run: some remember; ``+`` adds several."""


def build_loss(name: str) -> Loss:
    """Return the loss of a name such as ``"cross-entropy+dice"``.

    Raises
    ------
    DatasetError
        For a name that is not in `LOSSES`.
    """
    parts = [part.strip() for part in name.split("+")]
    unknown = [part for part in parts if part not in LOSSES]
    if unknown:
        raise DatasetError(
            f"There is no loss named {unknown[0]!r}",
            remedy=f"Choose from {', '.join(LOSSES)}; + adds several.",
        )
    losses = [LOSSES[part]() for part in parts]

    def total(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
        return torch.stack([loss(logits, classes, weights) for loss in losses]).sum()

    return total


def with_auxiliary(
    outputs: Mapping[str, Any],
    classes: Tensor,
    weights: Tensor,
    loss: Loss,
    *,
    aux_weight: float,
) -> Tensor:
    """Loss of the output and, with less weight, of auxiliary heads.

    Parameters
    ----------
    outputs : mapping
        ``"out"``: logits; ``"aux"``, if there: logits of one or more auxiliary heads,
        of any resolution (PSPNet, arXiv:1612.01105, section 3.3).
    classes, weights : Tensor of shape (N, *spatial)
        In the resolution of ``"out"``.
    loss : callable
    aux_weight : float
        Weight of each auxiliary head; 0.4 in the paper.
    """
    total = loss(outputs["out"], classes, weights)
    found = outputs.get("aux", ())
    heads: Sequence[Tensor] = found if isinstance(found, list | tuple) else [found]
    for logits in heads:
        if logits.shape[2:] != classes.shape[1:]:
            mode = "bilinear" if classes.ndim == 3 else "trilinear"
            logits = functional.interpolate(
                logits.float(), classes.shape[1:], mode=mode, align_corners=False
            )
        total = total + aux_weight * loss(logits, classes, weights)
    return total


def distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy to another network's probabilities, less its least value.

    Parameters
    ----------
    student, teacher : Tensor of shape (N, K, *spatial)
        Logits. The teacher's take no gradient.

    Returns
    -------
    Tensor
        Mean Kullback-Leibler divergence of a pixel; 0 where both agree.
    """
    target = teacher.detach().float().log_softmax(dim=1)
    found = student.float().log_softmax(dim=1)
    return (target.exp() * (target - found)).sum(dim=1).mean()


def _mean(loss: Tensor, weights: Tensor) -> Tensor:
    return loss.sum() / (weights > 0).sum().clamp(min=1)


def _overlaps(
    logits: Tensor, classes: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Soft counts of each class: true positives, false negatives, false positives."""
    probabilities = logits.float().softmax(dim=1)
    true = functional.one_hot(classes, logits.shape[1]).movedim(-1, 1)
    kept = (weights > 0).unsqueeze(1)
    axes = [0, *range(2, logits.ndim)]
    hit = (probabilities * true * kept).sum(axes)
    missed = ((1 - probabilities) * true * kept).sum(axes)
    wrong = (probabilities * (1 - true) * kept).sum(axes)
    return hit, missed, wrong


def _over_present(loss: Tensor, count: Tensor) -> Tensor:
    present = (count > 0).float()
    return (loss * present).sum() / present.sum().clamp(min=1)
