"""Detector ``classifier-guidance``: slices drawn to healthy by the gradient of a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from napari_rsna_inpaint.detection.cfg import labelled
from napari_rsna_inpaint.detection.slice_translator import (
    SliceBatch,
    SliceTranslator,
    TranslationConfig,
)
from napari_rsna_inpaint.diffusion.label_unet import Label
from napari_rsna_inpaint.diffusion.model_folder import load_weights
from napari_rsna_inpaint.diffusion.noisy_classifier import HEALTHY, GuidedModelConfig, slice_logits
from napari_rsna_inpaint.diffusion.translation import (
    annealed,
    classifier_guided,
    log_probability_gradient,
    to_healthy,
)


class ClassifierGuidanceConfig(TranslationConfig):
    """How far a slice is taken into noise, and how strongly the classifier pulls it back."""

    scale: float = Field(
        100.0, ge=0, le=10000, description="strength of the guidance; 0 leaves it away"
    )
    anneal: float = Field(
        0.25, ge=0, le=1, description="last share of the way over which the guidance falls to 0"
    )


class ClassifierGuidanceDetector(SliceTranslator):
    """Encodes a slice and decodes it, every step pushed to what a classifier calls healthy.

    Nothing is clamped on the way, and both ways compute in the same precision, or the slice would
    not come back even without guidance.
    """

    name = "classifier-guidance"
    title = "Classifier guidance"
    summary = (
        "Takes a slice into noise and back along the gradient of a classifier of bleeds; what "
        "changes is suspicious. Weakly supervised: learned from labelled slices."
    )
    source = "Wolleb et al. 2022; Dhariwal and Nichol 2021; DDIMwithCG (2023)"
    method = "classifier-guidance"
    presets: ClassVar = {
        "interactive": ClassifierGuidanceConfig(steps=2),
        "fast": ClassifierGuidanceConfig(),
        "full": ClassifierGuidanceConfig(steps=25),
        # as Wolleb et al., whose level of 500 in a linear schedule is as noisy as this one;
        # DDIMwithCG has level 200 and scale 3
        "reference": ClassifierGuidanceConfig(
            level=818, steps=500, exact=False, scale=100.0, anneal=0.0
        ),
    }
    model_config_type = GuidedModelConfig
    model_config: GuidedModelConfig
    config: ClassifierGuidanceConfig

    def __init__(
        self,
        protocol: str,
        config: ClassifierGuidanceConfig | None = None,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(
            protocol, config, model=model, device=device, backend=backend, batch_size=batch_size
        )
        networks = self.model_config.networks()
        load_weights(self.folder, networks)
        for network in networks.values():
            network.to(self.device).requires_grad_(False)
        self._networks = networks
        self._schedule = self.model_config.schedule()
        self._timesteps = self.config.timesteps(self._schedule)

    def evaluations(self) -> int:
        """Those of the denoiser; every step back also takes a gradient of the classifier."""
        return self.config.steps * (2 + self.config.refinements + self.config.exact)

    def translate(self, batch: SliceBatch) -> Tensor:
        """Healthy version of every slice (see `SliceTranslator`)."""
        predict = labelled(self._networks["denoiser"], batch, Label.NULL)
        with torch.inference_mode(False):
            # no inference tensors inside a graph
            brain = batch.brain.clone()

        # on a CPU one by one: gradients of a batch differ in the last bits with their company
        size = 1 if self.device.type == "cpu" else len(brain)

        def gradient_of(x: Tensor, shown: Tensor, t: int) -> Tensor:
            times = torch.full((len(x),), t, device=x.device)

            def classify(leaf: Tensor) -> Tensor:
                return slice_logits(self._networks["classifier"](leaf, shown, times.clone()), shown)

            return log_probability_gradient(classify, x, HEALTHY)

        def gradient(x: Tensor, t: int) -> Tensor:
            pairs = zip(x.split(size), brain.split(size), strict=True)
            return torch.cat([gradient_of(part, shown, t) for part, shown in pairs])

        scale = annealed(self.config.scale, self.config.level, self.config.anneal)
        return to_healthy(
            predict,
            classifier_guided(predict, gradient, self._schedule, scale),
            batch.image,
            self._schedule,
            self._timesteps,
            refinements=self.config.refinements,
            exact=self.config.exact,
        )
