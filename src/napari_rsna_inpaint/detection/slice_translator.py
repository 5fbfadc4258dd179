"""What detectors share that turn whole slices into healthy ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from napari_rsna_inpaint.detection.base import OnStep, SliceScores
from napari_rsna_inpaint.detection.config import DetectorConfig
from napari_rsna_inpaint.detection.model_detector import ModelDetector
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.diffusion.model import CPU_IMAGES
from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule
from napari_rsna_inpaint.diffusion.translation import encoding_timesteps
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.inpaint.engine import SliceContext

#: Slices translated at once on a GPU.
GPU_IMAGES = 32


class TranslationConfig(DetectorConfig):
    """How far a slice is taken into noise, and in which steps it comes back."""

    level: int = Field(
        800,
        ge=1,
        le=999,
        description="training timesteps (of 1000) that a slice is encoded by: more change more",
    )
    steps: int = Field(4, ge=1, le=999, description="steps up to the level, and as many back")
    exact: bool = Field(
        True,
        description="add what an unguided step back misses, so that only guidance changes a slice",
    )
    refinements: int = Field(
        0, ge=0, le=20, description="further evaluations of every step upwards, to miss less"
    )

    @field_validator("steps")
    @classmethod
    def _fit_into_level(cls, steps: int, info: ValidationInfo) -> int:
        if steps > info.data.get("level", steps):
            raise ValueError(f"a level of {info.data['level']} has no more steps than that")
        return steps

    def timesteps(self, schedule: NoiseSchedule) -> list[int]:
        """Those of a model's schedule that a slice passes, downwards.

        Raises
        ------
        InputRefused
            If the model has no such level.
        """
        if self.level >= len(schedule):
            raise InputRefused(
                f"The model has {len(schedule)} timesteps; choose a level below that, "
                f"not {self.level}."
            )
        return encoding_timesteps(schedule, self.level, self.steps)


@dataclass(frozen=True)
class SliceBatch:
    """Slices to translate.

    Attributes
    ----------
    image, brain
        ``(N, 1, y, x)`` float32, network units and 0 or 1.
    hu
        The image in HU, not clipped to the model's window.
    below, above
        The neighbour slices likewise; 0 where there is none.
    numbers
        Section of every slice; fewer than ``N`` where the batch was filled up.
    seed
        Of the run.
    evaluated
        To be called after every network call; raises ``Cancelled``.
    """

    image: Tensor
    brain: Tensor
    hu: Tensor
    below: Tensor
    above: Tensor
    numbers: tuple[int, ...]
    seed: int
    evaluated: Callable[[], None]


@dataclass(frozen=True)
class Preprocessing:
    """What is done to slices before they are translated.

    Attributes
    ----------
    evaluations
        Network evaluations that it takes for a slice.
    apply
        Gives the images of a batch anew, ``(N, 1, y, x)`` network units.
    """

    evaluations: int
    apply: Callable[[SliceBatch], Tensor]


class SliceTranslator(ModelDetector):
    """Base of detectors that translate whole slices.

    On a CPU it always computes `CPU_IMAGES` slices at once, filled up where fewer are left, so
    that a slice gets the same bits whatever is computed with it.
    """

    @abstractmethod
    def evaluations(self) -> int:
        """Network evaluations that a slice takes."""

    def preprocessing(self, scan: Scan) -> Preprocessing | None:
        """What is to be done to the slices of a scan first; by default nothing."""
        return None

    @abstractmethod
    def translate(self, batch: SliceBatch) -> Tensor:
        """Healthy version of every slice, ``(N, 1, y, x)`` network units."""

    def run(
        self,
        scan: Scan,
        *,
        indices: Sequence[int],
        seed: int,
        on_step: OnStep | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[SliceScores]:
        """Yield every section of a batch once it is translated (see ``Detector``)."""
        before = self.preprocessing(scan)
        each = self.evaluations() + (before.evaluations if before is not None else 0)
        total, done = each * len(indices), 0
        size = CPU_IMAGES if self.device.type == "cpu" else self.batch_size or GPU_IMAGES
        for first in range(0, len(indices), size):
            numbers = indices[first : first + size]
            contexts = [scan.context(z) for z in numbers]

            def evaluated(n: int = len(numbers)) -> None:
                nonlocal done
                done += n
                if on_step is not None:
                    on_step(done, total)
                if cancelled is not None and cancelled():
                    raise Cancelled

            if cancelled is not None and cancelled():
                raise Cancelled
            batch = self._batch(contexts, size, seed, evaluated)
            with torch.inference_mode():
                if before is not None:
                    batch = replace(batch, image=before.apply(batch))
                healthy = self.model_config.decode(self.translate(batch))
                shown = self.model_config.decode(batch.image)
                residuals = (shown - healthy)[:, 0].cpu().numpy()
            for context, residual in zip(contexts, residuals, strict=False):
                inside = np.where(context.brain, residual, np.float32(0))
                yield SliceScores(context.index, inside, np.zeros((0, *inside.shape), np.float32))

    def _batch(
        self,
        contexts: list[SliceContext],
        size: int,
        seed: int,
        evaluated: Callable[[], None],
    ) -> SliceBatch:
        config = self.model_config
        missing = size - len(contexts)
        # the centre of the HU scale is 0 to the network: nothing there
        absent = np.full(contexts[0].image.shape, config.hu_center, np.float32)

        def stacked(planes: list[npt.NDArray | None]) -> Tensor:
            known = [absent if plane is None else plane for plane in planes]
            whole = np.stack([*known, *[np.zeros_like(known[0])] * missing])
            return torch.from_numpy(whole.astype(np.float32))[:, None].to(self.device)

        hu = stacked([one.image for one in contexts])
        return SliceBatch(
            image=config.encode(hu),
            brain=stacked([one.brain for one in contexts]),
            hu=hu,
            below=config.encode(stacked([one.below for one in contexts])),
            above=config.encode(stacked([one.above for one in contexts])),
            numbers=tuple(one.index for one in contexts),
            seed=seed,
            evaluated=evaluated,
        )
