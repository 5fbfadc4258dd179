"""Training method ``wavelet3d``: a diffusion model that fills holes in volumes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.unet3d import UNet3d
from napari_rsna_inpaint.diffusion.wavelet_model import (
    VolumeCondition,
    WaveletDenoiser,
    WaveletModelConfig,
    network_input,
    predicted_image,
)
from napari_rsna_inpaint.inpaint.volumetric import VolumeSampling
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
from napari_rsna_inpaint.train.method import Loss, Method, Picture
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.settings import BaseTrainConfig
from napari_rsna_inpaint.train.volume_blocks import MIN_SECTIONS, HealthyBlocks
from napari_rsna_inpaint.train.volume_holes import random_volume_hole
from napari_rsna_inpaint.train.volume_validation import VolumeValidation

NETWORK = "network"


class Wavelet3dTrainConfig(BaseTrainConfig):
    """Training of the network that fills holes of volumes (method ``wavelet3d``).

    Examples are blocks of ``model.block_sections`` sections of ``shape``. The timestep is pure
    noise for ``pure_noise_share`` of them and that of the second of two steps for
    ``second_step_share``; the others have a uniform one. Sections are taken to be ``section_mm``
    apart (lowest, highest) where holes are given a depth in mm.
    Validation looks at ``validation_slices`` blocks.
    """

    model: WaveletModelConfig = WaveletModelConfig()
    shape: tuple[int, int] = (144, 128)
    batch_size: int = Field(2, ge=1)
    steps: int = Field(2500, ge=1)
    learning_rate: float = Field(1.5e-3, gt=0)
    warmup_steps: int = Field(100, ge=1)
    ema_decay: float = Field(0.995, ge=0, lt=1)
    validation_slices: int = Field(8, ge=1)
    pure_noise_share: float = Field(0.4, ge=0, le=1)
    second_step_share: float = Field(0.3, ge=0, le=1)
    section_mm: tuple[float, float] = (2.5, 6.0)


class Wavelet3dMethod(Method):
    """Prediction of clean sub-bands on a cosine schedule (see `Method`)."""

    name = "wavelet3d"
    config_type = Wavelet3dTrainConfig
    config: Wavelet3dTrainConfig

    def __init__(
        self,
        config: Wavelet3dTrainConfig,
        training: list[PreparedSeries],
        validation: list[PreparedSeries],
        outlines: LesionOutlines | None = None,
    ) -> None:
        super().__init__(config, training, validation, outlines)
        self._blocks = HealthyBlocks(training, config.model, config.shape)
        self._outlines = outlines
        schedule = config.model.schedule()
        self._amplitudes = torch.tensor([schedule.alpha_sigma(t) for t in range(len(schedule))])
        self._two_steps = VolumeSampling(method="two_step").timesteps(schedule)
        deep = [one for one in validation if len(one.hu) >= MIN_SECTIONS]
        self._validation = VolumeValidation(
            HealthyBlocks(deep, config.model, config.shape) if deep else None,
            config.model,
            count=config.validation_slices,
            section_mm=sum(config.section_mm) / 2,
            sampling=VolumeSampling(method="two_step"),
            seed=config.seed,
        )

    def networks(self) -> dict[str, nn.Module]:
        """The denoiser."""
        return {NETWORK: self.config.model.make_network()}

    def example(self, number: int) -> dict[str, Tensor]:
        """The volumes of a ``VolumeCondition``, ``counts`` and ``noise``, ``(1, z, y, x)`` each.

        ``counts`` is 1 where the prediction counts; ``t`` is the timestep.
        """
        config = self.config
        rng = np.random.default_rng([config.seed, number])
        block = self._blocks.block(int(rng.integers(len(self._blocks))), rng)
        section_mm = float(rng.uniform(*config.section_mm))
        healthy = block.brain & ~block.unhealthy
        pixel_mm = config.model.pixel_mm
        hole = random_volume_hole(healthy, section_mm, pixel_mm, rng, self._outlines)
        condition, counts = block.condition(hole, config.model)
        noise = rng.standard_normal(condition.image.shape[1:], dtype=np.float32)
        return {
            **{name: volume[0] for name, volume in vars(condition).items()},
            "counts": counts[0],
            "noise": torch.from_numpy(noise),
            "t": torch.tensor(self._timestep(rng)),
        }

    def _timestep(self, rng: np.random.Generator) -> int:
        kind = rng.random()
        first, second = self._two_steps
        if kind < self.config.pure_noise_share:
            return first
        if kind < self.config.pure_noise_share + self.config.second_step_share:
            return second
        return int(rng.integers(self.config.model.n_timesteps))

    def losses(
        self, networks: Mapping[str, Callable[..., Tensor]], batch: dict[str, Tensor], step: int
    ) -> Iterator[Loss]:
        """Squared error of the clean volume where it counts: that of all sub-bands (Parseval)."""
        counts, noise, t = (batch.pop(name) for name in ("counts", "noise", "t"))
        condition = VolumeCondition(**batch)
        x0 = condition.image
        pairs = self._amplitudes.to(x0.device)[t]
        alpha, sigma = pairs[:, :, None, None, None, None].unbind(1)
        x_t = alpha * x0 + sigma * noise
        inputs = network_input(self.config.model, x_t, condition, alpha, sigma, noise)
        predicted = predicted_image(networks[NETWORK], inputs, t)
        error = ((predicted - x0).square() * counts).sum()
        yield Loss(NETWORK, error, counts.sum())

    def figures(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Errors of two-step completions, see `VolumeValidation.figures`."""
        return self._validation.figures(self._denoiser(networks))

    def pictures(self, networks: Mapping[str, nn.Module]) -> list[Picture]:
        """Two-step completions of held-out blocks."""
        return self._validation.pictures(self._denoiser(networks))

    def _denoiser(self, networks: Mapping[str, nn.Module]) -> WaveletDenoiser:
        network = networks[NETWORK]
        device = next(network.parameters()).device
        # a copy, since the denoiser takes its network over
        own = cast(UNet3d, copy.deepcopy(network))
        return WaveletDenoiser(own, self.config.model, device)
