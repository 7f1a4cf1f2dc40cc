"""What every network promises, whatever is in it; one test for one promise.

A new architecture needs one line in `CASES`: arguments that make it tiny. Networks
that find objects promise other things; see `test_maskrcnn.py`.
"""

import functools
import warnings

import pytest
import torch

from napari_seg.errors import UnknownModelError
from napari_seg.models.card import Card
from napari_seg.models.checkpoint import load_model, save_checkpoint
from napari_seg.models.registry import ARCHITECTURES, build_network
from napari_seg.training.params import TrainParams

RESNET = {
    "channels": [4, 6, 8, 16],
    "layers": [1, 1, 1, 1],
}
FINE = {"encoder": "resnet18", "encoder_options": RESNET, "stem_pool": False}
VIT = {"embed_dim": 24, "depth": 4, "num_heads": 2}
VGG = {"width": 2, "dense": 8}
CASES = {
    "deconvnet": {"core_px": 2, **VGG},
    "deeplab-v1": {"rate": 3, **VGG},
    "deeplab-v2": FINE | {"rates": [1, 2], "scales": [1.0, 0.5]},
    "deeplab-v2: VGG": {"encoder": "vgg16", "rates": [1, 2], **VGG},
    "dilated-context": {"padding": "same", **VGG},
    "dilated-context: mirrored": {"context": None, **VGG},
    "drn: A": {"variant": "A", "depth": 18, "width": 2},
    "drn: C": {"variant": "C", "depth": 26, "width": 2},
    "drn: D": {"variant": "D", "depth": 22, "width": 2},
    "equal-size-fcn": {"width": 4, "layers": 3},
    "fcn16s": VGG,
    "fcn32s": {"rim_px": 1, **VGG},
    "fcn8s": VGG,
    "fcn8s: padded": {"rim_px": 1, "core_px": 3, "norm": "group", **VGG},
    "hdc": FINE | {"rates": "1-2-5"},
    "hdc: DRN": {"encoder": "drn", "encoder_options": {"width": 2}, "cell_px": 4},
    "patch-classifier": {"kernels_px": [4, 3], "width": 4, "hidden": 6},
    "patch-classifier: sliding": {
        "kernels_px": [4, 3],
        "width": 4,
        "hidden": 6,
        "sliding": True,
    },
    "segnet": {"width": 2},
    "bisenet": {"width": 8},
    "bisenet: timm": FINE | {"width": 8},
    "cspn": {"base_arguments": {"channels": [4, 6], "padding": "same"}, "steps": 3},
    "cspn: spn": {
        "base_arguments": {"channels": [4, 6], "padding": "same"},
        "propagation": "spn",
    },
    "danet": FINE,
    "deeplab-v3": {
        "encoder": "resnet50",
        "encoder_options": RESNET | {"base_width": 16},
        "width": 8,
    },
    "deeplab-v3: 8": FINE | {"width": 8, "output_stride": 8},
    "deeplab-v3plus": FINE | {"width": 8, "separable": True},
    "dpt": {
        "encoder_options": VIT,
        "encoder": "vit_tiny_patch16_224",
        "image_px": 32,
        "channels": [4, 8, 12, 16],
        "fusion": 8,
    },
    "pspnet": FINE,
    "segmenter": {
        "encoder": "vit_tiny_patch16_224",
        "encoder_options": VIT,
        "patch_px": 8,
        "image_px": 32,
    },
    "segmenter: linear": {
        "encoder": "vit_tiny_patch16_224",
        "encoder_options": VIT,
        "image_px": 32,
        "decoder": "linear",
    },
    "unet": {"channels": [4, 6, 8], "padding": "same", "norm": "batch"},
    "unet: non-local": {
        "channels": [4, 6, 8],
        "padding": "same",
        "attention": "non-local",
    },
    "unet: se": {"channels": [4, 6, 8], "padding": "same", "attention": "se"},
    "unet: valid": {"channels": [4, 6, 8]},
}
"""Arguments by name, or by name and what is special."""
CLASSES = ("background", "interior", "border")
REACH_PX = {
    "bisenet": None,
    "cspn: spn": None,
    "danet": None,
    "deeplab-v3": None,
    "deeplab-v3plus": None,
    "deconvnet": 320,
    "deeplab-v1": 180,
    "deeplab-v2": 320,
    "dilated-context": 480,
    "dpt": None,
    "drn": 360,
    "fcn16s": 280,
    "fcn32s": 280,
    "fcn8s": 280,
    "fcn8s: padded": None,  # group norm
    "hdc": 400,
    "pspnet": None,
    "segmenter": None,
    "segnet": 260,
    "unet: non-local": None,
    "unet: se": None,
}
"""How far a pixel looks at most, None for everywhere; 48 px where nothing is said."""
UNREACHED: dict[str, tuple[str, ...]] = {
    # Fixed kernels, which are parameters in the authors' code.
    "fcn16s": ("enlarge.",),
    "fcn32s": ("enlarge.",),
    "fcn8s": ("enlarge.",),
    # What is multiplied by a zero that only training moves.
    "danet": ("position.query", "position.key", "position.value"),
    "unet: non-local": ("look.query", "look.key", "look.value"),
}
"""Parameters that no gradient reaches, by the beginning of their names, and why."""

dense = pytest.mark.parametrize("case", CASES)


def name_of(case):
    return case.partition(":")[0]


def reach_of(case):
    """How far (px) a pixel of the logits sees; None to the borders of the image."""
    return REACH_PX.get(case, REACH_PX.get(name_of(case), 48))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def build(case, in_channels=1):
    """Build a network as it may be after training: its norms have seen something."""
    torch.manual_seed(0)
    network = build_network(
        name_of(case),
        in_channels=in_channels,
        num_classes=len(CLASSES),
        **CASES[case],
    )
    for layer in network.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(layer.weight, 0.8, 1.2)  # no branch starts at 0
    return network


@functools.cache
def evaluated(case, in_channels=1):
    return build(case, in_channels).eval()


def size_of(network, at_least):
    """Return a side that is not legal, unless the network takes no other."""
    return network.input_size(at_least) if network.margin else at_least


def logits(network, x):
    with torch.inference_mode():
        return network(x)["out"]


def close(found, expected, tolerance=1e-5):
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, atol=tolerance, rtol=0)


def test_every_dense_architecture_is_held_to_the_contract():
    named = {a.name for a in ARCHITECTURES.values() if a.kind == "dense"}
    assert {name_of(case) for case in CASES} == named


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_table_says_what_a_reader_needs(name):
    spec = ARCHITECTURES[name]
    assert spec.name == name
    assert 2010 < spec.year < 2030
    assert spec.family
    assert spec.paper
    assert len(spec.good_at) < 70
    for part in (spec.title, spec.authors, str(spec.year), spec.good_at):
        assert part in spec.summary


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_dimensions_it_does_not_have_are_refused(name):
    spec = ARCHITECTURES[name]
    for ndim in {1, 2, 3, 4} - set(spec.ndims):
        with pytest.raises(ValueError, match=f"dimensions .found: {ndim}."):
            build_network(name, in_channels=1, num_classes=2, ndim=ndim)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(UnknownModelError, match="unet"):
        build_network("vnet", in_channels=1, num_classes=2)


@pytest.mark.parametrize(
    "name", [a.name for a in ARCHITECTURES.values() if a.reference]
)
def test_at_the_published_width_it_has_the_published_size(name):
    reference = ARCHITECTURES[name].reference
    with torch.device("meta"):
        network = build_network(
            name,
            in_channels=reference.in_channels,
            num_classes=reference.num_classes,
            **reference.arguments,
        )
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == reference.parameters, reference.source


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_trained_by_default_fits_a_processor_and_a_small_file(name):
    with torch.device("meta"):
        network = build_network(
            name,
            in_channels=1,
            num_classes=3,
            **ARCHITECTURES[name].training_arguments,
        )
    assert sum(parameter.numel() for parameter in network.parameters()) < 12e6


@dense
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_any_size_and_batch_comes_back(case, channels):
    network = evaluated(case, channels)
    for batch, sides in ((1, (37, 53)), (2, (16, 40)), (1, (5, 18))):
        sides = [size_of(network, side) for side in sides]
        found = logits(network, torch.rand(batch, channels, *sides))
        inner = [side - 2 * network.margin for side in sides]
        assert found.shape == (batch, len(CLASSES), *inner)
        assert torch.isfinite(found).all()


@dense
def test_the_smallest_size_is_the_one_it_says(case):
    network = evaluated(case)
    side = network.min_size
    inner = side - 2 * network.margin
    assert side > 0
    assert side == network.min_size <= network.input_size(1)
    assert logits(network, torch.rand(1, 1, side, side)).shape[2:] == (inner, inner)
    if side > 1:
        with pytest.raises(ValueError, match=r"size|px|pixel"):
            network(torch.rand(1, 1, side - 1, side))


@pytest.mark.parametrize("case", [c for c in CASES if reach_of(c) is not None])
def test_the_divisor_is_the_shift_that_changes_nothing(case):
    # Of the others each pixel sees the borders of the image.
    network, reach = evaluated(case), reach_of(case)
    step, margin = network.divisor, network.margin
    side = network.input_size(2 * reach + 2 * step)
    image = torch.rand(1, 1, side + step, side + step)

    def middle(by):
        """Logits of pixels that see no border, of the window that begins at `by`."""
        found = logits(network, image[..., by : by + side, by : by + side])
        low = reach + step - by - margin
        return found[..., low : low + step, low : low + step]

    still = middle(0)
    assert still.std() > 0
    close(middle(step), still)
    if step > 1:
        assert (middle(step // 2) - still).abs().max() > 1e-3 * still.abs().max()


@dense
@pytest.mark.parametrize("batch", [1, 2])
def test_a_gradient_reaches_every_parameter(case, batch):
    network = build(case).train()
    side = size_of(network, 64)
    found = network(torch.rand(batch, 1, side, side))
    aux = found.get("aux", [])
    heads = [found["out"], *(aux if isinstance(aux, list) else [aux])]
    assert {head.shape[2:] for head in heads} == {(side - 2 * network.margin,) * 2}
    sum((head - head.mean()).square().sum() for head in heads).backward()
    excused = UNREACHED.get(case, UNREACHED.get(name_of(case), ()))
    dead = []
    for name, parameter in network.named_parameters():
        if excused and name.startswith(excused):
            continue
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if parameter.ndim > 1 and not parameter.grad.abs().sum() > 0:
            dead.append(name)
    assert not dead


@dense
def test_evaluation_repeats_itself_and_images_of_a_batch_do_not_mix(case):
    network = evaluated(case)
    side = size_of(network, 40)
    x = torch.rand(2, 1, side, side)
    both = logits(network, x)
    assert torch.equal(both, logits(network, x))
    close(both, torch.cat([logits(network, x[:1]), logits(network, x[1:])]))
    assert set(network(x)) == {"out"}


@dense
def test_a_checkpoint_alone_brings_it_back(case, tmp_path):
    network = evaluated(case)
    card = Card("tiny", name_of(case), CASES[case], 1, CLASSES)
    path = save_checkpoint(tmp_path / "tiny.safetensors", network, card, half=False)
    loaded = load_model(path)
    assert loaded.card.arguments == CASES[case]
    side = size_of(network, 40)
    x = torch.rand(1, 1, side, side)
    assert torch.equal(logits(loaded.network, x), logits(network, x))


@dense
def test_torch_can_trace_it(case):
    network = evaluated(case)
    side = network.input_size(40)
    x = torch.rand(1, 1, side, side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, x, strict=False, check_trace=False)
    with torch.inference_mode():
        close(traced(x)["out"], network(x)["out"])


@pytest.mark.parametrize(
    "name", [a.name for a in ARCHITECTURES.values() if a.kind == "dense"]
)
def test_every_tap_of_a_dilated_kernel_learns_from_a_usual_patch(name):
    with torch.device("meta"):
        network = build_network(
            name,
            in_channels=1,
            num_classes=2,
            **ARCHITECTURES[name].training_arguments,
        ).train()
        sides = []

        def look(layer, inputs, _):
            if max(layer.dilation) > 1:
                reach = layer.dilation[0] * (layer.kernel_size[0] // 2)
                sides.append((min(inputs[0].shape[2:]), reach))

        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(look)
        patch = TrainParams().patch_px
        network(torch.zeros(2, 1, patch, patch))
    assert all(side > reach for side, reach in sides)
