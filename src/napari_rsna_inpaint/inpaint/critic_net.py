"""A critic of completions: how much they look like healthy brain, near the hole and as a whole.

After Yu et al. 2018 (section 3.2) and Gulrajani et al. 2017 (WGAN-GP): one branch looks at a
patch around the hole, one at the whole slice. Batch norm would tie the images of a batch
together, which the gradient penalty forbids; there is no normalisation at all.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

_SLOPE = 0.2


class CriticConfig(BaseModel):
    """Channels of the strided convolutions (kernel 4, stride 2) of both branches.

    The whole slice comes in as cells of ``whole_patch`` pixels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    local_widths: tuple[int, ...] = (32, 64, 96)
    whole_widths: tuple[int, ...] = (64, 64, 64)
    whole_patch: int = 4


class Branch(nn.Module):
    """Strided convolutions and the mean score of their cells, so any size will do."""

    def __init__(self, widths: tuple[int, ...], patch: int = 1) -> None:
        super().__init__()
        self.patch = patch
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1)
            for a, b in itertools.pairwise((patch**2, *widths))
        )
        self.score = nn.Conv2d(widths[-1], 1, 1)

    def features(self, x: Tensor) -> Tensor:
        """``(N, 1, h, w) -> (N, C, h', w')``, the last convolution."""
        x = F.pixel_unshuffle(x, self.patch)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), _SLOPE)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 1, h, w) -> (N,)``."""
        return self.score(self.features(x)).mean((1, 2, 3))


class CriticNet(nn.Module):
    """``(patches (N, 1, h, w), slices (M, 1, H, W)) -> (scores (N,), scores (M,))``.

    The higher, the more like healthy brain; images in network units.

    Height and width of slices are multiples of ``whole_patch``. It computes in float32 even under
    autocast: the gradient penalty differentiates it twice, which bfloat16 is too coarse for.
    """

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        self.config = config
        self.local = Branch(config.local_widths)
        self.whole = Branch(config.whole_widths, config.whole_patch)

    def forward(self, patches: Tensor, slices: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of patches and of whole slices."""
        with torch.autocast(patches.device.type, enabled=False):
            return self.local(patches.float()), self.whole(slices.float())

    def features(self, patches: Tensor) -> Tensor:
        """Last convolution of the local branch, ``(N, 1, h, w) -> (N, n)``, flattened."""
        return self.local.features(patches).flatten(1)
