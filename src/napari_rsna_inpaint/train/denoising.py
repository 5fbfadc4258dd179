"""The loss of denoisers of whole slices."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule
from napari_rsna_inpaint.train.method import Loss

#: How much the slice around the brain counts in the loss: it is context, not what is judged.
OUTSIDE_WEIGHT = 0.5


def amplitudes(schedule: NoiseSchedule) -> Tensor:
    """``(T, 2)`` signal and noise amplitude of every timestep, float32."""
    return torch.tensor([schedule.alpha_sigma(t) for t in range(len(schedule))])


def diffused(batch: dict[str, Tensor], amplitudes_of: Tensor) -> tuple[Tensor, Tensor]:
    """Noisy images ``x_t`` of a batch, and the v that is to be predicted from them."""
    table = amplitudes_of.to(batch["image"].device)
    alpha, sigma = table[batch["t"], :, None, None, None].unbind(1)
    x_t = alpha * batch["image"] + sigma * batch["noise"]
    return x_t, alpha * batch["noise"] - sigma * batch["image"]


def denoising_loss(network: str, predicted: Tensor, target: Tensor, brain: Tensor) -> Loss:
    """Weighted squared error of v."""
    weight = OUTSIDE_WEIGHT + (1 - OUTSIDE_WEIGHT) * brain
    return Loss(network, ((predicted - target).square() * weight).sum(), weight.sum())
