"""Published weights of DPT, as the transformers library names them, in our network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from napari_seg.errors import CheckpointError
from napari_seg.models.dpt import LEVELS

if TYPE_CHECKING:
    from torch import Tensor

    from napari_seg.models.dpt import DPT

_BLOCK = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
_UNIT = ("convolution1", "batch_norm1", "convolution2", "batch_norm2")
_UNIT_LAYERS = (1, 2, 4, 5)


def arguments_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for `DPT` from a configuration of ``DPTForSemanticSegmentation``.

    Parameters
    ----------
    config : mapping
        ``DPTConfig.to_dict()``, or the ``config.json`` beside published weights.

    Returns
    -------
    dict
        Keyword arguments, channels of the image and classes included.

    Raises
    ------
    CheckpointError
        For the hybrid with its ResNet, which this network is not.
    """
    if config.get("is_hybrid"):
        raise CheckpointError(
            "Only DPT with a plain vision transformer can be read",
            "a hybrid with a ResNet",
            "Use weights such as Intel/dpt-large-ade.",
        )
    labels = config.get("num_labels") or len(config.get("id2label") or (0, 1))
    return {
        "in_channels": config["num_channels"],
        "num_classes": labels,
        "encoder": "vit_base_patch16_224",
        "encoder_options": {
            "embed_dim": config["hidden_size"],
            "depth": config["num_hidden_layers"],
            "num_heads": config["num_attention_heads"],
            "mlp_ratio": config["intermediate_size"] / config["hidden_size"],
        },
        "patch_px": config["patch_size"],
        "image_px": config["image_size"],
        "taps": tuple(config["backbone_out_indices"]),
        "readout": config["readout_type"],
        "channels": tuple(config["neck_hidden_sizes"]),
        "fusion": config["fusion_hidden_size"],
        "norm": "batch" if config["use_batch_norm_in_fusion_residual"] else None,
    }


def load_published(network: DPT, weights: Mapping[str, Tensor]) -> list[str]:
    """Copy the weights of a ``DPTForSemanticSegmentation``.

    Parameters
    ----------
    network : DPT
        Built with `arguments_of` its configuration; changed in place.
    weights : mapping of str to Tensor
        Its state, as safetensors.

    Returns
    -------
    list of str
        Parameters of `network` that the weights do not have and that stay as drawn:
        those of the auxiliary head, which there sits on another map.

    Raises
    ------
    CheckpointError
        If a weight is missing or of another shape.
    """
    theirs = dict(weights)
    state = network.state_dict()
    drawn = [name for name in state if name.startswith("auxiliary.")]
    names = _names(network)
    with torch.no_grad():
        for name, target in state.items():
            if name in drawn or name.endswith("num_batches_tracked"):
                continue
            parts = [theirs.get(source) for source in names.get(name, [name])]
            found = [part for part in parts if part is not None]
            joined = torch.cat(found) if len(found) == len(parts) else None
            if joined is None or joined.shape != target.shape:
                what = "missing" if joined is None else str(tuple(joined.shape))
                raise CheckpointError(
                    "These are not weights of this DPT",
                    f"{names.get(name, [name])[0]} is {what}, needed is "
                    f"{tuple(target.shape)}",
                    "Build the network from the configuration beside the weights.",
                )
            target.copy_(joined)
    return drawn


def _names(network: DPT) -> dict[str, list[str]]:
    """Our name of each parameter, and the names of what it is there, in parts."""
    names = {
        "encoder.cls_token": ["dpt.embeddings.cls_token"],
        "encoder.pos_embed": ["dpt.embeddings.position_embeddings"],
    }
    both = ("weight", "bias")
    for kind in both:
        names[f"encoder.patch_embed.proj.{kind}"] = [
            f"dpt.embeddings.patch_embeddings.projection.{kind}"
        ]
        for i in range(len(network.encoder.blocks)):
            block, layer = f"encoder.blocks.{i}", f"dpt.encoder.layer.{i}"
            for theirs, ours in _BLOCK.items():
                names[f"{block}.{ours}.{kind}"] = [f"{layer}.{theirs}.{kind}"]
            names[f"{block}.attn.qkv.{kind}"] = [
                f"{layer}.attention.attention.{part}.{kind}"
                for part in ("query", "key", "value")
            ]
        for level in range(LEVELS):
            names |= _level_names(level, kind)
    return names | _head_names()


def _level_names(level: int, kind: str) -> dict[str, list[str]]:
    stage = "neck.reassemble_stage"
    fusion = f"neck.fusion_stage.layers.{LEVELS - 1 - level}"
    names = {
        f"reassemble.{level}.read.0": f"{stage}.readout_projects.{level}.0",
        f"reassemble.{level}.project": f"{stage}.layers.{level}.projection",
        f"reassemble.{level}.resample": f"{stage}.layers.{level}.resize",
        f"equalise.{level}": f"neck.convs.{level}",
        f"fusions.{level}.project": f"{fusion}.projection",
    }
    for ours, theirs in (("skip", "residual_layer1"), ("unit", "residual_layer2")):
        for layer, name in zip(_UNIT_LAYERS, _UNIT, strict=True):
            names[f"fusions.{level}.{ours}.layers.{layer}"] = (
                f"{fusion}.{theirs}.{name}"
            )
    kinds = [kind]
    if kind == "weight":
        kinds += ["running_mean", "running_var"]
    return {f"{a}.{k}": [f"{b}.{k}"] for a, b in names.items() for k in kinds}


def _head_names() -> dict[str, list[str]]:
    layers = {"head.0.0": "head.head.0", "head.0.1": "head.head.1"}
    layers["head.2"] = "head.head.4"
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {f"{a}.{k}": [f"{b}.{k}"] for a, b in layers.items() for k in kinds}
