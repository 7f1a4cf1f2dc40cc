"""Attention between pixels and between channels of a feature map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_seg.models.blocks.conv import CONV, MAX_POOL

QUERIES = 4096
"""Pixels whose rows of the attention matrix are in memory at once."""
LEAST_SQUEEZED = 8
"""Channels a gate is read from at least."""


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Mean of values, weighted by how well each key fits a query.

    Parameters
    ----------
    queries : Tensor of shape (N, D, Q)
    keys : Tensor of shape (N, D, P)
    values : Tensor of shape (N, C, P)

    Returns
    -------
    Tensor of shape (N, C, Q)
        ``softmax over P of queries . keys``, times the values. Rows are made in parts,
        or a map of 128 x 128 would need a gigabyte.
    """
    parts = [
        values @ attention_rows(part, keys).transpose(1, 2)
        for part in queries.split(QUERIES, dim=2)
    ]
    return torch.cat(parts, dim=2)


def attention_rows(queries: Tensor, keys: Tensor) -> Tensor:
    """(N, D, Q) and (N, D, P) -> (N, Q, P), each row positive and of sum 1."""
    return (queries.transpose(1, 2) @ keys).softmax(dim=2)


class PixelAttention(nn.Module):
    """What position attention and non-local blocks share: whom does a pixel look at."""

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Make queries (N, D, Q), keys (N, D, P) and values (N, C, P) of a map."""
        raise NotImplementedError

    def look(self, x: Tensor, pixel: tuple[int, int]) -> Tensor:
        """Attention that one pixel pays to all.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W)
            Input of the module.
        pixel : (int, int)
            Row and column in it.

        Returns
        -------
        Tensor of shape (N, H', W')
            Positive, of sum 1; half as large where keys are subsampled.
        """
        queries, keys, _ = self.features(x)
        at = pixel[0] * x.shape[3] + pixel[1]
        row = attention_rows(queries[..., at : at + 1], keys)[:, 0]
        rows, columns = x.shape[2:]
        if row.shape[1] != rows * columns:
            rows, columns = rows // 2, columns // 2
        return row.unflatten(1, (rows, columns))


class PositionAttention(PixelAttention):
    """Every pixel gathers from those that look alike, wherever they are.

    Fu et al. 2019 (DANet, arXiv:1809.02983), section 3.2 and figure 3A.

    Parameters
    ----------
    channels : int
        Of the map. Queries and keys have an eighth.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query = nn.Conv2d(channels, inner, kernel_size=1)
        self.key = nn.Conv2d(channels, inner, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Make queries, keys and values of every pixel."""
        return (
            self.query(x).flatten(2),
            self.key(x).flatten(2),
            self.value(x).flatten(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same; the identity before training."""
        return self.gamma * attend(*self.features(x)).view_as(x) + x


class ChannelAttention(nn.Module):
    """Every channel gathers from those that it is unlike.

    Fu et al. 2019 (DANet), section 3.3 and figure 3B; as in the authors' code the
    similarity is subtracted from its largest value, which keeps a channel from
    looking at itself alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def weights(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, C), each row of sum 1."""
        flat = x.flatten(2)
        return (-(flat @ flat.transpose(1, 2))).softmax(dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same; the identity before training."""
        found = (self.weights(x) @ x.flatten(2)).view_as(x)
        return self.gamma * found + x


class NonLocal(PixelAttention):
    """Non-local block, embedded Gaussian.

    Wang et al. 2018, arXiv:1711.07971, section 3.3 and figure 2, in 2D or 3D.

    Parameters
    ----------
    channels : int
        Of the map; half of them inside.
    ndim : {2, 3}
    subsample : bool
        Pool keys and values by 2: a quarter of the work (section 3.3).
    """

    def __init__(
        self, channels: int, *, ndim: int = 2, subsample: bool = False
    ) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.query = CONV[ndim](channels, inner, kernel_size=1)
        self.key = CONV[ndim](channels, inner, kernel_size=1)
        self.value = CONV[ndim](channels, inner, kernel_size=1)
        self.out = CONV[ndim](inner, channels, kernel_size=1)
        self.pool = MAX_POOL[ndim](2) if subsample else nn.Identity()
        self.reset()

    def reset(self) -> None:
        """Make it the identity, as which it is to start (section 4.1)."""
        nn.init.zeros_(self.out.weight)
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Make queries of every pixel, keys and values of all, or of the pooled map."""
        return (
            self.query(x).flatten(2),
            self.pool(self.key(x)).flatten(2),
            self.pool(self.value(x)).flatten(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> same; the identity before training."""
        found = attend(*self.features(x)).unflatten(2, x.shape[2:])
        out: Tensor = x + self.out(found)
        return out


class SqueezeExcitation(nn.Module):
    """Scales every channel by a number between 0 and 1 read from the whole map.

    Hu et al. 2018, arXiv:1709.01507, section 3 and figure 1, in 2D or 3D.

    Parameters
    ----------
    channels : int
    reduction : int
        Channels are squeezed by so much in between, though not below 8; 16 in the
        paper, for maps of 64 channels and more.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        inner = max(LEAST_SQUEEZED, channels // reduction)
        self.squeeze = nn.Linear(channels, inner)
        self.excite = nn.Linear(inner, channels)

    def gates(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, C)."""
        mean = x.flatten(2).mean(dim=2)
        return torch.sigmoid(self.excite(functional.relu(self.squeeze(mean))))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) -> same."""
        gates = self.gates(x)
        return x * gates.view(*gates.shape, *(1,) * (x.ndim - 2))


def token_attention(attention: Any, tokens: Tensor, at: int) -> Tensor:
    """Attention that one token of a vision transformer pays to all.

    Parameters
    ----------
    attention : nn.Module
        timm's ``Attention``.
    tokens : Tensor of shape (N, T, D)
        Its input.
    at : int
        Index of the token.

    Returns
    -------
    Tensor of shape (N, T)
        Mean over the heads; positive, of sum 1.
    """
    qkv = attention.qkv(tokens).unflatten(2, (3, attention.num_heads, -1))
    queries, keys, _ = qkv.permute(2, 0, 3, 1, 4)
    queries = attention.q_norm(queries[:, :, at : at + 1])
    scores = queries @ attention.k_norm(keys).transpose(2, 3) * attention.scale
    row: Tensor = scores.softmax(dim=-1).mean(dim=1)[:, 0]
    return row
