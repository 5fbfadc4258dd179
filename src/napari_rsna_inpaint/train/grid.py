"""Training method ``grid``: a diffusion model that fills holes in healthy slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.model import Condition, TorchDenoiser
from napari_rsna_inpaint.diffusion.unet import PatchUNet
from napari_rsna_inpaint.train.dataset import HealthySlices
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
from napari_rsna_inpaint.train.method import Loss, Method, Picture
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.settings import TrainConfig
from napari_rsna_inpaint.train.validation import Validation, denoiser_of

NETWORK = "network"


class GridMethod(Method):
    """v-prediction on a cosine schedule, in the hole only (see `Method`)."""

    name = "grid"
    config_type = TrainConfig
    config: TrainConfig

    def __init__(
        self,
        config: TrainConfig,
        training: list[PreparedSeries],
        validation: list[PreparedSeries],
        outlines: LesionOutlines | None = None,
    ) -> None:
        super().__init__(config, training, validation, outlines)
        self._slices = HealthySlices(training, config.model, config.shape, outlines)
        self._validation = Validation(validation, config)
        schedule = config.model.schedule()
        self._amplitudes = torch.tensor([schedule.alpha_sigma(t) for t in range(len(schedule))])

    def networks(self) -> dict[str, nn.Module]:
        """The denoiser."""
        return {NETWORK: PatchUNet(self.config.model.network)}

    def example(self, number: int) -> dict[str, Tensor]:
        """The planes of a ``Condition`` and ``noise``, ``(1, y, x)`` each; the timestep ``t``."""
        rng = np.random.default_rng([self.config.seed, number])
        index = int(rng.integers(len(self._slices)))
        condition, _ = self._slices.example(index, rng, augment=True)
        planes = {name: plane[0] for name, plane in vars(condition).items()}
        noise = rng.standard_normal(planes["image"].shape, dtype=np.float32)
        last = self.config.model.n_timesteps - 1
        pure = rng.random() < self.config.pure_noise_share
        t = last if pure else int(rng.integers(last + 1))
        return {**planes, "noise": torch.from_numpy(noise), "t": torch.tensor(t)}

    def losses(
        self, networks: Mapping[str, Callable[..., Tensor]], batch: dict[str, Tensor], step: int
    ) -> Iterator[Loss]:
        """Squared error of v in the hole."""
        noise, t = batch.pop("noise"), batch.pop("t")
        condition = Condition(**batch)
        x0 = condition.image
        amplitudes = self._amplitudes.to(x0.device)
        alpha, sigma = amplitudes[t, :, None, None, None].unbind(1)
        inputs = condition.network_input(alpha * x0 + sigma * noise)
        predicted = networks[NETWORK](inputs.contiguous(memory_format=torch.channels_last), t)
        target = alpha * noise - sigma * x0
        error = ((predicted - target).square() * condition.hole).sum()
        yield Loss(NETWORK, error, condition.hole.sum())

    def figures(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Errors of one-step completions, see `Validation.figures`."""
        return self._validation.figures(self._denoiser(networks))

    def pictures(self, networks: Mapping[str, nn.Module]) -> list[Picture]:
        """One-step completions of held-out slices."""
        return self._validation.completions(self._denoiser(networks))

    def _denoiser(self, networks: Mapping[str, nn.Module]) -> TorchDenoiser:
        return denoiser_of(networks[NETWORK], self.config.model)
