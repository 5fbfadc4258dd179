"""Detector ``anoremove``: whole slices given back without their anomalies, in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from napari_rsna_inpaint.detection.config import DetectorConfig
from napari_rsna_inpaint.detection.slice_translator import SliceBatch, SliceTranslator
from napari_rsna_inpaint.diffusion.anoremove import AnoRemoveModelConfig, network_input
from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.diffusion.model_folder import load_weights
from napari_rsna_inpaint.diffusion.samplers import SeededNoise, ddim, one_step
from napari_rsna_inpaint.diffusion.schedule import trailing_timesteps
from napari_rsna_inpaint.diffusion.unet import PatchUNet
from napari_rsna_inpaint.inpaint.engine import job_seed


class AnoRemoveConfig(DetectorConfig):
    """How a healthy slice is drawn."""

    steps: int = Field(
        1,
        ge=1,
        le=1000,
        description="evaluations from noise to image (DDIM); 1 gives the posterior mean at once",
    )
    samples: int = Field(1, ge=1, le=100, description="healthy slices drawn and averaged")


class AnoRemoveDetector(SliceTranslator):
    """Shows a network a blurred slice and takes what it gives back for the healthy one.

    It was taught on healthy slices with painted anomalies, which it must take away.
    """

    name = "anoremove"
    title = "Anomaly remover"
    summary = (
        "Redraws the whole slice from its blurred image without what is not healthy, in a single "
        "pass; learned from anomalies painted into healthy slices."
    )
    source = "RSNA_Inpainting (2024), AnoRemove; Ho et al. 2020, Song et al. 2021 (DDIM)"
    method = "anoremove"
    presets: ClassVar = {
        "interactive": AnoRemoveConfig(),
        "fast": AnoRemoveConfig(),
        "full": AnoRemoveConfig(steps=4, samples=4),
        "reference": AnoRemoveConfig(steps=50),
    }
    model_config_type = AnoRemoveModelConfig
    model_config: AnoRemoveModelConfig
    config: AnoRemoveConfig

    def __init__(
        self,
        protocol: str,
        config: AnoRemoveConfig | None = None,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(
            protocol, config, model=model, device=device, backend=backend, batch_size=batch_size
        )
        network = PatchUNet(self.model_config.network)
        load_weights(self.folder, network)
        network.to(self.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = network
        self._schedule = self.model_config.schedule()

    def evaluations(self) -> int:
        """One for every step of every sample."""
        return self.config.steps * self.config.samples

    def translate(self, batch: SliceBatch) -> Tensor:
        """Mean healthy version of every slice (see `SliceTranslator`)."""
        known = Condition(batch.image, batch.brain, batch.brain, batch.below, batch.above)

        def predict(x: Tensor, t: int) -> Tensor:
            times = torch.full((len(x),), t, device=x.device)
            v = self._network(network_input(x, known), times)
            batch.evaluated()
            return v

        # what only fills up the batch needs some noise, too
        numbers = [*batch.numbers, *[0] * (len(batch.image) - len(batch.numbers))]
        timesteps = trailing_timesteps(self._schedule, self.config.steps)
        total = torch.zeros_like(batch.image)
        for sample in range(self.config.samples):
            x = SeededNoise([job_seed(batch.seed, z, 0, sample) for z in numbers])(batch.image)
            if self.config.steps == 1:
                total += one_step(predict, x, self._schedule)
            else:
                total += ddim(predict, x, self._schedule, timesteps)
        return total / self.config.samples
