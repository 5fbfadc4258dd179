"""Training method ``anoremove``: give a slice back without its anomalies, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.anoremove import AnoRemoveModelConfig, network_input
from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.diffusion.samplers import SeededNoise, one_step
from napari_rsna_inpaint.diffusion.unet import PatchUNet
from napari_rsna_inpaint.train.anomalies import paint_anomalies
from napari_rsna_inpaint.train.dataset import HealthySlices
from napari_rsna_inpaint.train.denoising import amplitudes, denoising_loss, diffused
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
from napari_rsna_inpaint.train.method import Loss, Method, Picture
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.settings import BaseTrainConfig
from napari_rsna_inpaint.train.whole_slices import WholeSliceValidation, whole_slice

NETWORK = "network"


class AnoRemoveTrainConfig(BaseTrainConfig):
    """Training of a network that removes anomalies.

    ``anomaly_share`` of the examples show a slice with synthetic anomalies, the others the healthy
    slice itself; ``pure_noise_share`` start from pure noise, the step of a single pass, the others
    from a uniform timestep.
    """

    model: AnoRemoveModelConfig = AnoRemoveModelConfig()
    steps: int = Field(4000, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    anomaly_share: float = Field(0.5, ge=0, le=1)
    pure_noise_share: float = Field(0.8, ge=0, le=1)
    validation_every: int = Field(500, ge=1)
    validation_slices: int = Field(32, ge=1)


class AnoRemoveMethod(Method):
    """v-prediction of the healthy slice, given its blurred image with or without anomalies."""

    name = "anoremove"
    config_type = AnoRemoveTrainConfig
    config: AnoRemoveTrainConfig

    def __init__(
        self,
        config: AnoRemoveTrainConfig,
        training: list[PreparedSeries],
        validation: list[PreparedSeries],
        outlines: LesionOutlines | None = None,
    ) -> None:
        super().__init__(config, training, validation, outlines)
        self._slices = HealthySlices(training, config.model, config.shape)
        self._validation = WholeSliceValidation(validation, config)
        self._schedule = config.model.schedule()
        self._amplitudes = amplitudes(self._schedule)

    def networks(self) -> dict[str, nn.Module]:
        """The denoiser."""
        return {NETWORK: PatchUNet(self.config.model.network)}

    def example(self, number: int) -> dict[str, Tensor]:
        """The healthy ``image``, what is shown of it, and ``noise`` ``(1, y, x)``; the timestep."""
        config = self.config
        rng = np.random.default_rng([config.seed, number])
        healthy = self._slices.triplet(int(rng.integers(len(self._slices))), rng)
        shown = healthy
        if rng.random() < config.anomaly_share:
            shown = paint_anomalies(healthy, config.model.pixel_mm, rng)
        known = whole_slice(shown, config.model)
        last = config.model.n_timesteps - 1
        t = last if rng.random() < config.pure_noise_share else int(rng.integers(last + 1))
        return {
            "image": config.model.encode(healthy.hu[1:2]),
            "reference": known.image[0],
            "below": known.below[0],
            "above": known.above[0],
            "brain": known.brain[0],
            "noise": torch.from_numpy(
                rng.standard_normal((1, *healthy.brain.shape), dtype=np.float32)
            ),
            "t": torch.tensor(t),
        }

    def losses(
        self, networks: Mapping[str, Callable[..., Tensor]], batch: dict[str, Tensor], step: int
    ) -> Iterator[Loss]:
        """Squared error of v, in the brain and half as much around it."""
        x_t, target = diffused(batch, self._amplitudes)
        brain = batch["brain"]
        known = Condition(batch["reference"], brain, brain, batch["below"], batch["above"])
        predicted = networks[NETWORK](network_input(x_t, known), batch["t"])
        yield denoising_loss(NETWORK, predicted, target, brain)

    def figures(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Errors of single passes, see `WholeSliceValidation.figures`."""
        return self._validation.figures(lambda condition: self._remove(networks, condition))

    def pictures(self, networks: Mapping[str, nn.Module]) -> list[Picture]:
        """Single passes over held-out slices with painted bleeds."""
        return self._validation.pictures(lambda condition: self._remove(networks, condition))

    @torch.inference_mode()
    def _remove(self, networks: Mapping[str, nn.Module], condition: Condition) -> Tensor:
        network = networks[NETWORK]
        condition = condition.to(next(network.parameters()).device)

        def predict(x: Tensor, t: int) -> Tensor:
            times = torch.full((len(x),), t, device=x.device)
            return network(network_input(x, condition), times)

        noise = SeededNoise(range(len(condition.image)))(condition.image)
        return self.config.model.decode(one_step(predict, noise, self._schedule))
