"""Weights of one network in another, where channels or classes may differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


def transfer_weights(
    network: nn.Module,
    weights: dict[str, Tensor],
    *,
    channels: tuple[int, int],
    classes: tuple[Sequence[str], Sequence[str]],
) -> list[str]:
    """Copy what fits into a new network and adapt its ends.

    Parameters
    ----------
    network : torch.nn.Module
        Of the same architecture; changed in place.
    weights : dict of str to Tensor
        State of the old network.
    channels : (int, int)
        Image channels of the old and of the new network. Where they differ, each new
        channel gets the mean of the old ones, scaled so that a grey image repeated
        over the channels gives what it gave.
    classes : (sequence of str, sequence of str)
        Class names of both. Classes of the same name keep their logits.

    Returns
    -------
    list of str
        Parameters that were left as they are drawn, in whole or for some classes.
    """
    own = network.state_dict()
    fresh = [name for name in own if name not in weights]
    # Such as kernels that interpolate: they are as they must be.
    fixed = {n for n, value in network.named_parameters() if not value.requires_grad}
    with torch.no_grad():
        for name, target in own.items():
            old = weights.get(name)
            if old is None or name in fixed:
                continue
            if old.shape == target.shape and not _is_of_classes(old, classes):
                target.copy_(old)
            elif _is_input(old, target, channels):
                mean = old.mean(dim=1, keepdim=True) * (channels[0] / channels[1])
                target.copy_(mean.expand_as(target))
            elif old.shape[1:] == target.shape[1:] and len(old) == len(classes[0]):
                if not _copy_classes(old, target, classes):
                    fresh.append(name)
            else:
                fresh.append(name)
    return fresh


def _is_input(old: Tensor, new: Tensor, channels: tuple[int, int]) -> bool:
    return (
        old.ndim > 1
        and (old.shape[1], new.shape[1]) == channels
        and old.shape[:1] + old.shape[2:] == new.shape[:1] + new.shape[2:]
    )


def _is_of_classes(old: Tensor, classes: tuple[Sequence[str], Sequence[str]]) -> bool:
    """Whether rows may stand for classes that changed their order or names."""
    return (
        tuple(classes[0]) != tuple(classes[1])
        and old.ndim > 0
        and len(old) == len(classes[0])
    )


def _copy_classes(
    old: Tensor, new: Tensor, classes: tuple[Sequence[str], Sequence[str]]
) -> bool:
    """Copy the rows of classes that both know; whether these are all."""
    before = list(classes[0])
    known = [name in before for name in classes[1]]
    for row, name in enumerate(classes[1]):
        if name in before:
            new[row] = old[before.index(name)]
    return all(known)
