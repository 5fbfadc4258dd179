"""A residual U-Net of volumes that works on the sub-bands of a wavelet transform.

It suits CT, whose sections are 5 mm apart and whose pixels are 1 mm wide: convolutions are those
of planes, which exchange channels with the planes below and above, and below the wavelet
transform the network halves the plane only, unless its voxels are isotropic.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.unet import timestep_embedding


class UNet3dConfig(BaseModel):
    """Shape of the network.

    ``widths`` are the channels of each level (the first at one cell a wavelet coefficient, each
    next at half the resolution). With ``isotropic`` the levels halve z, too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    widths: tuple[int, ...] = (32, 64, 96, 96)
    time_channels: int = 64
    isotropic: bool = False

    @property
    def divisor(self) -> int:
        """Height and width of the sub-bands must be multiples of this."""
        return 2 ** (len(self.widths) - 1)

    @property
    def divisor_z(self) -> int:
        """Depth of the sub-bands must be a multiple of this."""
        return self.divisor if self.isotropic else 1


class ChannelNorm(nn.LayerNorm):
    """Normalises the channels of every cell by themselves.

    So neither the size of a block nor the air around the head changes what the network makes
    of tissue; and in bfloat16 its gradient takes a quarter of the time of that of a GroupNorm.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block3d(nn.Module):
    """Residual block of planes that lie side by side in the batch.

    A 2-D convolution of many planes is several times faster on a CPU than a 3-D one. The planes
    hear of each other by a shift (Lin et al. 2019, temporal shift): before the second
    convolution a quarter of the channels comes from the plane below, another from that above.
    """

    def __init__(self, channels: int, config: UNet3dConfig) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Linear(config.time_channels, 2 * channels)
        self.norm2 = ChannelNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.conv2.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, time: Tensor, depth: int) -> Tensor:
        """``(x (N depth, C, H, W), time (N depth, time_channels)) -> (N depth, C, H, W)``."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        h = F.silu(self.norm2(h) * (1 + scale) + shift)
        return x + self.conv2(_exchanged(h, depth))


class UNet3d(nn.Module):
    """``(x (N, C, D, H, W), t (N,)) -> (N, out_channels, D, H, W)``.

    H and W must be multiples of ``config.divisor``, D of ``config.divisor_z``.
    """

    def __init__(self, config: UNet3dConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.time = nn.Sequential(
            nn.Linear(config.time_channels, config.time_channels),
            nn.SiLU(),
            nn.Linear(config.time_channels, config.time_channels),
            nn.SiLU(),
        )
        self.stem = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(Block3d(width, config) for width in widths)
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)
        )
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(b, 4 * a, 1), nn.PixelShuffle(2))
            for a, b in itertools.pairwise(widths)
        )
        self.up_blocks = nn.ModuleList(Block3d(width, config) for width in widths[:-1])
        self.head = nn.Sequential(
            ChannelNorm(widths[0]),
            nn.SiLU(),
            nn.Conv2d(widths[0], out_channels, 3, padding=1),
        )
        for parameter in self.head[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Evaluate volumes at training timesteps ``t`` ``(N,)``."""
        n, channels, depth = x.shape[:3]
        embedded = self.time(timestep_embedding(t, self.config.time_channels).to(x.dtype))

        def time(deep: int) -> Tensor:
            """The embedding of every plane."""
            return embedded[:, None].expand(-1, deep, -1).reshape(n * deep, -1)

        planes = x.transpose(1, 2).reshape(n * depth, channels, *x.shape[3:])
        h = self.stem(planes.contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        deep = depth
        for level, block in enumerate(self.down_blocks):
            if level:
                skips.append(h)
                h = self.downs[level - 1](h)
                if self.config.isotropic:
                    h = h.reshape(n * deep // 2, 2, *h.shape[1:]).mean(1)
                    deep //= 2
            h = block(h, time(deep), deep)
        for level in reversed(range(len(self.ups))):
            h = self.ups[level](h)
            if self.config.isotropic:
                h = h.repeat_interleave(2, dim=0)
                deep *= 2
            h = self.up_blocks[level](h + skips.pop(), time(deep), deep)
        out = self.head(h)
        return out.reshape(n, depth, *out.shape[1:]).transpose(1, 2)


def _exchanged(h: Tensor, depth: int) -> Tensor:
    """Planes ``(N depth, C, H, W)``, a quarter of whose channels is that of the plane below.

    Another quarter is that of the plane above; zeros beyond the ends of each volume.
    """
    quarter = h.shape[1] // 4
    place = torch.arange(h.shape[0], device=h.device)[:, None, None, None] % depth
    below, above = h[:, :quarter], h[:, quarter : 2 * quarter]
    # planes of the next volume in the batch do not count
    below = torch.cat([below[-1:], below[:-1]]) * (place > 0)
    above = torch.cat([above[1:], above[:1]]) * (place < depth - 1)
    return torch.cat([below, above, h[:, 2 * quarter :]], 1)
