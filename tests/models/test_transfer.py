import torch

from napari_seg.models.registry import build_network
from napari_seg.models.transfer import transfer_weights

CLASSES = ("background", "interior", "border")


def net(in_channels=1, num_classes=3, seed=0):
    torch.manual_seed(seed)
    network = build_network(
        "unet",
        in_channels=in_channels,
        num_classes=num_classes,
        channels=(4, 8),
        padding="same",
        norm="batch",
    )
    return network.eval()


def answers(network, image):
    with torch.no_grad():
        return network(image)["out"]


def test_the_same_ends_give_the_same_network():
    old, new = net(), net(seed=1)
    fresh = transfer_weights(
        new, old.state_dict(), channels=(1, 1), classes=(CLASSES, CLASSES)
    )
    assert fresh == []
    image = torch.rand(1, 1, 16, 16)
    assert answers(new, image).equal(answers(old, image))


def test_more_channels_answer_to_grey_as_before():
    old, new = net(), net(in_channels=3, seed=1)
    fresh = transfer_weights(
        new, old.state_dict(), channels=(1, 3), classes=(CLASSES, CLASSES)
    )
    assert fresh == []
    image = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(
        answers(new, image.expand(-1, 3, -1, -1)), answers(old, image)
    )


def test_classes_of_the_same_name_keep_their_logits():
    old, new = net(), net(num_classes=4, seed=1)
    before = new.head.weight.clone()
    classes = ("background", "wall", "border", "interior")
    fresh = transfer_weights(
        new, old.state_dict(), channels=(1, 1), classes=(CLASSES, classes)
    )
    assert fresh == ["head.weight", "head.bias"]
    assert new.head.weight[0].equal(old.head.weight[0])
    assert new.head.weight[2].equal(old.head.weight[2])
    assert new.head.weight[3].equal(old.head.weight[1])
    assert new.head.weight[1].equal(before[1]), "what is new is drawn"


def test_as_many_classes_of_other_names_are_not_mistaken():
    old, new = net(), net(seed=1)
    before = new.head.weight.clone()
    classes = ("background", "border", "wall")
    fresh = transfer_weights(
        new, old.state_dict(), channels=(1, 1), classes=(CLASSES, classes)
    )
    assert "head.weight" in fresh
    assert new.head.weight[1].equal(old.head.weight[2])
    assert new.head.weight[2].equal(before[2])


def test_what_is_missing_is_drawn():
    old = {k: v for k, v in net().state_dict().items() if "head" not in k}
    fresh = transfer_weights(
        net(seed=1), old, channels=(1, 1), classes=(CLASSES, CLASSES)
    )
    assert fresh == ["head.weight", "head.bias"]


def test_kernels_that_learn_nothing_stay_as_they_are_built():
    def fcn():
        return build_network(
            "fcn16s", in_channels=1, num_classes=3, width=2, dense=4, rim_px=1
        )

    old, new = fcn(), fcn()
    expected = new.enlarge[0].weight.clone()
    turned = ("border", "background", "interior")
    fresh = transfer_weights(
        new, old.state_dict(), channels=(1, 1), classes=(CLASSES, turned)
    )
    assert fresh == []
    assert new.enlarge[0].weight.equal(expected)
    assert new.head[0].weight[0].equal(old.head[0].weight[2])
