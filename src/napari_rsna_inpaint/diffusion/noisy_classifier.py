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
    widths: tuple[int, ...] = (32, 64, 96)
    groups: int = 8
    time_channels: int = 128


class NoisyClassifier(nn.Module):
    """``(x_t (N, 1, H, W), brain (N, 1, H, W), t (N,)) -> evidence (N, 1, h, w)`` of a bleed.

    The encoding half of the denoiser, and one number for every cell of its last level, the
    log-odds of a bleed in it; `slice_logits` makes those of the slice. Only the brain is looked
    at: the skull would fill the range of the normalisation, and there is nothing to change in it.
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
        self.evidence = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, x: Tensor, brain: Tensor, t: Tensor) -> Tensor:
        """Evidence in noisy slices at training timesteps ``t``."""
        time = self.time(timestep_embedding(t, self.config.time_channels).to(x.dtype))
        inputs = torch.cat([x * brain, brain], 1)
        h = self.stem(F.pixel_unshuffle(inputs, self.config.patch))
        for level, block in enumerate(self.blocks):
            h = self.downs[level - 1](h) if level else h
            h = block(h, time)
        return self.evidence(F.silu(self.norm(h)))


def cells_of(plane: Tensor, evidence: Tensor) -> Tensor:
    """Share of a mask ``(N, 1, H, W)`` in every cell of the evidence ``(N, 1, h, w)``."""
    return F.adaptive_avg_pool2d(plane, (evidence.shape[2], evidence.shape[3]))


def slice_logits(evidence: Tensor, brain: Tensor) -> Tensor:
    """Logits ``(N, 2)`` of healthy and bleed from the evidence of all cells.

    The log-odds are the logarithm of the mean of the cells' odds over the brain, so that a small
    bleed is not outvoted by the healthy rest of the slice, and the gradient goes where it is.
    """
    # nothing outside the brain counts; without any brain everything does
    inside = cells_of(brain, evidence).flatten(1).float() + 1e-4
    share = inside.log() - inside.sum(1, keepdim=True).log()
    odds = (evidence.flatten(1).float() + share).logsumexp(1)
    return torch.stack([torch.zeros_like(odds), odds], 1)


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
