"""Training method ``cfg``: a denoiser of whole slices that knows the labels healthy and bleed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig, Label, LabelUNet
from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.diffusion.translation import (
    classifier_free,
    encoding_timesteps,
    to_healthy,
)
from napari_rsna_inpaint.train.denoising import amplitudes, denoising_loss, diffused
from napari_rsna_inpaint.train.labelled import LabelledSlices
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
from napari_rsna_inpaint.train.method import Loss, Method, Picture
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.settings import BaseTrainConfig
from napari_rsna_inpaint.train.whole_slices import WholeSliceValidation

NETWORK = "network"


class CfgTrainConfig(BaseTrainConfig):
    """Training of a denoiser with labels.

    ``label_dropout`` is the share of examples that are shown without their label, from which the
    null label is learned; for the others see `LabelledSlices`. A denoiser that is trained for long
    sees more and more under the noise, and listens less and less to its label: the default is a
    short run with many validations. Validation translates slices by
    ``validation_level`` timesteps in ``validation_steps`` steps with guidance ``validation_w``.
    """

    model: CfgModelConfig = CfgModelConfig()
    steps: int = Field(1200, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    label_dropout: float = Field(0.1, ge=0, le=1)
    bleed_share: float = Field(0.5, ge=0, le=1)
    painted_share: float = Field(0.5, ge=0, le=1)
    validation_every: int = Field(200, ge=1)
    validation_slices: int = Field(32, ge=1)
    validation_level: int = Field(800, ge=1)
    validation_steps: int = Field(4, ge=1)
    validation_w: float = 2.0


class CfgMethod(Method):
    """v-prediction of whole slices with label dropout (Ho and Salimans 2022); weakly supervised."""

    name = "cfg"
    config_type = CfgTrainConfig
    needs_bleeds = True
    config: CfgTrainConfig

    def __init__(
        self,
        config: CfgTrainConfig,
        training: list[PreparedSeries],
        validation: list[PreparedSeries],
        outlines: LesionOutlines | None = None,
    ) -> None:
        super().__init__(config, training, validation, outlines)
        self._slices = LabelledSlices(
            training,
            config.model,
            config.shape,
            bleed_share=config.bleed_share,
            painted_share=config.painted_share,
        )
        self._validation = WholeSliceValidation(validation, config)
        self._schedule = config.model.schedule()
        self._amplitudes = amplitudes(self._schedule)

    def networks(self) -> dict[str, nn.Module]:
        """The denoiser."""
        return {NETWORK: LabelUNet(self.config.model.network)}

    def example(self, number: int) -> dict[str, Tensor]:
        """``image``, ``brain`` and ``noise`` ``(1, y, x)``; the label and the timestep."""
        rng = np.random.default_rng([self.config.seed, number])
        triplet, label = self._slices.example(rng)
        if rng.random() < self.config.label_dropout:
            label = Label.NULL
        return {
            "image": self.config.model.encode(triplet.hu[1:2]),
            "brain": torch.from_numpy(triplet.brain).float()[None],
            "noise": torch.from_numpy(
                rng.standard_normal((1, *triplet.brain.shape), dtype=np.float32)
            ),
            "t": torch.tensor(int(rng.integers(self.config.model.n_timesteps))),
            "label": torch.tensor(int(label)),
        }

    def losses(
        self, networks: Mapping[str, Callable[..., Tensor]], batch: dict[str, Tensor], step: int
    ) -> Iterator[Loss]:
        """Squared error of v, in the brain and half as much around it."""
        x_t, target = diffused(batch, self._amplitudes)
        predicted = networks[NETWORK](x_t, batch["brain"], batch["t"], batch["label"])
        yield denoising_loss(NETWORK, predicted, target, batch["brain"])

    def figures(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Errors of translations, see `WholeSliceValidation.figures`."""
        return self._validation.figures(lambda condition: self._translate(networks, condition))

    def pictures(self, networks: Mapping[str, nn.Module]) -> list[Picture]:
        """Translations of held-out slices with painted bleeds."""
        return self._validation.pictures(lambda condition: self._translate(networks, condition))

    @torch.inference_mode()
    def _translate(self, networks: Mapping[str, nn.Module], condition: Condition) -> Tensor:
        network, config = networks[NETWORK], self.config
        condition = condition.to(next(network.parameters()).device)

        def predict(label: Label) -> Callable[[Tensor, int], Tensor]:
            def v(x: Tensor, t: int) -> Tensor:
                times = torch.full((len(x),), t, device=x.device)
                return network(x, condition.brain, times, torch.full_like(times, label))

            return v

        null = predict(Label.NULL)
        timesteps = encoding_timesteps(
            self._schedule, config.validation_level, config.validation_steps
        )
        guided = classifier_free(predict(Label.HEALTHY), null, config.validation_w)
        x = to_healthy(null, guided, condition.image, self._schedule, timesteps)
        return config.model.decode(x)
