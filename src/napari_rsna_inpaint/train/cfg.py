"""Training method ``cfg``: a denoiser of whole slices that knows the labels healthy and bleed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig, Label, LabelUNet
from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.diffusion.samplers import Predict
from napari_rsna_inpaint.diffusion.translation import classifier_free, to_healthy
from napari_rsna_inpaint.train.denoising import denoising_loss, diffused
from napari_rsna_inpaint.train.labelled_method import LabelledMethod, LabelledTrainConfig, times
from napari_rsna_inpaint.train.method import Loss

NETWORK = "network"


class CfgTrainConfig(LabelledTrainConfig):
    """Training of a denoiser with labels.

    ``label_dropout`` is the share of examples that are shown without their label, from which the
    null label is learned. A denoiser that is trained for long sees more and more under the noise,
    and listens less and less to its label: the default is a short run with many validations,
    which guide by ``validation_w``.
    """

    model: CfgModelConfig = CfgModelConfig()
    label_dropout: float = Field(0.1, ge=0, le=1)
    validation_w: float = 2.0


class CfgMethod(LabelledMethod):
    """v-prediction of whole slices with label dropout (Ho and Salimans 2022); weakly supervised."""

    name = "cfg"
    config_type = CfgTrainConfig
    config: CfgTrainConfig

    def networks(self) -> dict[str, nn.Module]:
        """The denoiser."""
        return {NETWORK: LabelUNet(self.config.model.network)}

    def example(self, number: int) -> dict[str, Tensor]:
        """``image``, ``brain`` and ``noise`` ``(1, y, x)``; timestep and label."""
        rng = np.random.default_rng([self.config.seed, number])
        planes, label, _ = self.noisy(rng)
        if rng.random() < self.config.label_dropout:
            label = Label.NULL
        return {**planes, "label": torch.tensor(int(label))}

    def losses(
        self, networks: Mapping[str, Callable[..., Tensor]], batch: dict[str, Tensor], step: int
    ) -> Iterator[Loss]:
        """Squared error of v, in the brain and half as much around it."""
        x_t, target = diffused(batch, self._amplitudes)
        predicted = networks[NETWORK](x_t, batch["brain"], batch["t"], batch["label"])
        yield denoising_loss(NETWORK, predicted, target, batch["brain"])

    def translate(self, networks: Mapping[str, nn.Module], condition: Condition) -> Tensor:
        """Encoded without label, decoded as healthy."""

        def predict(label: Label) -> Predict:
            def v(x: Tensor, t: int) -> Tensor:
                at = times(x, t)
                return networks[NETWORK](x, condition.brain, at, torch.full_like(at, label))

            return v

        null = predict(Label.NULL)
        guided = classifier_free(predict(Label.HEALTHY), null, self.config.validation_w)
        return to_healthy(null, guided, condition.image, self._schedule, self._timesteps)
