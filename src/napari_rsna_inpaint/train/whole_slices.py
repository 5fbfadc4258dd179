"""Validation of what turns whole slices into healthy ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from napari_rsna_inpaint.diffusion.model import Condition, ImageModelConfig
from napari_rsna_inpaint.train.dataset import HealthySlices, Triplet
from napari_rsna_inpaint.train.lesion_contrast import PaintedResidual, contrast, join, paint_bleed
from napari_rsna_inpaint.train.method import Picture
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.settings import BaseTrainConfig

#: Slices reconstructed at once.
BATCH = 16
#: ``Condition`` of whole slices (hole = brain, neighbours whole) to HU ``(N, 1, y, x)``.
Reconstruct = Callable[[Condition], Tensor]


class WholeSliceValidation:
    """The same held-out healthy slices every time, as they are and with a painted bleed.

    Parameters
    ----------
    series
        Not trained on; the healthy ones are taken. Without any, all figures are NaN.
    """

    def __init__(self, series: list[PreparedSeries], config: BaseTrainConfig) -> None:
        self._model = config.model
        healthy = [one for one in series if one.healthy]
        self.slices: list[Triplet] = []
        self.painted: list[tuple[Triplet, np.ndarray]] = []
        if not healthy:
            return
        all_slices = HealthySlices(healthy, config.model, config.shape)
        n = min(config.validation_slices, len(all_slices))
        for index in np.linspace(0, len(all_slices) - 1, n).round():
            self.slices.append(all_slices.triplet(int(index)))
        for number, triplet in enumerate(self.slices):
            rng = np.random.default_rng([config.seed, number])
            self.painted.append(paint_bleed(triplet, config.model.pixel_mm, rng))

    def figures(self, reconstruct: Reconstruct) -> dict[str, float]:
        """Error in healthy brain, and how far painted bleeds stand out of the residual.

        Returns
        -------
        ``healthy_mae_hu``, the mean absolute residual in the brain of healthy slices;
        ``lesion_contrast`` (see `lesion_contrast.contrast`), which is the ``score`` as well: what
        copies every slice would have the smallest error.
        """
        if not self.slices:
            return dict.fromkeys(("healthy_mae_hu", "lesion_contrast", "score"), math.nan)
        error = pixels = 0.0
        for triplet, residual in self._residuals(self.slices, reconstruct):
            error += float(np.abs(residual[triplet.brain]).sum(dtype=np.float64))
            pixels += float(triplet.brain.sum())
        mae = error / max(pixels, 1.0)

        def painted() -> Iterator[PaintedResidual]:
            shown = [triplet for triplet, _ in self.painted]
            residuals = self._residuals(shown, reconstruct)
            for (triplet, residual), (_, lesion) in zip(residuals, self.painted, strict=True):
                yield residual, triplet.brain, lesion

        value = contrast(painted(), self._model.pixel_mm)
        return {"healthy_mae_hu": mae, "lesion_contrast": value, "score": value}

    def pictures(self, reconstruct: Reconstruct, n: int = 4) -> list[Picture]:
        """Slices with a painted bleed, the bleed, and their reconstruction."""
        shown = self.painted[:: max(1, len(self.painted) // n)][:n]
        residuals = self._residuals([triplet for triplet, _ in shown], reconstruct)
        return [
            (triplet.hu[1].numpy(), lesion, triplet.hu[1].numpy() - residual)
            for (triplet, residual), (_, lesion) in zip(residuals, shown, strict=True)
        ]

    def _residuals(
        self, slices: list[Triplet], reconstruct: Reconstruct
    ) -> Iterator[tuple[Triplet, np.ndarray]]:
        """Every slice with its residual in the brain, HU within the window."""
        for first in range(0, len(slices), BATCH):
            part = slices[first : first + BATCH]
            condition = join([whole_slice(triplet, self._model) for triplet in part])
            done = reconstruct(condition).cpu()
            shown = torch.stack([triplet.hu[1:2] for triplet in part])
            residual = (shown.clamp(*self._model.hu_window) - done)[:, 0].numpy()
            for triplet, plane in zip(part, residual, strict=True):
                yield triplet, np.where(triplet.brain, plane, 0).astype(np.float32)


def whole_slice(triplet: Triplet, config: ImageModelConfig) -> Condition:
    """A slice and its neighbours without anything hidden from the network; hole = brain."""
    shown = torch.ones(triplet.brain.shape)
    return triplet.condition(triplet.brain, config, (shown, shown))
