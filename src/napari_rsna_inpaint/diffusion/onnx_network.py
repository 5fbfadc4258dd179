"""The network in the operations that ONNX Runtime computes fastest on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.unet import Block, PatchUNet, timestep_embedding

# Winograd's F(4, 3): four outputs of a filter of three taps by six products instead of twelve.
# Lavin & Gray 2016, "Fast algorithms for convolutional neural networks", B^T and G there.
_INPUT_ROWS = torch.tensor(
    [
        [4.0, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_FILTER_ROWS = (
    torch.tensor([[6.0, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
)


class OnnxNetwork(nn.Module):
    """``PatchUNet`` with its weights and its results, but for rounding.

    What is made of weights alone, ONNX Runtime computes once, when it loads the file. Not to be
    quantized: in 8 bits the operations of ``PatchUNet`` are faster.
    """

    def __init__(self, network: PatchUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """As ``PatchUNet.forward``."""
        network = self.network
        patch = network.config.patch
        time = network.time(timestep_embedding(t, network.config.time_channels))
        h = unshuffled_conv(x, network.stem, patch)
        skips: list[Tensor] = []
        for level, blocks in enumerate(network.down_blocks):
            if level:
                skips.append(h)
                h = network.downs[level - 1](h)
            for block in blocks:  # type: ignore[attr-defined]
                h = self._block(block, h, time, level)
        for level in reversed(range(len(network.ups))):
            h = pixel_shuffle(network.ups[level][0](h), 2) + skips.pop()  # type: ignore[index]
            for block in network.up_blocks[level]:  # type: ignore[attr-defined]
                h = self._block(block, h, time, level)
        norm, _, conv = network.head
        h = norm_silu(h, norm, norm.weight, norm.bias)  # type: ignore[arg-type]
        return shuffled_conv(h, conv, patch)  # type: ignore[arg-type]

    def _block(self, block: Block, x: Tensor, time: Tensor, level: int) -> Tensor:
        # at the first level the sums cost as much memory traffic as the products save
        conv = winograd_conv if level else nn.Conv2d.forward
        h = conv(block.conv1, norm_silu(x, block.norm1, block.norm1.weight, block.norm1.bias))
        scale, shift = block.time(time).chunk(2, dim=1)
        weight = block.norm2.weight * (1 + scale)
        bias = block.norm2.bias * (1 + scale) + shift
        return x + conv(block.conv2, norm_silu(h, block.norm2, weight, bias))


def unshuffled_conv(x: Tensor, conv: nn.Conv2d, patch: int) -> Tensor:
    """``conv(F.pixel_unshuffle(x, patch))``, 3x3, as one convolution of stride ``patch``."""
    outputs, channels = conv.out_channels, x.shape[1]
    weight = conv.weight.reshape(outputs, channels, patch, patch, 3, 3)
    weight = weight.permute(0, 1, 4, 2, 5, 3).reshape(outputs, channels, 3 * patch, 3 * patch)
    return F.conv2d(x, weight, conv.bias, stride=patch, padding=patch)


def shuffled_conv(x: Tensor, conv: nn.Conv2d, patch: int) -> Tensor:
    """``F.pixel_shuffle(conv(x), patch)``, 3x3 to one channel, as one transposed convolution."""
    n, channels, height, width = x.shape
    weight = conv.weight.flip(2, 3).reshape(patch, patch, channels, 3, 3)
    weight = weight.permute(2, 3, 0, 4, 1).reshape(channels, 1, 3 * patch, 3 * patch)
    y = F.conv_transpose2d(x, weight, stride=patch, padding=patch)
    assert conv.bias is not None
    bias = conv.bias.reshape(patch, 1, patch).expand(patch, width, patch).reshape(-1)
    y = y.reshape(n, height, patch**2 * width) + bias
    return y.reshape(n, 1, patch * height, patch * width)


def pixel_shuffle(x: Tensor, patch: int) -> Tensor:
    """``F.pixel_shuffle`` by two transpositions of one axis each, which take half the time."""
    n, channels, height, width = x.shape
    channels //= patch**2
    x = x.reshape(n, channels * patch, patch, height * width).transpose(2, 3)
    x = x.reshape(n, channels, patch, height, width * patch).transpose(2, 3)
    return x.reshape(n, channels, height * patch, width * patch)


def norm_silu(x: Tensor, norm: nn.GroupNorm, weight: Tensor, bias: Tensor) -> Tensor:
    """SiLU of the group norm of ``x``, with one multiplication and addition per pixel.

    ``weight`` and ``bias``, ``(C,)`` or ``(N, C)``, stand for those of ``norm``. Variances are
    mean squares, which products of every channel with itself give without another image.
    """
    n, _, height, width = x.shape
    channels, groups = norm.num_channels, norm.num_groups
    rows = x.reshape(n * channels, 1, height * width)
    squares = (rows @ rows.transpose(1, 2)).reshape(n, groups, channels // groups)
    mean = x.reshape(n, groups, -1).mean(2, keepdim=True)
    variance = squares.mean(2, keepdim=True) / (height * width) - mean * mean
    # rounding can make the variance of a constant image negative
    scale = torch.rsqrt(variance.clamp(min=0) + norm.eps)
    scale = scale * weight.reshape(-1, groups, channels // groups)
    shift = bias.reshape(-1, groups, channels // groups) - mean * scale
    return F.silu(x * scale.reshape(n, channels, 1, 1) + shift.reshape(n, channels, 1, 1))


def winograd_conv(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A 3x3 convolution padded by one, by half the products: Winograd's F(4, 3) along columns.

    Every four rows of the output need six rows of the input; sums of those are convolved
    along the rows alone, and sums of the results are the output.
    """
    height = x.shape[2]
    x = F.pad(x, (0, 0, 1, 4))  # enough for the last, incomplete four rows
    filters = torch.einsum("kr,oirc->koic", _FILTER_ROWS, conv.weight)

    def product(k: int, bias: Tensor | None = None) -> Tensor:
        combined = _INPUT_ROWS[k].reshape(1, 1, 6, 1).expand(conv.in_channels, 1, 6, 1)
        tile = F.conv2d(x, combined, stride=(4, 1), groups=conv.in_channels)
        return F.conv2d(tile, filters[k][:, :, None], bias, padding=(0, 1))

    def times(factor: float, y: Tensor, bias: Tensor | None = None) -> Tensor:
        # as a convolution: ONNX Runtime would change the memory layout for a product
        weight = torch.full((conv.out_channels, 1, 1, 1), factor)
        return F.conv2d(y, weight, bias, groups=conv.out_channels)

    second, fourth = product(2), product(4)
    sum_1, sum_2 = product(1) + second, product(3) + fourth
    difference_1, difference_2 = times(-2.0, second) + sum_1, times(-2.0, fourth) + sum_2
    rows = [
        product(0, conv.bias) + (sum_1 + sum_2),
        times(2.0, difference_2, conv.bias) + difference_1,
        times(4.0, sum_2, conv.bias) + sum_1,
        product(5, conv.bias) + (times(8.0, difference_2) + difference_1),
    ]
    y = torch.stack(rows, 3).reshape(x.shape[0], conv.out_channels, -1, x.shape[3])
    return y[:, :, :height]
