"""Training method ``picard``: a network that completes holes, and its critic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from scipy import ndimage
from torch import Tensor, nn

from napari_rsna_inpaint.inpaint.completion_net import draw_masks
from napari_rsna_inpaint.inpaint.plural import CRITIC, GENERATOR, PicardModelConfig
from napari_rsna_inpaint.train.adversarial import critic_loss, deceiving_loss, views
from napari_rsna_inpaint.train.dataset import HealthySlices
from napari_rsna_inpaint.train.holes import random_hole
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
from napari_rsna_inpaint.train.method import Loss, Method, Picture
from napari_rsna_inpaint.train.picard_validation import PicardValidation
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.settings import BaseTrainConfig

#: Seeds are drawn below this.
_SEEDS = 2**31


class PicardTrainConfig(BaseTrainConfig):
    """Training of the network that completes holes in several ways (method ``picard``).

    The first ``steps_alone`` steps are without a critic; then it makes ``critic_steps`` a step
    (published: 5), each on ``patches`` other patches a slice of ``patch`` pixels. ``large_share``
    of the holes are one square of 64 to 128 mm. The absolute error of a pixel counts
    ``discount`` to the power of its distance from the known part in pixels (Yu et al. 2018,
    section 3.2). Weights: ``coarse_weight`` and ``fine_weight`` of the errors, ``critic_weight``
    of the critic, ``penalty`` of its slope.

    ``betas`` are published as 0.5 and 0.9, which learns more slowly as long as there is no critic.

    The slope is differentiated again, which only float32 is good for; with ``autocast`` the
    completing network, which it does not pass, computes in bfloat16 all the same.
    """

    model: PicardModelConfig = PicardModelConfig()
    batch_size: int = Field(4, ge=1)
    steps: int = Field(2400, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    warmup_steps: int = Field(100, ge=1)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    ema_decay: float = Field(0.995, ge=0, lt=1)
    precision: Literal["32-true"] = "32-true"
    autocast: bool = True
    validation_slices: int = Field(24, ge=1)
    steps_alone: int = Field(1800, ge=0)
    critic_steps: int = Field(2, ge=1)
    patch: int = Field(32, ge=8)
    patches: int = Field(4, ge=1)
    large_share: float = Field(0.1, ge=0, le=1)
    discount: float = Field(0.9, gt=0, le=1)
    coarse_weight: float = Field(1.2, ge=0)
    fine_weight: float = Field(1.2, ge=0)
    critic_weight: float = Field(1e-3, ge=0)
    penalty: float = Field(10.0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> PicardTrainConfig:
        if self.patch > min(self.shape):
            raise ValueError("patch must not exceed shape")
        return self


class PicardMethod(Method):
    """Absolute error of two stages and a Wasserstein critic (see `Method`)."""

    name = "picard"
    config_type = PicardTrainConfig
    config: PicardTrainConfig

    def __init__(
        self,
        config: PicardTrainConfig,
        training: list[PreparedSeries],
        validation: list[PreparedSeries],
        outlines: LesionOutlines | None = None,
    ) -> None:
        super().__init__(config, training, validation, outlines)
        self._outlines = outlines
        self._slices = HealthySlices(training, cast(Any, config.model), config.shape)
        self._validation = PicardValidation(
            validation, config.model, config.shape, config.validation_slices, config.seed
        )

    def networks(self) -> dict[str, nn.Module]:
        """The completing network and its critic."""
        return dict(self.config.model.make_networks())

    def example(self, number: int) -> dict[str, Tensor]:
        """``image``, ``hole``, ``brain`` and ``counts`` ``(1, y, x)``, and ``corners``, ``seed``.

        ``counts`` is the weight of the error of a pixel; ``corners`` ``(critic_steps, patches, 2)``
        are those of the patches that the critic sees, and ``seed`` is for all dropout.
        """
        config = self.config
        rng = np.random.default_rng([config.seed, number])
        triplet = self._slices.triplet(int(rng.integers(len(self._slices))), rng)
        if rng.random() < config.large_share:
            hole = large_hole(triplet.brain, config.model.pixel_mm, rng)
        else:
            hole = random_hole(triplet.brain, rng, self._outlines)
        condition = triplet.condition(hole, cast(Any, config.model))
        depth = ndimage.distance_transform_edt(hole)
        counts = np.where(hole, config.discount**depth, 0).astype(np.float32)
        corners = patch_corners(hole, config.patch, (config.critic_steps, config.patches), rng)
        return {
            "image": condition.image[0],
            "hole": condition.hole[0],
            "brain": condition.brain[0],
            "counts": torch.from_numpy(counts)[None],
            "corners": torch.from_numpy(corners),
            "seed": torch.tensor(int(rng.integers(_SEEDS))),
        }

    def losses(
        self, networks: Mapping[str, Callable[..., Any]], batch: dict[str, Tensor], step: int
    ) -> Iterator[Loss]:
        """Some steps of the critic, then one of the completing network."""
        config = self.config
        image, hole, counts = batch["image"], batch["hole"], batch["counts"]
        seeds = batch["seed"].tolist()
        network = config.model.network
        masks = draw_masks(network, network.dropout_layers, seeds)
        on_device = {name: mask.to(image) for name, mask in masks.items()}
        with torch.autocast(image.device.type, torch.bfloat16, enabled=config.autocast):
            coarse, fine = networks[GENERATOR](image, hole, batch["brain"], on_device)
        weight = counts.sum()
        error = config.coarse_weight * ((coarse - image).abs() * counts).sum()
        error = error + config.fine_weight * ((fine - image).abs() * counts).sum()
        if step < config.steps_alone:
            yield Loss(GENERATOR, error, weight)
            return
        completed = torch.where(hole > 0, fine, image)
        generator = torch.Generator().manual_seed(seeds[0])
        n = torch.tensor(float(len(image)), device=image.device)
        for corners in batch["corners"].unbind(1):
            loss = critic_loss(
                networks[CRITIC],
                views(image, corners, config.patch),
                views(completed.detach(), corners, config.patch),
                views(hole, corners, config.patch),
                penalty=config.penalty,
                generator=generator,
            )
            yield Loss(CRITIC, loss * n, n)
        first = batch["corners"][:, 0]
        deceiving = deceiving_loss(
            networks[CRITIC], *(views(one, first, config.patch) for one in (completed, image))
        )
        yield Loss(GENERATOR, error + config.critic_weight * weight * deceiving, weight)

    def figures(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Errors and spread of completions, see `PicardValidation.figures`."""
        return self._validation.figures(networks)

    def pictures(self, networks: Mapping[str, nn.Module]) -> list[Picture]:
        """Two completions each of held-out slices."""
        return self._validation.pictures(networks)


def large_hole(
    brain: npt.NDArray[np.bool_], pixel_mm: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Brain in a square of 64 to 128 mm around a random pixel of it, ``(y, x)`` bool."""
    inside = np.argwhere(brain)
    center = inside[rng.integers(len(inside))]
    half = rng.uniform(32, 64) / pixel_mm
    rows, columns = (
        np.abs(np.arange(length) - middle) < half
        for length, middle in zip(brain.shape, center, strict=True)
    )
    return brain & rows[:, None] & columns[None]


def patch_corners(
    hole: npt.NDArray[np.bool_], side: int, shape: tuple[int, int], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """First pixels of patches around random pixels of a hole, ``(*shape, 2)``; all inside."""
    inside = np.argwhere(hole)
    middles = inside[rng.integers(len(inside), size=shape)]
    return np.clip(middles - side // 2, 0, np.array(hole.shape) - side)
