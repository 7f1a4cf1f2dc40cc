"""A network and a run small enough for tests."""

from napari_seg.training.params import TrainParams
from napari_seg.training.progress import TrainProgress

TINY = {"channels": (4, 8), "padding": "same", "norm": "batch"}


def params(**fields):
    defaults = {
        "arguments": TINY,
        "steps": 4,
        "batch": 2,
        "patch_px": 32,
        "validate_every": 2,
        "device": "cpu",
        "mixed_precision": False,
    }
    return TrainParams(**(defaults | fields))


def losses(steps):
    return [step.loss for step in steps if isinstance(step, TrainProgress)]
