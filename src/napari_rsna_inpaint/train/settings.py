"""Settings of a training run."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_rsna_inpaint.diffusion.model import ImageModelConfig, ModelConfig

#: As Fabric names them.
Precision = Literal["bf16-mixed", "32-true"]


class BaseTrainConfig(BaseModel):
    """What every training method can be told.

    Examples are slices of ``shape`` ``(y, x)`` model pixels, ``batch_size`` a step over all
    processes together. The learning rate warms up over ``warmup_steps`` and then stays or falls
    along a cosine until ``steps``. Validation looks at ``validation_slices`` held-out slices.
    A method says which ``model`` it trains and adds settings of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ImageModelConfig
    shape: tuple[int, int] = (192, 160)
    batch_size: int = Field(16, ge=1)
    steps: int = Field(10_000, ge=1)
    learning_rate: float = Field(4e-4, gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = Field(300, ge=1)
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    gradient_clip: float = Field(1.0, gt=0)
    precision: Precision = "bf16-mixed"
    validation_every: int = Field(250, ge=1)
    validation_slices: int = Field(64, ge=1)
    picture_every: int = Field(1000, ge=1)
    seed: int = Field(0, ge=0)

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        fall = 1.0
        if self.schedule == "cosine":
            # never quite zero, so that the last steps still teach something
            fall = max(0.5 * (1 + math.cos(math.pi * step / self.steps)), 0.02)
        return self.learning_rate * warm * fall


class TrainConfig(BaseTrainConfig):
    """Training of the network that fills holes (method ``grid``).

    Half of the examples (``pure_noise_share``) start from pure noise, the step that the one-step
    sweep uses; the others from a uniform timestep.
    """

    model: ModelConfig = ModelConfig()
    pure_noise_share: float = Field(0.5, ge=0, le=1)
