"""What the averaged network makes of held-out healthy slices."""

from __future__ import annotations

import copy
import math
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.model import Condition, ModelConfig, TorchDenoiser
from napari_rsna_inpaint.diffusion.samplers import SeededNoise, one_step
from napari_rsna_inpaint.diffusion.unet import PatchUNet
from napari_rsna_inpaint.train.dataset import HealthySlices
from napari_rsna_inpaint.train.lesion_contrast import join, lesion_contrast
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.settings import TrainConfig

#: Slices completed at once.
BATCH = 16


class Validation:
    """The same held-out slices and holes every time.

    Parameters
    ----------
    series
        Healthy series that are not trained on; may be empty, then all figures are NaN.
    """

    def __init__(self, series: list[PreparedSeries], config: TrainConfig) -> None:
        self._config = config
        self._examples: list[tuple[Condition, Tensor]] = []
        if not series:
            return
        slices = HealthySlices(series, config.model, config.shape)
        n = min(config.validation_slices, len(slices))
        indices = [int(i) for i in np.linspace(0, len(slices) - 1, n).round()]
        rng = np.random.default_rng([config.seed, 0, 1])
        self._examples = [slices.example(i, rng, augment=False) for i in indices]
        self._triplets = [slices.triplet(i) for i in indices]

    def figures(self, denoiser: TorchDenoiser) -> dict[str, float]:
        """Errors of one-step completions.

        Returns
        -------
        ``healthy_mae_hu``, the mean absolute error in the holes of healthy slices;
        ``lesion_contrast`` (see there); ``score``, their ratio: the higher the better, and a
        tenth more contrast counts as much as a tenth less error.
        """
        if not self._examples:
            return dict.fromkeys(("healthy_mae_hu", "lesion_contrast", "score"), math.nan)

        def completed(condition: Condition) -> Tensor:
            return complete(denoiser, condition)

        condition = join([condition for condition, _ in self._examples])
        truth = torch.cat([hu for _, hu in self._examples]).clamp(*self._config.model.hu_window)
        error = (completed(condition) - truth).abs() * condition.hole
        mae = float(error.sum() / condition.hole.sum())
        contrast = lesion_contrast(self._triplets, self._config.model, completed, self._config.seed)
        return {"healthy_mae_hu": mae, "lesion_contrast": contrast, "score": contrast / mae}

    def completions(
        self, denoiser: TorchDenoiser, n: int = 4
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """``(original, hole, completion)`` of some slices, ``(y, x)``; HU, bool, HU."""
        shown = self._examples[:: max(1, len(self._examples) // n)][:n]
        return [
            (
                hu[0, 0].numpy(),
                condition.hole[0, 0].numpy() > 0,
                complete(denoiser, condition)[0, 0].numpy(),
            )
            for condition, hu in shown
        ]


def denoiser_of(network: nn.Module, config: ModelConfig) -> TorchDenoiser:
    """The network as it is used, where it is."""
    # a copy, since a GPU denoiser turns its network into bfloat16
    device = next(network.parameters()).device
    return TorchDenoiser(cast(PatchUNet, copy.deepcopy(network)), config, device)


def complete(denoiser: TorchDenoiser, condition: Condition) -> Tensor:
    """One-step completions in HU, ``(N, 1, y, x)`` on the CPU."""
    schedule = denoiser.config.schedule()
    done = []
    for first in range(0, len(condition.hole), BATCH):
        part = Condition(**{k: v[first : first + BATCH] for k, v in vars(condition).items()})
        part = part.to(denoiser.device)
        seeds = range(first, first + len(part.hole))

        def predict(x: Tensor, t: int, part: Condition = part) -> Tensor:
            return denoiser(x, t, part)

        x0 = one_step(predict, SeededNoise(seeds)(part.image), schedule)
        done.append(denoiser.config.decode(x0).cpu())
    return torch.cat(done)
