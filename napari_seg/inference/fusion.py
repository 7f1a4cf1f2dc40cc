"""A network rewritten for inference: batch normalisation folded into convolutions."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)
_TOLERANCE = 1e-4


def fuse_for_inference(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy in evaluation mode with every conv-norm pair made one.

    Which normalisation follows which convolution is seen by running the network
    once, so any architecture is covered; that the copy computes the same is checked,
    so none is broken.

    Parameters
    ----------
    network : nn.Module
        Left as it is. If it has an attribute `fusible`, the name of the part that
        takes the image, only that part is rewritten: what detectors make of its
        feature maps is a matter of all or nothing, and cannot be compared.
    example : Tensor
        Small legal input.

    Returns
    -------
    nn.Module
        On the device of `network`.
    """
    plain = copy.deepcopy(network).eval()
    plain.requires_grad_(False)
    part = getattr(network, "fusible", None)
    if part is not None:
        _replace(plain, part, fuse_for_inference(plain.get_submodule(part), example))
        return plain
    with torch.inference_mode():
        pairs, expected = _trace(plain, example)
    if not pairs:
        return plain
    fused = copy.deepcopy(plain)
    for conv_name, norm_name in pairs:
        conv, norm = fused.get_submodule(conv_name), fused.get_submodule(norm_name)
        # Type stubs want tensors where the function takes modules.
        merged = fuse_conv_bn_eval(conv, norm)  # type: ignore[arg-type,type-var]
        merged.requires_grad_(False)
        _replace(fused, conv_name, merged)
        _replace(fused, norm_name, nn.Identity())
    with torch.inference_mode():
        found = _flat(fused(example))
    scale = float(expected.abs().max()) + 1e-6
    if float((found - expected).abs().max()) > _TOLERANCE * scale:
        return plain
    return fused


def _trace(network: nn.Module, example: Tensor) -> tuple[list[tuple[str, str]], Tensor]:
    """Find which norm gets exactly the output of which convolution."""
    calls: Counter[str] = Counter()
    made_by: dict[int, str] = {}
    pairs: list[tuple[str, str]] = []
    alive: list[Tensor] = []  # keeps ids unique while the pass runs

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[name] += 1
            if isinstance(module, _CONVOLUTIONS):
                made_by[id(output)] = name
                alive.append(output)
            elif (source := made_by.get(id(inputs[0]))) is not None:
                pairs.append((source, name))

        return hook

    handles = [
        module.register_forward_hook(watch(name))
        for name, module in network.named_modules()
        if isinstance(module, _CONVOLUTIONS + _NORMS)
    ]
    try:
        output = _flat(network(example))
    finally:
        for handle in handles:
            handle.remove()
    readers = Counter(conv for conv, _ in pairs)
    unique = [
        (conv, norm)
        for conv, norm in pairs
        if calls[conv] == calls[norm] == readers[conv] == 1
    ]
    return unique, output


def _flat(outputs: Mapping[str, Tensor]) -> Tensor:
    """Return all numbers of all outputs in a row."""
    return torch.cat([value.flatten() for value in outputs.values()])


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
