"""A classifier of noisy slices: which ones show a bleed under their noise."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.label_unet import LabelUNet, SliceModelConfig
from napari_rsna_inpaint.diffusion.unet import Block, UNetConfig, timestep_embedding

#: Order of the two logits.
HEALTHY, BLEED = 0, 1


class ClassifierConfig(BaseModel):
    """Shape of the classifier; ``widths`` are the channels of each level, as in `UNetConfig`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patch: int = 2
    widths: tuple[int, ...] = (24, 48, 64, 64)
    groups: int = 8
    time_channels: int = 128


class NoisyClassifier(nn.Module):
    """``(x_t (N, 1, H, W), brain (N, 1, H, W), t (N,)) -> logits (N, 2)``: healthy, bleed.

    The encoding half of the denoiser. The logits are the mean over the brain plus an attended
    mean, in which a small bleed is not outvoted by the healthy rest of the slice.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        block = UNetConfig(groups=config.groups, time_channels=config.time_channels)
        self.time = nn.Sequential(nn.Linear(config.time_channels, config.time_channels), nn.SiLU())
        self.stem = nn.Conv2d(2 * config.patch**2, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, block) for width in widths)
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)
        )
        self.norm = nn.GroupNorm(config.groups, widths[-1])
        self.attention = nn.Conv2d(widths[-1], 1, 1)
        self.head = nn.Linear(2 * widths[-1], 2)

    def forward(self, x: Tensor, brain: Tensor, t: Tensor) -> Tensor:
        """Logits of noisy slices at training timesteps ``t``."""
        time = self.time(timestep_embedding(t, self.config.time_channels).to(x.dtype))
        h = self.stem(F.pixel_unshuffle(torch.cat([x, brain], 1), self.config.patch))
        for level, block in enumerate(self.blocks):
            h = self.downs[level - 1](h) if level else h
            h = block(h, time)
        h = F.silu(self.norm(h)).flatten(2)
        inside = F.adaptive_avg_pool2d(brain, self._cells(x)).flatten(2)
        weight = self.attention(h.unflatten(2, self._cells(x))).flatten(2)
        # nothing outside the brain is looked at; without any brain everything is
        weight = weight + torch.log(inside + 1e-4)
        attended = (h * weight.softmax(2)).sum(2)
        mean = (h * inside).sum(2) / (inside.sum(2) + 1e-4)
        return self.head(torch.cat([attended, mean], 1))

    def _cells(self, x: Tensor) -> tuple[int, int]:
        scale = self.config.patch * 2 ** (len(self.config.widths) - 1)
        return x.shape[2] // scale, x.shape[3] // scale


class GuidedModelConfig(SliceModelConfig):
    """A denoiser without labels, and a classifier of its noisy slices."""

    method: Literal["classifier-guidance"] = "classifier-guidance"
    classifier: ClassifierConfig = ClassifierConfig()

    def networks(self) -> dict[str, nn.Module]:
        """Fresh networks: ``denoiser``, which is asked with the null label only, ``classifier``."""
        return {
            "denoiser": LabelUNet(self.network),
            "classifier": NoisyClassifier(self.classifier),
        }
