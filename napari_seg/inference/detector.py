"""Objects of a block, found one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from napari_seg.imaging.detections import FULL, Detections, foreground_map, paint
from napari_seg.imaging.instances import InstanceParams
from napari_seg.inference.device import is_out_of_memory
from napari_seg.inference.resident import Resident

if TYPE_CHECKING:
    from torch import Tensor

    from napari_seg.inference.view import Readable
    from napari_seg.models.card import Card

CORNERS = (1, 0, 3, 2)
"""Order of the corners as this package has it, y before x."""


class Detector(Resident):
    """Runs a network that maps (1, C, rows, columns) to boxes, scores and masks."""

    def detect(self, image: NDArray[np.float32]) -> Detections:
        """Find the objects of a block.

        Parameters
        ----------
        image : ndarray of float32, shape (C, rows, columns)
            Normalised, of any size.

        Raises
        ------
        DeviceError
            If the block does not fit into the memory of the device.
        """
        try:
            return self._detect(image)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._release()
            size = " x ".join(str(n) for n in image.shape[1:])
            raise self._exhausted(f"one block of {size} px does not fit") from error

    @torch.inference_mode()
    def _detect(self, image: NDArray[np.float32]) -> Detections:
        x = torch.from_numpy(image)[None].to(
            self.device.name, memory_format=torch.channels_last
        )
        found: dict[str, Tensor] = self._network(x)[0]
        masks = (found["masks"][:, 0] * FULL).round()
        return Detections(
            found["boxes"][:, CORNERS].cpu().numpy().astype(np.float32),
            found["scores"].cpu().numpy().astype(np.float32),
            masks.to(torch.uint8).cpu().numpy(),
        )

    def look(
        self, part: Readable, shape: tuple[int, int], card: Card
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Segment a small image at once; see `Predictor.look`.

        The certainty of an object is its score, and at its rim that of its mask.
        """
        found = self.detect(part.read((slice(0, shape[0]), slice(0, shape[1]))))
        params = InstanceParams(card.threshold, card.seed_threshold)
        labels, scores = paint(found, shape, params)
        decided = np.abs(1 - 2 * foreground_map(found, shape, card.seed_threshold))
        return labels, decided * np.where(labels > 0, scores[labels], 1)
