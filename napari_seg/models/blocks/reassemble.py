"""Tokens of a vision transformer made into feature maps again.

Ranftl et al. 2021 (DPT, arXiv:2103.13413), section 3, Reassemble = Resample o
Concatenate o Read.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, cat, nn

Readout = Literal["ignore", "add", "project"]


class Reassemble(nn.Module):
    """One feature map from the tokens of one transformer layer.

    Parameters
    ----------
    embed : int
        Length of a token.
    channels : int
        Channels of the map.
    scale : float
        Pixels of the map for each token along an axis: a power of 2, or 1/2.
    readout : {"ignore", "add", "project"}
        What becomes of the readout token: nothing, it is added to all others, or it
        is concatenated to them and projected (equations 3 to 5).
    """

    def __init__(
        self, embed: int, channels: int, *, scale: float, readout: Readout = "project"
    ) -> None:
        super().__init__()
        if readout not in get_args(Readout):
            raise ValueError(
                f"readout must be one of {get_args(Readout)} (found: {readout!r})."
            )
        self.readout = readout
        if readout == "project":
            self.read = nn.Sequential(nn.Linear(2 * embed, embed), nn.GELU())
        self.project = nn.Conv2d(embed, channels, kernel_size=1)
        self.resample: nn.Module = nn.Identity()
        if scale > 1:
            step = round(scale)
            self.resample = nn.ConvTranspose2d(channels, channels, step, stride=step)
        elif scale < 1:
            step = round(1 / scale)
            self.resample = nn.Conv2d(channels, channels, 3, stride=step, padding=1)

    def forward(self, tokens: Tensor, readout: Tensor) -> Tensor:
        """Map from tokens.

        Parameters
        ----------
        tokens : Tensor of shape (N, D, rows, columns)
            In the grid they were cut from.
        readout : Tensor of shape (N, D)
            The readout (class) token.

        Returns
        -------
        Tensor of shape (N, channels, scale * rows, scale * columns)
        """
        if self.readout == "add":
            tokens = tokens + readout[..., None, None]
        elif self.readout == "project":
            spread = readout[..., None, None].expand_as(tokens)
            joined = cat([tokens, spread], dim=1).movedim(1, -1)
            tokens = self.read(joined).movedim(-1, 1)
        out: Tensor = self.resample(self.project(tokens))
        return out
