"""A network that sees a blurred slice and gives it back without what is not healthy."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import Field
from torch import Tensor

from napari_rsna_inpaint.diffusion.model import Condition, ImageModelConfig
from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule, cosine_schedule
from napari_rsna_inpaint.diffusion.unet import UNetConfig

#: The published blur of the reference: side of the kernel and standard deviation, pixels.
BLUR_SIDE, BLUR_SIGMA = 5, 1.5
#: Noisy slice, blurred reference, slices below and above, brain; about 1.0 million parameters.
ANOREMOVE_NETWORK = UNetConfig(in_channels=5, widths=(32, 64, 96, 96))


class AnoRemoveModelConfig(ImageModelConfig):
    """A network that removes anomalies from whole slices."""

    method: Literal["anoremove"] = "anoremove"
    network: UNetConfig = ANOREMOVE_NETWORK
    n_timesteps: int = Field(1000, ge=10)

    @property
    def divisor(self) -> int:
        """Height and width of the input must be multiples of this."""
        return self.network.divisor

    def schedule(self) -> NoiseSchedule:
        """The noise schedule that the network was trained with."""
        return cosine_schedule(self.n_timesteps)


def blurred(image: Tensor) -> Tensor:
    """Gaussian blur of ``(N, 1, y, x)`` images, mirrored at the border."""
    at = torch.arange(BLUR_SIDE, dtype=image.dtype, device=image.device) - BLUR_SIDE // 2
    line = torch.exp(-0.5 * (at / BLUR_SIGMA) ** 2)
    line = line / line.sum()
    wide = F.pad(image, [BLUR_SIDE // 2] * 4, mode="reflect")
    return F.conv2d(F.conv2d(wide, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1))


def network_input(x_t: Tensor, condition: Condition) -> Tensor:
    """``(N, 5, y, x)``: the noisy healthy slice, then what is known; nothing is hidden.

    The slice to be healed enters blurred: its outlines and its noise are to be made anew.
    """
    planes = (x_t, blurred(condition.image), condition.below, condition.above, condition.brain)
    return torch.cat(planes, 1).contiguous(memory_format=torch.channels_last)
