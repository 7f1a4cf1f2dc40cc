"""What a network is to learn, and what it costs to be wrong: one class a kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from napari_seg.models.averaged import fast_layout
from napari_seg.models.registry import find_architecture
from napari_seg.training.checked import IGNORED
from napari_seg.training.instance_targets import instance_targets
from napari_seg.training.losses import build_loss, with_auxiliary
from napari_seg.training.rehearsal import Teacher, as_channels
from napari_seg.training.stuff import stuff_numbers
from napari_seg.training.targets import (
    LOSS_WEIGHTS,
    interior_border_map,
    object_classes,
    open_gaps,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from napari_seg.models.card import Card
    from napari_seg.training.params import TrainParams
    from napari_seg.training.patch import Patch


class Objective(Protocol):
    """The seam between the training loop and what is trained."""

    has_classes: bool
    """Whether the network tells classes apart pixel by pixel: these can be balanced,
    and a teacher's probabilities be learnt from."""

    def targets(
        self, labels: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return what is learnt of each pixel of a patch, and how much it counts.

        Called from several threads. Labels are ids ([Z,] Y, X), -1 where nobody looked,
        below that classes beside the objects (`stuff_numbers`). Both results have
        their shape, and weight 0 where nobody looked.
        """
        ...

    def loss(
        self,
        network: nn.Module,
        patch: Patch,
        rehearsed: Patch | None,
        teacher: Teacher | None,
        device: str,
    ) -> Tensor:
        """Return the loss of new patches and, if there are any, of rehearsed ones."""
        ...


def make_objective(card: Card, params: TrainParams) -> Objective:
    """Return what the network of a card is to learn."""
    if card.finds_objects:
        return DetectionObjective(card.object_diameter_px, params)
    usual = find_architecture(card.architecture).aux_weight
    aux_weight = usual if params.aux_weight is None else params.aux_weight
    return DenseObjective(params, aux_weight, card.z_step_px)


class DenseObjective:
    """A class for each pixel, weighted, and a teacher where old data is rehearsed."""

    has_classes = True

    def __init__(
        self,
        params: TrainParams,
        aux_weight: float = 0.0,
        z_step_px: float | None = None,
    ) -> None:
        self.params = params
        self._z_step = z_step_px or 1.0
        self._aux_weight = aux_weight
        self._loss = build_loss(params.loss)

    def targets(
        self, labels: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Class and border weight of each pixel."""
        params = self.params
        known, stuff = labels != IGNORED, stuff_numbers(labels)
        labels = np.maximum(labels, 0)
        steps = (self._z_step, 1.0, 1.0)[-labels.ndim :]
        border_weights = replace(
            LOSS_WEIGHTS, w0=params.w0, sigma=params.sigma_px, spacing=steps
        )
        weights = border_weights.weigh(labels)
        if params.target == "foreground":
            classes = (open_gaps(labels) > 0).astype(np.int64)
        else:
            classes = interior_border_map(
                labels, border_px=params.border_px, spacing=steps
            )
        if params.stuff:
            last = len(object_classes(params.target)) - 1
            classes = np.where(stuff > 0, last + stuff, classes)
        return classes, np.where(known, weights, np.float32(0))

    def loss(
        self,
        network: nn.Module,
        patch: Patch,
        rehearsed: Patch | None,
        teacher: Teacher | None,
        device: str,
    ) -> Tensor:
        """One pass over both; the teacher's answers where there is a teacher."""
        images = patch[0]
        if rehearsed is not None:
            images = torch.cat([images, as_channels(rehearsed[0], images.shape[1])])
        images = to_device(images, device)
        outputs = network(images)
        count = len(patch[0])
        loss = self._of(network, outputs, slice(count), patch)
        if rehearsed is None:
            return loss
        again = (
            teacher.loss(images[count:], outputs["out"][count:])
            if teacher is not None
            else self._of(network, outputs, slice(count, None), rehearsed)
        )
        return blend(loss, again, patch, rehearsed, self.params)

    def _of(
        self, network: nn.Module, outputs: Mapping[str, Any], rows: slice, patch: Patch
    ) -> Tensor:
        mine = {key: _part(value, rows) for key, value in outputs.items()}
        _, classes, weights = patch
        margin = int(getattr(network, "margin", 0))
        if margin:
            inner = (slice(None), *(slice(margin, -margin),) * (classes.ndim - 1))
            classes, weights = classes[inner], weights[inner]
        device = mine["out"].device
        truth = classes.to(device), weights.to(device)
        return with_auxiliary(mine, *truth, self._loss, aux_weight=self._aux_weight)


class DetectionObjective:
    """A box and a mask for each object.

    The losses are those of Mask R-CNN (arXiv:1703.06870, section 3): of the class, the
    box and the mask of each region, and of the proposals. Rehearsed patches are learnt
    from their labels. Border weights, class balance and the choice of a loss are for
    networks that classify pixels; they are not looked at.
    """

    has_classes = False

    def __init__(self, diameter_px: float, params: TrainParams) -> None:
        self.diameter_px = diameter_px
        self.params = params

    def targets(
        self, labels: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the ids; boxes and masks are made of them when they are needed."""
        known = labels != IGNORED
        return np.where(labels > 0, labels, 0).astype(np.int64), known.astype(
            np.float32
        )

    def loss(
        self,
        network: nn.Module,
        patch: Patch,
        rehearsed: Patch | None,
        teacher: Teacher | None,
        device: str,
    ) -> Tensor:
        """Sum of the losses; new and rehearsed patches in passes of their own."""
        loss = self._of(network, patch, device)
        if rehearsed is None:
            return loss
        images = as_channels(rehearsed[0], patch[0].shape[1])
        again = self._of(network, (images, *rehearsed[1:]), device)
        return blend(loss, again, patch, rehearsed, self.params)

    def _of(self, network: nn.Module, patch: Patch, device: str) -> Tensor:
        images, ids, weights = patch
        labels = torch.where(weights > 0, ids, -1).numpy()
        targets = [
            {
                name: value.to(device)
                for name, value in instance_targets(each, self.diameter_px).items()
            }
            for each in labels
        ]
        losses: dict[str, Tensor] = network(to_device(images, device), targets)
        # Means over no proposal, where all of a batch is unknown, are not numbers.
        return torch.stack([torch.nan_to_num(loss) for loss in losses.values()]).sum()


def blend(
    loss: Tensor, again: Tensor, patch: Patch, rehearsed: Patch, params: TrainParams
) -> Tensor:
    """Weigh the losses of new and of rehearsed patches by their numbers."""
    share = len(rehearsed[0]) / (len(patch[0]) + len(rehearsed[0]))
    return (1 - share) * loss + params.rehearse_weight * share * again


def to_device(images: Tensor, device: str) -> Tensor:
    """Move images, in the layout that convolutions are fast in."""
    return fast_layout(images.to(device))


def _part(value: Any, rows: slice) -> Any:
    """Take some images of an output, or of each of a list of outputs."""
    if isinstance(value, list | tuple):
        return [tensor[rows] for tensor in value]
    return value[rows]
