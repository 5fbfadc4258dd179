import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_rsna_inpaint.inpaint.completion_net import CompletionConfig, CompletionNet, draw_masks

SMALL = CompletionConfig(
    widths=(8, 16),
    dilations=(1, 2, 4),
    dropout=0.5,
    dropout_layers=("coarse.context2", "fine.context3"),
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = CompletionNet(SMALL).eval()
    for stage in (network.coarse, network.fine):
        # the last layers start at zero, which would hide what goes in
        torch.nn.init.normal_(stage.head.weight, std=0.1)
    return network


@pytest.fixture
def scene():
    torch.manual_seed(1)
    image = torch.randn(2, 1, 24, 32)
    hole = torch.zeros_like(image)
    hole[..., 6:15, 9:20] = 1
    return image, hole, torch.ones_like(image)


@torch.inference_mode()
def test_nothing_inside_the_hole_is_looked_at(network, scene):
    image, hole, brain = scene
    other = torch.where(hole > 0, 3.0, image)
    for a, b in zip(network(image, hole, brain), network(other, hole, brain), strict=True):
        assert a.shape == image.shape
        assert torch.equal(a, b)


@torch.inference_mode()
def test_hole_brain_and_surroundings_count(network, scene):
    image, hole, brain = scene
    whole = network(image, hole, brain)[1]
    for changed in [(image + 1, hole, brain), (image, hole.roll(2, 3), brain), (image, hole, hole)]:
        assert not torch.allclose(network(*changed)[1], whole)


@torch.inference_mode()
@pytest.mark.parametrize("layer", SMALL.layer_names)
def test_dropout_of_every_layer_has_an_effect_on_its_stage(network, scene, layer):
    whole = network(*scene)
    dropped = network(*scene, draw_masks(SMALL, [layer], [3, 4]))
    # what changes the guess changes its correction; the fine stage cannot change the guess
    changed = [not torch.equal(a, b) for a, b in zip(whole, dropped, strict=True)]
    assert changed == [layer.startswith("coarse."), True]


def test_names_of_layers_that_do_not_exist_are_refused(network, scene):
    # as the published list of the fine stage is written
    with pytest.raises(ValueError, match=r"self\.conv3.*there are coarse\.context1"):
        draw_masks(SMALL, ["self.conv3"], [0])
    with pytest.raises(ValueError, match="no layers fine"):
        network(*scene, {"fine": torch.ones(2, 16, 1, 1)})
    with pytest.raises(ValidationError, match=r"no layers fine\.context9"):
        CompletionConfig(dropout_layers=("coarse.context1", "fine.context9"))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=5), st.floats(0.05, 0.9))
def test_masks_of_an_image_depend_on_its_seed_alone(seeds, rate):
    config = SMALL.model_copy(update={"dropout": rate})
    masks = draw_masks(config, config.dropout_layers, seeds)
    for n, seed in enumerate(seeds):
        alone = draw_masks(config, config.dropout_layers, [seed])
        for name, mask in masks.items():
            assert mask.shape == (len(seeds), 16, 1, 1)
            assert torch.equal(mask[n : n + 1], alone[name])
            kept = torch.isclose(mask, torch.tensor(1 / (1 - rate)))
            assert (kept | (mask == 0)).all()


def test_masks_drop_whole_channels_at_the_rate_and_keep_the_mean():
    masks = draw_masks(SMALL, SMALL.layer_names, range(500))
    for mask in masks.values():
        assert (mask == 0).float().mean() == pytest.approx(0.5, abs=0.03)
        assert mask.mean() == pytest.approx(1.0, abs=0.06)


def test_the_coarse_masks_do_not_depend_on_the_fine_ones():
    both = draw_masks(SMALL, SMALL.dropout_layers, [7])
    coarse = draw_masks(SMALL, ["coarse.context2"], [7])
    assert torch.equal(both["coarse.context2"], coarse["coarse.context2"])


def test_the_default_network_is_small_and_has_dropout_in_both_stages():
    config = CompletionConfig()
    n = sum(p.numel() for p in CompletionNet(config).parameters())
    assert 0.5e6 < n < 0.75e6
    for stage in ("coarse", "fine"):
        assert sum(name.startswith(stage) for name in config.dropout_layers) == 3
