"""What all padded networks share: an image of any size in, logits of that size out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class DenseNetwork(nn.Module):
    """Pads an image to a legal size, and brings logits back to where they belong.

    A network derives from it and writes `logits`.

    Attributes
    ----------
    divisor : int
        Total stride: `logits` is given sides that are multiples of it, and tile steps
        must be, too.
    margin : int
        0: nothing is eaten.
    min_size : int
        Shortest side (pixels) that is taken.
    least : int
        Smaller images are padded to this side (pixels): what `logits` needs.
    align_corners : bool
        Whether coarse logits are enlarged so that corners meet corners. Papers differ.
    """

    divisor: int = 1
    margin: int = 0
    min_size: int = 1
    least: int = 1
    align_corners: bool = False

    @abstractmethod
    def logits(self, x: Tensor) -> dict[str, Any]:
        """Compute logits of any resolution.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W)
            Sides are multiples of `divisor`.

        Returns
        -------
        dict
            ``"out"``: logits (N, K, h, w), which cover the whole of `x`. ``"aux"``, if
            there are auxiliary heads: theirs, or a list of them. Not looked at in
            evaluation.
        """

    def forward(self, x: Tensor) -> dict[str, Any]:
        """Logits of an image.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W)
            Normalised image of any size from `min_size`.

        Returns
        -------
        dict
            ``"out"``: logits (N, K, H, W). While training also ``"aux"``, the same of
            the auxiliary head or a list of those of several, if there are any.
        """
        rows, columns = x.shape[2:]
        size = [self.input_size(rows), self.input_size(columns)]
        x = pad_to(x, size)

        def restore(logits: Tensor) -> Tensor:
            return self._resize(logits, size)[..., :rows, :columns]

        found = self.logits(x)
        restored: dict[str, Any] = {"out": restore(found["out"])}
        if self.training and "aux" in found:
            aux = found["aux"]
            restored["aux"] = (
                [restore(each) for each in aux]
                if isinstance(aux, list | tuple)
                else restore(aux)
            )
        return restored

    def input_size(self, at_least: int) -> int:
        """Smallest input length that needs no padding and is not below `at_least`."""
        return next_multiple(max(at_least, self.least), self.divisor)

    def _resize(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        if list(logits.shape[2:]) == list(size):
            return logits
        return functional.interpolate(
            logits, list(size), mode="bilinear", align_corners=self.align_corners
        )


def next_multiple(length: int, divisor: int) -> int:
    """Smallest multiple of `divisor` that is not below `length`."""
    return -(-length // divisor) * divisor


def pad_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """Repeat the last row and column of (N, C, H, W) until it has a size."""
    bottom, right = (wanted - n for wanted, n in zip(size, x.shape[2:], strict=True))
    if not bottom and not right:
        return x
    return functional.pad(x, (0, right, 0, bottom), mode="replicate")
