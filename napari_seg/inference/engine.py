"""The right runner and the right job for each kind of network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_seg.errors import ImageError
from napari_seg.inference.dense_job import DenseJob
from napari_seg.inference.detection_job import DetectionJob
from napari_seg.inference.detector import Detector
from napari_seg.inference.predictor import Predictor
from napari_seg.inference.volume_job import VolumeJob

if TYPE_CHECKING:
    from napari_seg.inference.device import Device
    from napari_seg.inference.job import Job
    from napari_seg.inference.params import SegmentParams
    from napari_seg.inference.reader import ImageReader
    from napari_seg.models.checkpoint import Checkpoint


def open_predictor(
    checkpoint: Checkpoint,
    device: Device,
    *,
    batch: int = 0,
    tta: str = "none",
    is_compiled: bool = False,
) -> Predictor | Detector:
    """Put a network on a device.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its card says what the network gives: probabilities, or objects.
    device : Device
    batch : int, optional
        Tiles at once; 0 chooses. Detectors take one block at a time.
    tta : str, optional
        Orientations to average over; see `Predictor`.
    is_compiled : bool, optional
        Whether torch compiles the network first.

    Raises
    ------
    ImageError
        If several orientations are asked of a detector.
    """
    network, channels = checkpoint.network, checkpoint.card.in_channels
    if checkpoint.card.finds_objects:
        if tta != "none":
            raise ImageError(
                "Only probabilities can be averaged over views",
                f"{checkpoint.card.name}, which finds objects one by one",
                "Choose one view, or a model that classifies pixels.",
            )
        return Detector(network, device, in_channels=channels, is_compiled=is_compiled)
    return Predictor(
        network,
        device,
        in_channels=channels,
        ndim=checkpoint.card.ndim,
        batch=batch,
        tta=tta,
        is_compiled=is_compiled,
    )


def make_job(
    reader: ImageReader,
    predictor: Predictor | Detector,
    checkpoint: Checkpoint,
    params: SegmentParams,
    diameter: float,
) -> Job:
    """Return the way of an image through a network; see `Job`."""
    if isinstance(predictor, Detector):
        return DetectionJob(reader, predictor, checkpoint, params, diameter)
    job = DenseJob if predictor.ndim == 2 else VolumeJob
    return job(reader, predictor, checkpoint, params, diameter)
