"""The mean of the weights of several runs from one start, which often beats each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from napari_seg import __version__
from napari_seg.errors import CheckpointError
from napari_seg.models.checkpoint import Checkpoint, build_from_card
from napari_seg.models.ensemble import SHARED, check_alike

_FIELDS = (*SHARED, "architecture", "arguments", "z_step_px", "licence")
"""What must be the same on all cards for the weights to have a mean."""


def mean_of_weights(
    checkpoints: Sequence[Checkpoint], shares: Sequence[float] | None = None
) -> Checkpoint:
    """Average weights, the statistics of normalisation among them.

    Wortsman et al., "Model soups", ICML 2022, section 2. It takes runs that went on
    from the same weights; the mean of others is worth nothing.

    Parameters
    ----------
    checkpoints : sequence of Checkpoint
        Of one architecture, trained for the same input and classes.
    shares : sequence of float, optional
        Of each in the mean, in any unit; alike by default.

    Returns
    -------
    Checkpoint
        With the card of the first and the training data of all, but without scores:
        thresholds are to be found anew.

    Raises
    ------
    CheckpointError
        If there are none, if they do not fit, or a share is missing or not positive.
    """
    shares = [1.0] * len(checkpoints) if shares is None else list(shares)
    if (
        not checkpoints
        or len(shares) != len(checkpoints)
        or not all(0 < share < math.inf for share in shares)
    ):
        raise CheckpointError(
            "A mean of weights takes one positive share for each checkpoint",
            f"{len(checkpoints)} checkpoints and the shares {shares}",
            "Give as many shares as checkpoints, or none.",
        )
    first = checkpoints[0]
    for other in checkpoints[1:]:
        check_alike(
            first.card,
            other.card,
            _FIELDS,
            "Choose runs that went on from the same checkpoint.",
        )
    states = [checkpoint.network.state_dict() for checkpoint in checkpoints]
    weights = torch.tensor(shares, dtype=torch.float64)
    network = build_from_card(first.card)
    network.load_state_dict(
        {name: _mean([s[name] for s in states], weights) for name in states[0]}
    )
    sources = dict.fromkeys(checkpoint.card.training_data for checkpoint in checkpoints)
    card = replace(
        first.card,
        scores={},
        training_data=" ".join(filter(None, sources)),
        software_version=__version__,
    )
    return Checkpoint(network.eval(), card)


def _mean(tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return the weighted mean; of whole numbers, which count steps, the first."""
    first = tensors[0]
    if not first.is_floating_point():
        return first.clone()
    stacked = torch.stack([tensor.double() for tensor in tensors])
    total = torch.tensordot(weights / weights.sum(), stacked, dims=1)
    return total.to(first.dtype)
