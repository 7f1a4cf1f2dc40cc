"""Propagation of a map along learnt affinities: SPN and CSPN.

Liu et al. 2017, Spatial Propagation Networks (arXiv:1710.01020), section 3; Cheng et
al. 2018, Convolutional Spatial Propagation Network (arXiv:1808.00150), section 3.1.
Neither has parameters of its own: what is like what is read from a guidance map.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NEIGHBOURS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))
"""The eight neighbours (row, column) in the order of CSPN's guidance channels."""
DIRECTIONS = 4
"""Down, up, right, left: the scans of an SPN."""
_TINY = 1e-6


def cspn_kernels(guidance: Tensor, *, positive: bool = True) -> Tensor:
    """Weights of the eight neighbours of each pixel.

    Parameters
    ----------
    guidance : Tensor of shape (N, 8, H, W)
        A gate of each pixel towards each neighbour. As in the authors' code the gate
        is that of the neighbour: shifted first, normalised afterwards.
    positive : bool
        Whether the sizes of the gates are taken, so that the weights sum to 1 and the
        pixel itself counts for nothing.

    Returns
    -------
    Tensor of shape (N, 8, H, W)
        Weights; their sizes sum to 1, or to 0 where a pixel has no neighbour.
    """
    around = _neighbours(guidance)
    gates = torch.stack([gate[:, number] for number, gate in enumerate(around)], dim=1)
    if positive:
        gates = gates.abs()
    return gates / (gates.abs().sum(dim=1, keepdim=True) + _TINY)


def cspn(
    x: Tensor,
    kernels: Tensor,
    *,
    steps: int = 24,
    anchors: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Let a map flow to its neighbours.

    ``h' = (1 - sum k) h0 + sum k_i h_i`` with h0 the map at the start, as the authors
    correct their equation 1.

    Parameters
    ----------
    x : Tensor of shape (N, C, H, W)
        The map; all channels flow alike.
    kernels : Tensor of shape (N, 8, H, W)
        See `cspn_kernels`.
    steps : int
    anchors : (Tensor, Tensor), optional
        Where the map is known (N, 1, H, W), bool, and its values there, as `x`; set
        again after every step (section 3.3).

    Returns
    -------
    Tensor of shape (N, C, H, W)
    """
    rest = 1 - kernels.sum(dim=1, keepdim=True)
    start, now = x, x
    for _ in range(steps):
        flow = rest * start
        around = _neighbours(now)
        for number, neighbour in enumerate(around):
            flow = flow + kernels[:, number : number + 1] * neighbour
        now = flow
        if anchors is not None:
            now = torch.where(anchors[0], anchors[1], now)
    return now


def spn(x: Tensor, guidance: Tensor) -> Tensor:
    """Propagate row by row in four directions, three neighbours at a time.

    ``h_t = (1 - sum w) x_t + sum w_k h_(t-1, j+k)``, k = -1, 0, 1 (equation 2, and
    section 3.3, three-way connections); the largest of the four directions wins.

    Parameters
    ----------
    x : Tensor of shape (N, C, H, W)
        The map.
    guidance : Tensor of shape (N, 12 C, H, W)
        For each direction and channel the three weights, scaled down where their sizes
        sum to more than 1, or the propagation would not be stable (theorem 2).

    Returns
    -------
    Tensor of shape (N, C, H, W)
    """
    count, channels, rows, columns = x.shape
    weights = guidance.view(count, DIRECTIONS, channels, 3, rows, columns)
    found = []
    for number in range(DIRECTIONS):
        w, field = weights[:, number], x
        if number >= 2:  # along columns
            w, field = w.transpose(-1, -2), field.transpose(-1, -2)
        if number % 2:  # from the end
            w, field = w.flip(-2), field.flip(-2)
        out = _scan(field, w)
        out = out.flip(-2) if number % 2 else out
        found.append(out.transpose(-1, -2) if number >= 2 else out)
    return torch.stack(found).amax(dim=0)


def _scan(x: Tensor, weights: Tensor) -> Tensor:
    """Propagate (N, C, H, W) downwards with weights (N, C, 3, H, W)."""
    # Nobody is beyond the border to be weighed.
    inside = torch.ones_like(weights)
    inside[:, :, 0, :, 0] = 0
    inside[:, :, 2, :, -1] = 0
    weights = weights * inside
    total = weights.abs().sum(dim=2, keepdim=True).clamp(min=1)
    weights = weights / total
    rest = 1 - weights.sum(dim=2)
    now = x[:, :, 0]
    done = [now]
    for row in range(1, x.shape[2]):
        before = functional.pad(now, (1, 1))
        w = weights[:, :, :, row]
        now = (
            rest[:, :, row] * x[:, :, row]
            + w[:, :, 0] * before[..., :-2]
            + w[:, :, 1] * before[..., 1:-1]
            + w[:, :, 2] * before[..., 2:]
        )
        done.append(now)
    return torch.stack(done, dim=2)


def _neighbours(x: Tensor) -> list[Tensor]:
    """Return what each of `NEIGHBOURS` has, and 0 beyond the border."""
    rows, columns = x.shape[-2:]
    padded = functional.pad(x, (1, 1, 1, 1))
    return [
        padded[..., 1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]
        for dy, dx in NEIGHBOURS
    ]
