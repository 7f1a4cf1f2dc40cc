from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from napari_seg.errors import CheckpointError
from napari_seg.imaging.normalise import Normalisation
from napari_seg.models.averaged import ORIENTATIONS, Averaged
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import Checkpoint
from napari_seg.models.ensemble import join_checkpoints
from napari_seg.models.unet import UNet

ALL = ORIENTATIONS["all"]
CARD = Card("a", "none", {}, 1, ("background", "foreground"), threshold=0.4)


class Says(nn.Module):
    """Gives the same logits for every pixel."""

    divisor, margin = 1, 0

    def __init__(self, *logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x):
        shape = (len(x), len(self.logits), *x.shape[2:])
        return {"out": self.logits[:, None, None].expand(shape)}


class LeftNeighbour(nn.Module):
    """Takes the value of the pixel to the left for the logit of its one class."""

    divisor, margin = 1, 0

    def forward(self, x):
        return {"out": nn.functional.pad(x, (1, 0))[..., :-1]}


@given(
    index=st.integers(0, 7),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    data=st.data(),
)
def test_turned_and_turned_back_is_the_same_and_windows_move_along(
    index, rows, columns, data
):
    orientation = ALL[index]
    x = torch.arange(rows * columns).reshape(1, 1, rows, columns)
    assert torch.equal(orientation.undo(orientation.apply(x)), x)
    window = []
    for size in (rows, columns):
        start = data.draw(st.integers(0, size - 1))
        window.append(slice(start, data.draw(st.integers(start + 1, size))))
    turned = orientation.window(window, (rows, columns))
    expected = orientation.apply(x[(..., *window)])
    assert torch.equal(orientation.apply(x)[(..., *turned)], expected)


def test_there_are_eight_different_orientations():
    x = torch.tensor([[1, 2], [3, 4]])
    assert len({tuple(o.apply(x).flatten().tolist()) for o in ALL}) == 8
    assert len(ORIENTATIONS["flips"]) == 4


def test_mirroring_averages_both_neighbours():
    image = torch.tensor([[[[0.0, 4.0, -2.0]]]])
    mirrored = ORIENTATIONS["flips"]
    found = Averaged([LeftNeighbour()], mirrored)(image)["out"].exp()
    left, right = torch.tensor([0.0, 0, 4]), torch.tensor([4.0, -2, 0])
    expected = (torch.sigmoid(left) + torch.sigmoid(right)) / 2
    torch.testing.assert_close(found[0, 1, 0], expected)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(1, 1, 3))


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_window_of_the_average_is_the_average_in_the_window(padding):
    torch.manual_seed(0)
    network = UNet(1, 3, channels=(4, 6, 8), padding=padding, norm="batch").eval()
    averaged = Averaged([network], ALL).eval()
    side = averaged.input_size(60)
    x = torch.rand(2, 1, side, averaged.input_size(side + 1))
    keep = [slice(3, 17), slice(5, 12)]
    with torch.inference_mode():
        whole, part = averaged(x)["out"], averaged(x, keep=keep)["out"]
    torch.testing.assert_close(part, whole[(..., *keep)], atol=1e-5, rtol=1e-5)


def test_turning_the_image_turns_the_average():
    torch.manual_seed(0)
    network = UNet(1, 2, channels=(4, 8), padding="same").eval()
    averaged = Averaged([network], ALL).eval()
    x = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        found = averaged(x.rot90(1, (2, 3)))["out"]
        expected = averaged(x)["out"].rot90(1, (2, 3))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_probabilities_of_several_networks_are_averaged():
    sure, torn = Says(0.0, 2.1972246), Says(0.0, 0.0)  # 0.9 and 0.5
    found = Averaged([sure, torn])(torch.zeros(1, 1, 2, 2))["out"].softmax(dim=1)
    torch.testing.assert_close(found[0, 1], torch.full((2, 2), 0.7))


def test_networks_of_different_strides_get_a_size_legal_for_both():
    coarse = UNet(1, 2, channels=(2, 3, 4, 5), padding="same")
    joined = Averaged([UNet(1, 2, channels=(2, 3), padding="same"), coarse])
    assert joined.divisor == 8
    assert joined.input_size(9) == 16


def test_checkpoints_are_joined_with_mean_thresholds():
    pair = [
        Checkpoint(Says(0.0, 1.0), CARD, sha256="1"),
        Checkpoint(Says(0.0, 1.0), replace(CARD, name="b", threshold=0.6), sha256="2"),
    ]
    joined = join_checkpoints(pair)
    assert joined.card.name == "a + b"
    assert joined.card.threshold == pytest.approx(0.5)
    assert joined.sha256 == "1+2"
    assert join_checkpoints(pair[:1]) is pair[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("classes", ("background", "cell")),
        ("in_channels", 3),
        ("object_diameter_px", 30.0),
        ("normalisation", Normalisation(2, 98)),
    ],
)
def test_what_differs_between_models_is_named(field, value):
    one = Checkpoint(Says(0.0, 1.0), CARD)
    other = Checkpoint(Says(0.0, 1.0), replace(CARD, name="b", **{field: value}))
    with pytest.raises(CheckpointError, match=field):
        join_checkpoints([one, other])


def test_networks_with_different_margins_cannot_be_averaged():
    one = Checkpoint(UNet(1, 2, channels=(2, 3)), CARD)
    with pytest.raises(CheckpointError, match="margin"):
        join_checkpoints([one, Checkpoint(Says(0.0, 1.0), CARD)])
