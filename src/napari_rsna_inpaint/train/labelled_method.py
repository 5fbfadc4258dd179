"""What training methods share that learn from labels of whole slices."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.label_unet import Label, SliceModelConfig
from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.diffusion.translation import encoding_timesteps
from napari_rsna_inpaint.train.denoising import amplitudes
from napari_rsna_inpaint.train.labelled import LabelledSlices
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
from napari_rsna_inpaint.train.method import Method, Picture
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.settings import BaseTrainConfig
from napari_rsna_inpaint.train.whole_slices import WholeSliceValidation


class LabelledTrainConfig(BaseTrainConfig):
    """Settings of training on labelled slices.

    For ``bleed_share`` and ``painted_share`` see `LabelledSlices`. Validation translates slices by
    ``validation_level`` timesteps in ``validation_steps`` steps.
    """

    model: SliceModelConfig
    steps: int = Field(1200, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    bleed_share: float = Field(0.5, ge=0, le=1)
    painted_share: float = Field(0.5, ge=0, le=1)
    validation_every: int = Field(200, ge=1)
    validation_slices: int = Field(32, ge=1)
    validation_level: int = Field(800, ge=1)
    validation_steps: int = Field(4, ge=1)


class LabelledMethod(Method):
    """Base of methods that are weakly supervised: a label says that a slice bleeds, not where."""

    needs_bleeds = True
    config: Any

    def __init__(
        self,
        config: LabelledTrainConfig,
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
        self._timesteps = encoding_timesteps(
            self._schedule, config.validation_level, config.validation_steps
        )

    def noisy(
        self, rng: np.random.Generator
    ) -> tuple[dict[str, Tensor], Label, npt.NDArray[np.bool_] | None]:
        """``image``, ``brain``, ``noise`` ``(1, y, x)``, ``t``; label and place of the bleed."""
        triplet, label, where = self._slices.example(rng)
        noise = rng.standard_normal((1, *triplet.brain.shape), dtype=np.float32)
        return (
            {
                "image": self.config.model.encode(triplet.hu[1:2]),
                "brain": torch.from_numpy(triplet.brain).float()[None],
                "noise": torch.from_numpy(noise),
                "t": torch.tensor(int(rng.integers(self.config.model.n_timesteps))),
            },
            label,
            where,
        )

    def figures(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Errors of translations, see `WholeSliceValidation.figures`."""
        return self._validation.figures(partial(self._translated, networks))

    def pictures(self, networks: Mapping[str, nn.Module]) -> list[Picture]:
        """Translations of held-out slices with painted bleeds."""
        return self._validation.pictures(partial(self._translated, networks))

    @abstractmethod
    def translate(self, networks: Mapping[str, nn.Module], condition: Condition) -> Tensor:
        """Healthy versions of slices, ``(N, 1, y, x)`` network units."""

    @torch.inference_mode()
    def _translated(self, networks: Mapping[str, nn.Module], condition: Condition) -> Tensor:
        device = next(next(iter(networks.values())).parameters()).device
        return self.config.model.decode(self.translate(networks, condition.to(device)))


def times(x: Tensor, t: int) -> Tensor:
    """The timestep of every image of a batch, ``(N,)``."""
    return torch.full((len(x),), t, device=x.device)
