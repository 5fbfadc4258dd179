"""Detector ``cfg``: slices translated to healthy ones by classifier-free guidance."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from napari_rsna_inpaint.detection.deblur import GUESSED, DeblurConfig, blur_kernel, sharpen
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.detection.slice_translator import (
    Preprocessing,
    SliceBatch,
    SliceTranslator,
    TranslationConfig,
)
from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig, Label, LabelUNet
from napari_rsna_inpaint.diffusion.model_folder import load_weights
from napari_rsna_inpaint.diffusion.samplers import Predict
from napari_rsna_inpaint.diffusion.translation import (
    classifier_free,
    to_healthy,
)
from napari_rsna_inpaint.inpaint.engine import job_seed


class CfgConfig(TranslationConfig):
    """How far a slice is taken into noise, and how strongly it is drawn back to healthy."""

    w: float = Field(
        2.0,
        ge=-1.0,
        le=100.0,
        description="guidance: eps = (1 + w) eps_healthy - w eps_null; 0 is the label alone",
    )
    deblur: DeblurConfig = Field(
        DeblurConfig(), description="sharpening of the scan before it is translated"
    )


class CfgDetector(SliceTranslator):
    """Encodes a slice without a label and decodes it with the label healthy.

    What the label removes is the residual. It is compared with that of healthy scans, not
    thresholded image by image, which finds something in every healthy slice.
    """

    name = "cfg"
    title = "Classifier-free guidance"
    summary = (
        "Takes a slice into noise and back under the label 'healthy'; what changes is suspicious. "
        "Weakly supervised: learned from slices labelled as bleeding or not."
    )
    source = "Ho and Salimans 2022; Wolleb et al. 2022; diffusion-anomaly-cfg (2024)"
    method = "cfg"
    presets: ClassVar = {
        "interactive": CfgConfig(steps=2),
        "fast": CfgConfig(),
        "full": CfgConfig(steps=25),
        # half of the published linear schedule is as noisy as this level of the cosine schedule
        "reference": CfgConfig(level=818, steps=500, exact=False, w=4.0),
    }
    model_config_type = CfgModelConfig
    model_config: CfgModelConfig
    config: CfgConfig

    def __init__(
        self,
        protocol: str,
        config: CfgConfig | None = None,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(
            protocol, config, model=model, device=device, backend=backend, batch_size=batch_size
        )
        self.network = load_label_network(self.folder, self.model_config, self.device)
        self._schedule = self.model_config.schedule()
        self._timesteps = self.config.timesteps(self._schedule)

    def evaluations(self) -> int:
        """Those of the way up, and one or two for every step back."""
        back = 1 if self.config.w == 0 else 2
        up = 1 + self.config.refinements + self.config.exact
        return self.config.steps * (up + back)

    def preprocessing(self, scan: Scan) -> Preprocessing | None:
        """Sharpening with the prior of the null label, where asked for."""
        config = self.config.deblur
        kernel = blur_kernel(config, scan)
        if kernel is None:
            return None

        def apply(batch: SliceBatch) -> Tensor:
            null = labelled(self.network, batch, Label.NULL)
            seeds = [job_seed(batch.seed, z, 0) for z in batch.numbers]
            seeds += [0] * (len(batch.hu) - len(seeds))
            hu = sharpen(batch.hu, kernel, config, self.model_config, self._schedule, null, seeds)
            return self.model_config.encode(hu)

        return Preprocessing(config.evaluations, apply)

    def provenance(self) -> dict[str, Any]:
        """As of every detector, and what is to be remembered of a guessed blur."""
        remarks = [GUESSED] if self.config.deblur.kind == "estimate" else []
        return {**super().provenance(), "remarks": remarks}

    def translate(self, batch: SliceBatch) -> Tensor:
        """Healthy version of every slice (see `SliceTranslator`)."""
        null = labelled(self.network, batch, Label.NULL)
        healthy = labelled(self.network, batch, Label.HEALTHY)
        return to_healthy(
            null,
            classifier_free(healthy, null, self.config.w),
            batch.image,
            self._schedule,
            self._timesteps,
            refinements=self.config.refinements,
            exact=self.config.exact,
        )


def load_label_network(folder: Path, config: CfgModelConfig, device: torch.device) -> LabelUNet:
    """The denoiser of a model, ready to be evaluated on a device in float32."""
    network = LabelUNet(config.network)
    load_weights(folder, network)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def labelled(network: Any, batch: SliceBatch, label: Label) -> Predict:
    """Prediction of v for the slices of a batch with a label."""

    def predict(x: Tensor, t: int) -> Tensor:
        times = torch.full((len(x),), t, device=x.device)
        v = network(x, batch.brain, times, torch.full_like(times, label))
        batch.evaluated()
        return v

    return predict
