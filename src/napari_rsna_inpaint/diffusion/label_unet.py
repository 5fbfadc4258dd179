"""A denoiser of whole slices that can be told what the slice shows."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.model import ImageModelConfig
from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule, cosine_schedule
from napari_rsna_inpaint.diffusion.unet import PatchUNet, UNetConfig


class Label(IntEnum):
    """What a slice shows; ``NULL`` says nothing about it."""

    NULL = 0
    HEALTHY = 1
    BLEED = 2


#: Noisy slice and brain mask; about 1.0 million parameters.
SLICE_NETWORK = UNetConfig(in_channels=2, widths=(32, 64, 96, 96))


class SliceModelConfig(ImageModelConfig):
    """A network that denoises whole slices."""

    network: UNetConfig = SLICE_NETWORK
    n_timesteps: int = Field(1000, ge=10)

    @property
    def divisor(self) -> int:
        """Height and width of the input must be multiples of this."""
        return self.network.divisor

    def schedule(self) -> NoiseSchedule:
        """The noise schedule that the network was trained with."""
        return cosine_schedule(self.n_timesteps)


class CfgModelConfig(SliceModelConfig):
    """A denoiser with labels, for classifier-free guidance."""

    method: Literal["cfg"] = "cfg"


class LabelUNet(PatchUNet):
    """``(x_t (N, 1, H, W), brain (N, 1, H, W), t (N,), label (N,)) -> v (N, 1, H, W)``.

    A label is an embedding that is added to that of the time; `Label.NULL` has one as well, which
    is learned from slices whose label was dropped (Ho and Salimans 2022).
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        self.labels = nn.Embedding(len(Label), config.time_channels)

    def forward(self, x: Tensor, brain: Tensor, t: Tensor, label: Tensor) -> Tensor:  # type: ignore[override]
        """Predict v at training timesteps ``t``; ``label`` are values of `Label`."""
        inputs = torch.cat([x, brain], 1).contiguous(memory_format=torch.channels_last)
        return self._evaluate(inputs, self._embed(t, x.dtype) + self.labels(label).to(x.dtype))
