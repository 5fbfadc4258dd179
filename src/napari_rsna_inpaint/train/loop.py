"""The training loop: resumable, with a moving average of the weights and a CSV log."""

from __future__ import annotations

import copy
import csv
import io
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from napari_rsna_inpaint.diffusion.model import (
    Condition,
    ModelConfig,
    TorchDenoiser,
    pick_device,
    save_model,
)
from napari_rsna_inpaint.diffusion.samplers import SeededNoise, one_step
from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule
from napari_rsna_inpaint.diffusion.unet import PatchUNet
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.io.write import write_atomic
from napari_rsna_inpaint.train.dataset import HealthySlices
from napari_rsna_inpaint.train.prepare import PreparedSeries

log = logging.getLogger(__name__)


class TrainConfig(BaseModel):
    """How the network is trained.

    Examples are slices of ``shape`` ``(y, x)`` model pixels. Half of them
    (``pure_noise_share``) start from pure noise, the step that the one-step sweep uses; the
    others from a uniform timestep. The learning rate warms up and falls along a cosine over
    ``steps``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelConfig = ModelConfig()
    shape: tuple[int, int] = (192, 160)
    batch_size: int = Field(16, ge=1)
    steps: int = Field(10_000, ge=1)
    learning_rate: float = Field(4e-4, gt=0)
    warmup_steps: int = Field(300, ge=1)
    weight_decay: float = 0.01
    ema_decay: float = 0.999
    gradient_clip: float = 1.0
    pure_noise_share: float = Field(0.5, ge=0, le=1)
    validation_every: int = Field(250, ge=1)
    seed: int = 0


class Trainer:
    """State of one training run in a folder.

    ``checkpoint.pt`` holds everything to go on at the exact step, ``model/`` the averaged
    weights, ``log.csv`` one line a validation.
    """

    def __init__(
        self,
        config: TrainConfig,
        training: list[PreparedSeries],
        validation: list[PreparedSeries],
        folder: Path,
        device: str = "auto",
    ) -> None:
        self.config = config
        self.folder = folder
        self.device = pick_device(device)
        self.step = 0
        self._data = HealthySlices(training, config.model, config.shape)
        self._validation = _fixed_validation(validation, config)
        self._schedule = config.model.schedule()
        torch.manual_seed(config.seed)
        self._network = self._new_network()
        self._average = self._new_network().eval()
        self._average.load_state_dict(self._network.state_dict())
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        folder.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.exists():
            self._resume()

    def _new_network(self) -> PatchUNet:
        network = PatchUNet(self.config.model.network)
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def run(
        self,
        on_progress: Callable[[int, int, dict[str, float]], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Train to the last step; saves at every validation and when cancelled.

        Raises
        ------
        Cancelled
            After saving.
        """
        losses: list[float] = []
        started = time.monotonic()
        while self.step < self.config.steps:
            losses.append(self._train_step())
            self.step += 1
            last = self.step == self.config.steps
            if not last and cancelled is not None and cancelled():
                self.save()
                raise Cancelled(f"Training stopped at step {self.step}; start again to go on.")
            if last or self.step % self.config.validation_every == 0:
                row = {
                    "step": self.step,
                    "loss": float(np.mean(losses)),
                    **self._validate(),
                    "seconds": time.monotonic() - started,
                }
                losses.clear()
                self._log(row)
                self.save()
                if on_progress is not None:
                    on_progress(self.step, self.config.steps, row)

    def save(self) -> None:
        """Write checkpoint and averaged model; a kill in between leaves the old ones whole."""
        content = io.BytesIO()
        torch.save(
            {
                "model": self.config.model.model_dump_json(),
                "step": self.step,
                "network": self._network.state_dict(),
                "average": self._average.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            },
            content,
        )
        write_atomic(self._checkpoint, content.getbuffer())
        save_model(self.folder / "model", self._average, self.config.model)

    def _resume(self) -> None:
        try:
            state = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
        except Exception as error:  # a damaged pickle raises whatever it likes
            raise InputRefused(
                f"{self._checkpoint} is damaged; remove it to train from the start."
            ) from error
        if state["model"] != self.config.model.model_dump_json():
            raise InputRefused(
                f"{self.folder} holds a run with another model configuration; "
                "name another folder with -o."
            )
        self.step = int(state["step"])
        self._network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        log.info("resumed at step %d", self.step)

    def _train_step(self) -> float:
        config = self.config
        # Seeded by step, so that a resumed run sees the examples it would have seen.
        rng = np.random.default_rng([config.seed, self.step])
        condition, hu = self._data.batch(config.batch_size, rng)
        condition = condition.to(self.device)
        x0 = config.model.encode(hu).to(self.device)
        noise = torch.from_numpy(rng.standard_normal(x0.shape).astype(np.float32)).to(x0)
        t = rng.integers(config.model.n_timesteps, size=len(x0))
        t[rng.random(len(x0)) < config.pure_noise_share] = config.model.n_timesteps - 1
        alpha, sigma = _amplitudes(self._schedule, t, x0)
        target = alpha * noise - sigma * x0
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate()
        inputs = condition.network_input(alpha * x0 + sigma * noise)
        inputs = inputs.to(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            predicted = self._network(inputs, torch.from_numpy(t).to(self.device))
        error = (predicted.float() - target).square() * condition.hole
        loss = error.sum() / condition.hole.sum()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), config.gradient_clip)
        self._optimizer.step()
        self._update_average()
        return float(loss.detach())

    def _learning_rate(self) -> float:
        config = self.config
        warm = min(1.0, (self.step + 1) / config.warmup_steps)
        fall = 0.5 * (1 + math.cos(math.pi * self.step / config.steps))
        return config.learning_rate * warm * max(fall, 0.02)

    @torch.no_grad()
    def _update_average(self) -> None:
        # The average of the first steps must not be dominated by the random start.
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self._average.parameters(), self._network.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)

    def _validate(self) -> dict[str, float]:
        """Mean absolute error (HU) of one-step completions in the holes of held-out slices."""
        if not self._validation:
            return {"healthy_mae_hu": math.nan}
        # a copy, since a GPU denoiser turns its network into bfloat16
        denoiser = TorchDenoiser(copy.deepcopy(self._average), self.config.model, self.device)
        total, pixels = 0.0, 0.0
        for number, (condition, hu) in enumerate(self._validation):
            condition, hu = condition.to(self.device), hu.to(self.device)
            noise = SeededNoise([1000 * number + i for i in range(len(hu))])(hu)

            def predict(x: Tensor, t: int, condition: Condition = condition) -> Tensor:
                return denoiser(x, t, condition)

            x0 = one_step(predict, noise, self._schedule)
            truth = hu.clamp(*self.config.model.hu_window)
            error = (self.config.model.decode(x0) - truth).abs() * condition.hole
            total += float(error.sum())
            pixels += float(condition.hole.sum())
        return {"healthy_mae_hu": total / pixels}

    def _log(self, row: dict[str, float]) -> None:
        path = self.folder / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)


def _fixed_validation(
    series: list[PreparedSeries], config: TrainConfig, per_series: int = 12
) -> list[tuple[Condition, Tensor]]:
    """The same held-out slices and holes at every validation, in batches of one series."""
    batches = []
    for number, one in enumerate(series):
        if not len(one.usable):
            continue
        data = HealthySlices([one], config.model, config.shape)
        rng = np.random.default_rng([config.seed, number, 1])
        indices = np.linspace(0, len(data) - 1, min(per_series, len(data))).round().astype(int)
        batches.append(data.examples([int(i) for i in indices], rng, augment=False))
    return batches


def _amplitudes(schedule: NoiseSchedule, t: np.ndarray, like: Tensor) -> tuple[Tensor, Tensor]:
    pairs = torch.tensor([schedule.alpha_sigma(int(i)) for i in t]).to(like)
    return pairs[:, :1, None, None], pairs[:, 1:, None, None]
