"""Detector ``onestep``: one prediction of the clean slice from a noisy one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from napari_rsna_inpaint.detection.cfg import labelled, load_label_network
from napari_rsna_inpaint.detection.config import DetectorConfig
from napari_rsna_inpaint.detection.slice_translator import SliceBatch, SliceTranslator
from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig, Label
from napari_rsna_inpaint.diffusion.samplers import SeededNoise, split_prediction
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.engine import job_seed


class OneStepConfig(DetectorConfig):
    """How noisy a slice is made before its clean version is predicted."""

    levels: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        (500,),
        min_length=1,
        description="timesteps (of 1000) that the slice is noised to, one evaluation each",
    )
    samples: int = Field(1, ge=1, le=100, description="noises at every level, averaged")


class OneStepDetector(SliceTranslator):
    """Noises a slice and predicts the clean one in one evaluation with the label healthy.

    The cheapest way to use a diffusion model of whole slices, and hard to beat by longer ones;
    predictions from several levels are averaged.
    """

    name = "onestep"
    title = "One step"
    summary = (
        "Noises the whole slice and predicts the clean one in a single evaluation: a cheap "
        "reference. Weakly supervised, as its model is that of cfg."
    )
    source = "Behrendt et al. 2023 (pDDPM), 2024 (cDDPM); Wyatt et al. 2022 (AnoDDPM)"
    method = "cfg"
    presets: ClassVar = {
        "interactive": OneStepConfig(),
        "fast": OneStepConfig(levels=(250, 500, 750)),
        "full": OneStepConfig(levels=(250, 500, 750), samples=8),
        "reference": OneStepConfig(levels=(500,)),
    }
    model_config_type = CfgModelConfig
    model_config: CfgModelConfig
    config: OneStepConfig

    def __init__(
        self,
        protocol: str,
        config: OneStepConfig | None = None,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(
            protocol, config, model=model, device=device, backend=backend, batch_size=batch_size
        )
        self._network = load_label_network(self.folder, self.model_config, self.device)
        self._schedule = self.model_config.schedule()
        if max(self.config.levels) > len(self._schedule):
            raise InputRefused(
                f"The model has {len(self._schedule)} timesteps; choose no level beyond."
            )

    def evaluations(self) -> int:
        """One for every level and noise."""
        return len(self.config.levels) * self.config.samples

    def translate(self, batch: SliceBatch) -> Tensor:
        """Mean predicted clean version of every slice (see `SliceTranslator`)."""
        predict = labelled(self._network, batch, Label.HEALTHY)
        total = torch.zeros_like(batch.image)
        # what only fills up the batch needs some noise, too
        numbers = [*batch.numbers, *[0] * (len(batch.image) - len(batch.numbers))]
        for place, level in enumerate(self.config.levels):
            t = level - 1
            alpha, sigma = self._schedule.alpha_sigma(t)
            for sample in range(self.config.samples):
                seeds = [job_seed(batch.seed, z, place, sample) for z in numbers]
                x_t = alpha * batch.image + sigma * SeededNoise(seeds)(batch.image)
                total += split_prediction(x_t, predict(x_t, t), alpha, sigma)[0]
        return total / self.evaluations()
