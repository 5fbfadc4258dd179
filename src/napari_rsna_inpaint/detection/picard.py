"""Detector ``picard``: how near several healthy completions of a window come to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from napari_rsna_inpaint.detection.base import OnStep, SliceScores
from napari_rsna_inpaint.detection.config import DetectorConfig
from napari_rsna_inpaint.detection.model_detector import ModelDetector
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.detection.window_scores import Statistic, WindowScores, summary
from napari_rsna_inpaint.detection.windows import Place, Windows, cut, windows_over
from napari_rsna_inpaint.inpaint.engine import SliceContext, job_seed
from napari_rsna_inpaint.inpaint.plural import (
    PicardModelConfig,
    PluralJob,
    Stages,
    load_completer,
)
from napari_rsna_inpaint.inpaint.resample import AIR_HU

FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

#: Features differ by 0 to 2 times their own size; so many HU stand for 1.
FEATURE_HU = 20.0


class PicardConfig(DetectorConfig):
    """What is hidden, how often it is completed, and what is compared."""

    hole_mm: float = Field(32.0, ge=4, le=256, description="side of the hidden window, mm")
    patch_mm: float = Field(
        96.0,
        ge=8,
        le=512,
        description="side of what surrounds a window and stays visible, the window included, mm",
    )
    stride_mm: float = Field(
        32.0, ge=1, le=256, description="step from window to window, mm; at most the hole's side"
    )
    share: bool = Field(
        True,
        description="complete windows that are not in each other's patch together, in the whole "
        "section; else cut every patch out and complete it alone, as published",
    )
    completions: int = Field(4, ge=1, le=64, description="completions of every window")
    dropout: Stages = Field(
        "both", description="stage of the network in which dropout makes completions differ"
    )
    statistic: Statistic = Field(
        "min", description="distance of a window from its completions: nearest, mean or median"
    )
    space: Literal["pixel", "critic-feature"] = Field(
        "pixel",
        description="distance of HU, or of what the critic sees; the latter is also what is judged",
    )


PRESETS = {
    "interactive": PicardConfig(completions=2),
    "fast": PicardConfig(),
    "full": PicardConfig(stride_mm=16.0, completions=8),
    "reference": PicardConfig(
        hole_mm=128.0, patch_mm=256.0, stride_mm=32.0, share=False, completions=10
    ),
}


@dataclass(frozen=True, eq=False)
class _WindowJob(PluralJob):
    """Windows (row and column) that are completed together, and where the image begins.

    ``corner`` is the place of its first pixel ``(y, x)`` in the section.
    """

    members: list[Place]
    corner: tuple[int, int]


class PicardDetector(ModelDetector):
    """Hides a sliding window, completes it several times and keeps the nearest completion.

    The residual is the original minus the completion that the statistic of its window names
    (nearest, mean or median), averaged over the windows that cover a pixel.
    """

    name = "picard"
    title = "Plural completions"
    summary = (
        "Hides a sliding window and completes it several times by a network with dropout, which "
        "learned from a critic; what no completion comes near to is abnormal."
    )
    source = "Konz et al. 2023 (PICARD, Medical Image Analysis 87, 102836); Yu et al. 2018"
    method = "picard"
    presets = PRESETS
    model_config_type = PicardModelConfig
    model_config: PicardModelConfig
    config: PicardConfig

    def __init__(
        self,
        protocol: str,
        config: PicardConfig | None = None,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(
            protocol, config, model=model, device=device, backend=backend, batch_size=batch_size
        )
        self._completer = load_completer(
            self.folder,
            self.model_config,
            self.device,
            stages=self.config.dropout,
            batch_size=batch_size,
        )
        self._side = max(1, round(self.config.hole_mm / self.pixel_mm))
        # a wider stride would leave gaps
        self._stride = min(self._side, max(1, round(self.config.stride_mm / self.pixel_mm)))
        self._patch = max(self._side, round(self.config.patch_mm / self.pixel_mm))

    def run(
        self,
        scan: Scan,
        *,
        indices: Sequence[int],
        seed: int,
        on_step: OnStep | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[SliceScores]:
        """Yield every section as soon as its last window is completed (see ``Detector``)."""
        jobs = sum(len(self._sets(scan.brain(z))) for z in indices)
        total = jobs * self.config.completions
        done = 0

        def count(n: int) -> None:
            nonlocal done
            done += n
            if on_step is not None:
                on_step(done, total)

        results = self._completer.complete(
            (job for z in indices for job in self._jobs(scan.context(z), seed)),
            on_evaluations=count,
            cancelled=cancelled,
        )
        for z in indices:
            yield self._collect(scan.context(z), results)

    def provenance(self) -> dict[str, Any]:
        """Model, parameters and device of this detector, and which layers make the variety."""
        return {**super().provenance(), "dropout_layers": list(self._completer.layers)}

    def _windows(self, brain: BoolImage) -> Windows:
        return windows_over(brain, self._side, self._stride)

    def _sets(self, brain: BoolImage) -> list[tuple[int, list[Place]]]:
        """Numbers and windows of the jobs of a section; windows without brain are left out."""
        windows = self._windows(brain)
        if self.config.share:
            sets = list(windows.sets((self._side + self._patch) // 2))
        else:
            sets = [(n, [place]) for n, place in enumerate(np.ndindex(windows.shape))]
        with_brain = [
            (
                number,
                [place for place in members if brain[windows.inside(place, brain.shape)].any()],
            )
            for number, members in sets
        ]
        return [(number, members) for number, members in with_brain if members]

    def _jobs(self, context: SliceContext, seed: int) -> Iterator[_WindowJob]:
        image, brain = context.image, context.brain
        for number, members in self._sets(brain):
            windows = self._windows(brain)
            hole = np.zeros(brain.shape, bool)
            for place in members:
                hole[windows.inside(place, brain.shape)] = True
            hole &= brain
            seeds = tuple(
                job_seed(seed, context.index, number, sample)
                for sample in range(self.config.completions)
            )
            if self.config.share:
                yield _WindowJob(image, hole, brain, seeds, members, (0, 0))
                continue
            side = self._patch + -self._patch % self.model_config.divisor
            margin = (side - self._side) // 2
            row, column = members[0]
            corner = windows.ys[row] - margin, windows.xs[column] - margin
            yield _WindowJob(
                cut(image, corner, side, AIR_HU),
                cut(hole, corner, side, False),
                cut(brain, corner, side, False),
                seeds,
                members,
                corner,
            )

    def _collect(
        self, context: SliceContext, results: Iterator[tuple[_WindowJob, FloatImage]]
    ) -> SliceScores:
        """Take in all completions of one section, which come job by job."""
        image, brain = context.image, context.brain
        found = WindowScores(image.shape, self._windows(brain))
        for _ in self._sets(brain):
            job, made = next(results)
            for place in job.members:
                inside = found.windows.inside(place, image.shape)
                hidden = brain[inside]
                rows, columns = (
                    slice(part.start - first, part.stop - first)
                    for part, first in zip(inside, job.corner, strict=True)
                )
                # several completions of the pixels of one window
                difference = image[inside][hidden] - made[:, rows, columns][:, hidden]
                if self.config.space == "pixel":
                    distances = np.sqrt(np.square(difference).mean(1))
                else:
                    distances = self._feature_distances(job, made, found.windows, place)
                value, residual = summary(distances, difference, self.config.statistic)
                found.add(place, inside, hidden, value, residual, difference)
        return found.scores(
            context.index, brain, judge_windows=self.config.space == "critic-feature"
        )

    def _feature_distances(
        self, job: _WindowJob, made: FloatImage, windows: Windows, place: Place
    ) -> FloatImage:
        """Distance of the completions of a window in the eyes of the critic, ``(M,)`` HU-like.

        Distances are divided by the root mean square of the sizes of both feature vectors:
        without that, bright and rough windows are far from every completion (a fault of the
        published score).
        """
        corner = (
            windows.ys[place[0]] - job.corner[0],
            windows.xs[place[1]] - job.corner[1],
        )
        patches = [cut(one, corner, self._side, AIR_HU) for one in (job.image, *made)]
        original, *completed = self._completer.features(np.stack(patches)).astype(np.float64)
        sizes = (np.square(completed).sum(1) + np.square(original).sum()) / 2
        squared = np.square(completed - original).sum(1)
        return (FEATURE_HU * np.sqrt(squared / np.maximum(sizes, 1e-12))).astype(np.float32)
