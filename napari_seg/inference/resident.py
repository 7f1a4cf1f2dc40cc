"""A network on its device: how it gets there, and what is done when it is full."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

import torch
from torch import nn

from napari_seg.errors import DeviceError
from napari_seg.inference.compiling import compiled
from napari_seg.inference.device import Device, is_out_of_memory
from napari_seg.inference.fusion import fuse_for_inference
from napari_seg.models.averaged import FAST_LAYOUTS, legal_size, z_divisor

HELPERS = 4
"""Threads beside a device that computes by itself: of what they do, too much holds the
interpreter for more."""


class Resident:
    """Keeps a copy of a network, made for inference, on a device until it is closed.

    Parameters
    ----------
    network : nn.Module
        Has `divisor` and `margin`. It stays where it is.
    device : Device
        Where to compute.
    in_channels : int
        Channels of the input.
    ndim : {2, 3}
        Spatial dimensions of the input.
    wrap : callable, optional
        Takes the network as it was made for inference, and returns what is to run.
    is_compiled : bool, optional
        Whether torch compiles it for the device, see `compiled`.

    Attributes
    ----------
    is_apart : bool
        Whether the device computes by itself, and the processor is free meanwhile.
    helpers : int
        Threads of the processor that make objects of what it computed; 0: no other
        than the caller's.
    """

    def __init__(
        self,
        network: nn.Module,
        device: Device,
        *,
        in_channels: int = 1,
        ndim: int = 2,
        wrap: Callable[[nn.Module], nn.Module] | None = None,
        is_compiled: bool = False,
    ) -> None:
        self.device = device
        self.divisor = int(getattr(network, "divisor", 1))
        self.margin = int(getattr(network, "margin", 0))
        self.is_apart = device.name != "cpu"
        self.helpers = min(HELPERS, os.cpu_count() or 1) if self.is_apart else 0
        self.half: torch.dtype | None = None
        self._legal_size = partial(legal_size, network)
        self.ndim = ndim
        self.z_divisor = z_divisor(network)
        side = self.legal_size(1)
        sides = (self.legal_depth(1), side, side)[-ndim:]
        seeded = torch.Generator().manual_seed(0)
        example = torch.rand(1, in_channels, *sides, generator=seeded)
        home = next((p.device for p in network.parameters()), torch.device("cpu"))
        fused = fuse_for_inference(network, example.to(home))
        try:
            # Channels last is the layout the convolution kernels work in.
            moved = fused.to(device.name).to(memory_format=FAST_LAYOUTS[ndim])
            if is_compiled:
                moved = compiled(moved, example.to(device.name))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise self._exhausted("the network does not fit") from error
        self._network: nn.Module = moved if wrap is None else wrap(moved)

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the memory of the device back."""
        self.close()

    def close(self) -> None:
        """Drop the copy of the network and what torch keeps in reserve for it."""
        self._network = nn.Identity()
        self._release()

    def legal_size(self, at_least: int) -> int:
        """Return the shortest input length the network takes from `at_least` on."""
        return self._legal_size(at_least)

    def legal_depth(self, at_least: int) -> int:
        """Return the fewest planes a network in three dimensions takes from there."""
        if self.margin:  # valid convolutions eat the same along all axes
            return self.legal_size(at_least)
        return -(-at_least // self.z_divisor) * self.z_divisor

    def _exhausted(self, found: str) -> DeviceError:
        remedy = "Choose the device 'cpu', or close other programs that use it"
        if self.device.name == "cpu":
            remedy = "Close other programs, or choose a smaller tile"
        return DeviceError(
            f"The device {self.device.name} ran out of memory", found, remedy
        )

    def _release(self) -> None:
        if self.device.name.startswith("cuda"):
            torch.cuda.empty_cache()
        elif self.device.name == "mps":
            torch.mps.empty_cache()
