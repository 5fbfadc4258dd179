"""A slim residual U-Net that works on 2x2 patches and predicts v.

No level at full resolution and no attention: at equal quality of a context-bound task this
is an order of magnitude cheaper than the usual image-diffusion U-Net.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn


class UNetConfig(BaseModel):
    """Shape of the network.

    ``widths`` are the channels of each level (the first at ``patch`` pixels a cell, each
    next at half the resolution); ``blocks`` residual blocks a level on the way down and up.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    in_channels: int = 6
    patch: int = 2
    widths: tuple[int, ...] = (48, 96, 192, 256)
    blocks: int = 1
    groups: int = 8
    time_channels: int = 128

    @property
    def divisor(self) -> int:
        """Height and width of the input must be multiples of this."""
        return self.patch * 2 ** (len(self.widths) - 1)


def timestep_embedding(t: Tensor, channels: int) -> Tensor:
    """Sinusoids of ``t`` ``(N,)`` in training timesteps, ``(N, channels)`` float32."""
    half = channels // 2
    frequency = torch.exp(
        torch.arange(half, dtype=torch.float32, device=t.device) * (-math.log(10000.0) / half)
    )
    angle = t.float()[:, None] * frequency[None]
    return torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)


class Block(nn.Module):
    """Residual block: GroupNorm-SiLU-conv twice, scaled and shifted by the time embedding."""

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(config.groups, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Linear(config.time_channels, 2 * channels)
        self.norm2 = nn.GroupNorm(config.groups, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.conv2.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """``(x (N, C, H, W), time (N, time_channels)) -> (N, C, H, W)``."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        h = self.norm2(h) * (1 + scale) + shift
        return x + self.conv2(F.silu(h))


class PatchUNet(nn.Module):
    """``(x (N, C, H, W), t (N,)) -> v (N, 1, H, W)``; H and W multiples of the divisor."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        cells = config.patch**2
        self.time = nn.Sequential(
            nn.Linear(config.time_channels, config.time_channels),
            nn.SiLU(),
            nn.Linear(config.time_channels, config.time_channels),
            nn.SiLU(),
        )
        self.stem = nn.Conv2d(config.in_channels * cells, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(self._level(width) for width in widths)
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)
        )
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(b, 4 * a, 1), nn.PixelShuffle(2))
            for a, b in itertools.pairwise(widths)
        )
        self.up_blocks = nn.ModuleList(self._level(width) for width in widths[:-1])
        self.head = nn.Sequential(
            nn.GroupNorm(config.groups, widths[0]),
            nn.SiLU(),
            nn.Conv2d(widths[0], cells, 3, padding=1),
        )

    def _level(self, width: int) -> nn.ModuleList:
        return nn.ModuleList(Block(width, self.config) for _ in range(self.config.blocks))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Predict v at training timesteps ``t`` ``(N,)``."""
        return self._evaluate(x, self._embed(t, x.dtype))

    def _embed(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        return self.time(timestep_embedding(t, self.config.time_channels).to(dtype))

    def _evaluate(self, x: Tensor, time: Tensor) -> Tensor:
        """The network at an embedding ``(N, time_channels)``."""
        h = self.stem(F.pixel_unshuffle(x, self.config.patch))
        skips: list[Tensor] = []
        for level, blocks in enumerate(self.down_blocks):
            if level:
                skips.append(h)
                h = self.downs[level - 1](h)
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, time)
        for level in reversed(range(len(self.ups))):
            h = self.ups[level](h) + skips.pop()
            for block in self.up_blocks[level]:  # type: ignore[attr-defined]
                h = block(h, time)
        return F.pixel_shuffle(self.head(h), self.config.patch)
