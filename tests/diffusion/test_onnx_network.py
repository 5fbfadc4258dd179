import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from napari_rsna_inpaint.diffusion.onnx_network import (
    OnnxNetwork,
    norm_silu,
    pixel_shuffle,
    shuffled_conv,
    unshuffled_conv,
    winograd_conv,
)
from napari_rsna_inpaint.diffusion.unet import PatchUNet, UNetConfig


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def same(found: torch.Tensor, expected: torch.Tensor, atol: float = 2e-5) -> None:
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-5)


@pytest.mark.parametrize(
    ("patch", "widths", "blocks"), [(2, (8, 16, 32), 1), (4, (16, 16), 2), (1, (8,), 1)]
)
@torch.no_grad()
def test_it_predicts_what_the_network_predicts(patch, widths, blocks):
    network = PatchUNet(UNetConfig(patch=patch, widths=widths, blocks=blocks))
    for parameter in network.parameters():  # biases and second convolutions begin as zeros
        nn.init.normal_(parameter, std=0.2)
    side = network.config.divisor
    x, t = torch.randn(3, 6, 3 * side, 5 * side), torch.tensor([0, 400, 999])
    expected = network(x, t)
    found = OnnxNetwork(network)(x, t)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("height", range(1, 10))
@torch.no_grad()
def test_winograd_convolutions_of_any_height(height):
    conv = nn.Conv2d(5, 7, 3, padding=1)
    x = torch.randn(2, 5, height, 6)
    same(winograd_conv(conv, x), conv(x))


@pytest.mark.parametrize("patch", [1, 2, 4])
@torch.no_grad()
def test_an_unshuffled_convolution(patch):
    conv = nn.Conv2d(3 * patch**2, 5, 3, padding=1)
    x = torch.randn(2, 3, 3 * patch, 4 * patch)
    same(unshuffled_conv(x, conv, patch), conv(F.pixel_unshuffle(x, patch)))


@pytest.mark.parametrize("patch", [1, 2, 4])
@torch.no_grad()
def test_a_shuffled_convolution(patch):
    conv = nn.Conv2d(5, patch**2, 3, padding=1)
    x = torch.randn(2, 5, 3, 4)
    same(shuffled_conv(x, conv, patch), F.pixel_shuffle(conv(x), patch))


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_a_shuffle_moves_the_same_pixels(patch):
    x = torch.randn(2, 3 * patch**2, 4, 5)
    assert torch.equal(pixel_shuffle(x, patch), F.pixel_shuffle(x, patch))


class TestNorm:
    @pytest.mark.parametrize(("offset", "atol"), [(0, 2e-5), (10, 2e-4)])
    @torch.no_grad()
    def test_with_its_own_weights(self, offset, atol):
        norm = nn.GroupNorm(4, 8)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        x = offset + torch.randn(3, 8, 6, 5)
        same(norm_silu(x, norm, norm.weight, norm.bias), F.silu(norm(x)), atol)

    @torch.no_grad()
    def test_with_weights_of_every_image(self):
        norm = nn.GroupNorm(4, 8)
        x = torch.randn(3, 8, 6, 5)
        weight, bias = torch.randn(2, 3, 8)
        expected = F.silu(norm(x) * weight[:, :, None, None] + bias[:, :, None, None])
        same(norm_silu(x, norm, weight, bias), expected)

    @pytest.mark.parametrize("value", [0.1, 123.4, 12345.6])
    def test_a_constant_image_gives_numbers(self, value):
        norm = nn.GroupNorm(2, 2)
        x = torch.full((1, 2, 7, 9), value)
        assert norm_silu(x, norm, norm.weight, norm.bias).isfinite().all()
