"""A diffusion model of volumes in the wavelet domain: what its network sees and predicts.

After Friedrich et al. 2024 (WDM, section 3) and Ferreira et al. 2024 (BraTS inpainting, arXiv
2411.04630). The Haar transform is orthonormal: noise in the image and noise in the sub-bands
are the same thing, so volumes are diffused as images, and sub-bands are made where the network
begins and undone where it ends. All sub-bands, of signal and noise alike, in training and in
sampling, are divided by the same `BAND_SCALE` on the way in and multiplied by it on the way out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from napari_rsna_inpaint.diffusion.haar import SUBBANDS, haar, inverse_haar
from napari_rsna_inpaint.diffusion.model import ImageModelConfig, pick_device
from napari_rsna_inpaint.diffusion.model_folder import find_model, load_config, load_weights
from napari_rsna_inpaint.diffusion.samplers import Noise
from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule, cosine_schedule
from napari_rsna_inpaint.diffusion.unet3d import UNet3d, UNet3dConfig

Mode = Literal["default", "always-known-healthy"]

#: The means (LLL) of an image are about sqrt(8) times as large as its differences.
BAND_SCALE = (8**0.5, *(1.0,) * (len(SUBBANDS) - 1))


class WaveletModelConfig(ImageModelConfig):
    """A network that fills holes of a volume.

    ``mode`` is what it was trained for. ``default``: the network sees the volume alone, whose
    known part is replaced by its noised self at every step. ``always-known-healthy``: the known
    part is clean, there is noise in the hole only, and the sub-bands of hole and brain are shown.

    Volumes are completed in blocks of ``block_sections`` sections (even), as in training; the
    first and last ``context_sections`` of a block serve as context only.
    """

    method: Literal["wavelet3d"] = "wavelet3d"
    mode: Mode = "always-known-healthy"
    network: UNet3dConfig = Field(default_factory=UNet3dConfig)
    n_timesteps: int = 1000
    block_sections: int = Field(12, ge=2)
    context_sections: int = Field(2, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> WaveletModelConfig:
        if self.block_sections % self.divisor_z:
            raise ValueError(f"block_sections must be a multiple of {self.divisor_z}")
        if self.core_sections < 1:
            raise ValueError("context_sections leave nothing of a block")
        return self

    @property
    def divisor(self) -> int:
        """Height and width of a volume must be multiples of this."""
        return 2 * self.network.divisor

    @property
    def divisor_z(self) -> int:
        """Depth of a volume must be a multiple of this."""
        return 2 * self.network.divisor_z

    @property
    def core_sections(self) -> int:
        """Sections that a block contributes."""
        return self.block_sections - 2 * self.context_sections

    def schedule(self) -> NoiseSchedule:
        """The noise schedule that the network was trained with."""
        return cosine_schedule(self.n_timesteps)

    def make_network(self) -> UNet3d:
        """A fresh network."""
        channels = len(SUBBANDS) * (1 if self.mode == "default" else 3)
        return UNet3d(self.network, channels, len(SUBBANDS))


@dataclass(frozen=True)
class VolumeCondition:
    """What is known of blocks; all ``(N, 1, D, H, W)``.

    ``image`` is in network units, ``hole`` 1 where it is to be completed, ``brain`` 1 inside
    the skull.
    """

    image: Tensor
    hole: Tensor
    brain: Tensor

    def to(self, device: torch.device) -> VolumeCondition:
        """The same on another device."""
        return VolumeCondition(self.image.to(device), self.hole.to(device), self.brain.to(device))


def network_input(
    config: WaveletModelConfig,
    x_t: Tensor,
    condition: VolumeCondition,
    alpha: Tensor | float,
    sigma: Tensor | float,
    noise: Tensor,
) -> Tensor:
    """What the network sees at a noise level: the one way, in training and in sampling.

    Parameters
    ----------
    x_t
        ``(N, 1, D, H, W)``, noisy; only its part in the hole counts.
    alpha, sigma
        Signal and noise amplitude of ``x_t``; numbers, or ``(N, 1, 1, 1, 1)``.
    noise
        Standard normal, for the known part in the mode ``default``; like ``x_t``.

    Returns
    -------
    ``(N, 8 or 24, D/2, H/2, W/2)``: sub-bands of the noisy volume; in the mode
    ``always-known-healthy`` then those of hole and brain.
    """
    hole = condition.hole
    if config.mode == "default":
        around = alpha * condition.image + sigma * noise
        return _scaled(haar(x_t * hole + around * (1 - hole)))
    volumes = (x_t * hole + condition.image * (1 - hole), hole, condition.brain)
    return torch.cat([_scaled(haar(volume)) for volume in volumes], 1)


def predicted_image(network: Callable[..., Tensor], inputs: Tensor, t: Tensor) -> Tensor:
    """The clean volume ``(N, 1, D, H, W)`` whose sub-bands the network predicts."""
    bands = network(inputs, t)
    return inverse_haar(bands * _scale(bands))


def _scaled(bands: Tensor) -> Tensor:
    return bands / _scale(bands)


def _scale(bands: Tensor) -> Tensor:
    return torch.tensor(BAND_SCALE, dtype=bands.dtype, device=bands.device)[:, None, None, None]


class WaveletDenoiser:
    """``(x_t, t, condition, noise) -> v``, volumes ``(N, 1, D, H, W)``.

    The prediction of the network is a clean volume, limited to the window of the model as the
    published systems do; samplers take it as ``v = (alpha x_t - x_0) / sigma``.

    Attributes
    ----------
    config, device
        Of the model.
    volumes_at_once
        Size of every network call on a CPU, so that a volume gets the same bits whatever is
        computed with it; None for any number.
    """

    def __init__(self, network: UNet3d, config: WaveletModelConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.volumes_at_once = 1 if device.type == "cpu" else None
        self._network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._schedule = config.schedule()
        low, high = torch.tensor(config.hu_window)
        self._limits = float(config.encode(low)), float(config.encode(high))

    @torch.inference_mode()
    def __call__(self, x_t: Tensor, t: int, condition: VolumeCondition, noise: Noise) -> Tensor:
        """Predict v at timestep ``t``; ``noise`` is asked in the mode ``default`` only.

        Raises
        ------
        ValueError
            If a side of the volumes does not fit the network.
        """
        divisors = (self.config.divisor_z, self.config.divisor, self.config.divisor)
        if any(side % d for side, d in zip(x_t.shape[2:], divisors, strict=True)):
            raise ValueError(
                f"the sides of a volume must be multiples of {divisors}, got {x_t.shape[2:]}"
            )
        alpha, sigma = self._schedule.alpha_sigma(t)
        fresh = noise(x_t) if self.config.mode == "default" else x_t
        inputs = network_input(self.config, x_t, condition, alpha, sigma, fresh)
        parts = inputs.split(self.volumes_at_once or len(inputs))
        times = torch.full((len(parts[0]),), t, device=self.device)
        x0 = torch.cat(
            [predicted_image(self._network, part, times[: len(part)]) for part in parts]
        ).clamp(*self._limits)
        return (alpha * x_t - x0) / sigma


def load_wavelet_denoiser(model: str | Path | None = None, device: str = "auto") -> WaveletDenoiser:
    """Load a model of the method ``wavelet3d`` by name or path.

    Raises
    ------
    InputRefused
        If the model or the device is not there.
    """
    folder = find_model(model, "wavelet3d")
    config = load_config(folder, WaveletModelConfig)
    network = config.make_network()
    load_weights(folder, network)
    return WaveletDenoiser(network, config, pick_device(device))
