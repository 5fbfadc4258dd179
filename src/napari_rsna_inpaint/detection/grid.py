"""Detector ``grid``: a grid of squares inpainted by a model of healthy brains."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.base import OnStep, SliceScores
from napari_rsna_inpaint.detection.calibration import Calibration, load_calibration
from napari_rsna_inpaint.detection.model_detector import ModelDetector
from napari_rsna_inpaint.detection.published_rule import RULES
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.detection.square_metrics import measure_squares, no_squares
from napari_rsna_inpaint.diffusion import BACKENDS
from napari_rsna_inpaint.diffusion.model import ModelConfig, load_denoiser
from napari_rsna_inpaint.inpaint.engine import (
    FloatImage,
    Job,
    SliceContext,
    complete,
    evaluations_per_job,
    job_seed,
)
from napari_rsna_inpaint.inpaint.grid import GridHole, grid_holes, tile_offset
from napari_rsna_inpaint.inpaint.protocols import PROTOCOLS, GridConfig
from napari_rsna_inpaint.inpaint.resample import ModelGrid


class GridDetector(ModelDetector):
    """Hides every part of the brain in turn and measures what comes back.

    The residual of a pixel is averaged over all squares of one size that covered it, then
    over the sizes. By its ``decision`` the thresholds of the published system judge instead of
    the calibration.
    """

    name = "grid"
    title = "Grid of squares"
    summary = (
        "Hides the brain square by square and lets a diffusion model of healthy brains fill the "
        "squares from their surroundings."
    )
    source = "RSNA_Inpainting (2024); Lugmayr et al. 2022 (RePaint), Song et al. 2021 (DDIM)"
    method = "grid"
    presets = PROTOCOLS
    model_config_type = ModelConfig
    backends = BACKENDS
    config: GridConfig

    def __init__(
        self,
        protocol: str,
        config: GridConfig | None = None,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(
            protocol, config, model=model, device=device, backend=backend, batch_size=batch_size
        )
        self.scale_names = list(self.config.sizes_mm)
        self._denoiser = load_denoiser(self.folder, device=device, backend=backend)

    @functools.cached_property
    def calibration(self) -> Calibration | None:
        """As of every model; None where the published thresholds decide."""
        if self.config.decision in RULES:
            return None
        return load_calibration(self.folder, self.name, self.protocol)

    def run(
        self,
        scan: Scan,
        *,
        indices: Sequence[int],
        seed: int,
        on_step: OnStep | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[SliceScores]:
        """Yield every section as soon as its last square is filled (see ``Detector``)."""
        planned = {z: sum(1 for _ in self._holes(scan.brain(z))) for z in indices}
        per_job = self.config.samples * evaluations_per_job(self.config.sampling)
        total = per_job * sum(planned.values())
        done = 0

        def count(n: int) -> None:
            nonlocal done
            done += n
            if on_step is not None:
                on_step(done, total)

        results = complete(
            self._jobs(scan, indices, seed),
            self._denoiser,
            self.config.sampling,
            batch_size=self.batch_size,
            neighbours=self.config.neighbours,
            on_evaluations=count,
            cancelled=cancelled,
        )
        for z in indices:
            yield self._collect(scan.context(z), results)

    def _holes(self, brain: npt.NDArray[np.bool_]) -> Iterator[GridHole]:
        return protocol_holes(brain, self.config, self.pixel_mm)

    def _jobs(self, scan: Scan, indices: Sequence[int], seed: int) -> Iterator[Job]:
        for z in indices:
            context = scan.context(z)
            for hole in self._holes(context.brain):
                for sample in range(self.config.samples):
                    yield Job(
                        context, hole.mask, job_seed(seed, z, hole.number, sample), hole.scale
                    )

    def _collect(
        self, context: SliceContext, results: Iterator[tuple[Job, FloatImage]]
    ) -> SliceScores:
        """Take in all completions of one section, which come hole by hole."""
        shape = context.image.shape
        image = context.image.ravel()
        total = np.zeros((len(self.scale_names), image.size), np.float32)
        count = np.zeros_like(total)
        minimum = np.full(image.size, np.inf, np.float32)
        squares = [no_squares()]
        for hole in self._holes(context.brain):
            at = np.flatnonzero(hole.mask)
            original = image[at]
            completed = np.zeros(at.size, np.float64)
            for _ in range(self.config.samples):
                _, completion = next(results)
                inside = completion.ravel()[at]
                difference = original - inside
                total[hole.scale, at] += difference
                count[hole.scale, at] += 1
                before = minimum[at]
                nearer = np.abs(difference) < np.abs(before)
                minimum[at] = np.where(nearer, difference, before)
                completed += inside
            completed /= self.config.samples
            squares.append(
                measure_squares(
                    hole, *hole_tiling(hole, self.config, self.pixel_mm), original, completed
                )
            )
        scales = (total / np.maximum(count, 1)).astype(np.float32)
        covered = (count > 0).sum(0)
        residual = (scales.sum(0) / np.maximum(covered, 1)).astype(np.float32)
        minimum[covered == 0] = 0
        table = np.concatenate(squares)
        rule = RULES.get(self.config.decision)
        return SliceScores(
            context.index,
            residual.reshape(shape),
            scales.reshape(-1, *shape),
            minimum.reshape(shape),
            table,
            heat=None if rule is None else rule.heat(table, self.scale_names, context.brain),
        )

    def provenance(self) -> dict[str, Any]:
        """Model, parameters and device of this detector."""
        return {
            **super().provenance(),
            "backend": self._denoiser.backend,
            "runtime": self._denoiser.runtime,
            "device": str(self._denoiser.device),
        }


def protocol_holes(
    brain: npt.NDArray[np.bool_], protocol: GridConfig, pixel_mm: float
) -> Iterator[GridHole]:
    """Holes of a protocol over a ``(y, x)`` brain mask on the model grid."""
    return grid_holes(brain, _sides(protocol, pixel_mm), protocol.offsets, protocol.period)


def hole_tiling(
    hole: GridHole, protocol: GridConfig, pixel_mm: float
) -> tuple[int, tuple[int, int]]:
    """Side of the squares of a hole and ``(y, x)`` offset of their tiling, pixels."""
    side = _sides(protocol, pixel_mm)[hole.scale]
    number = hole.number // protocol.period**2 % len(protocol.offsets)
    return side, tile_offset(protocol.offsets[number], side)


def _sides(protocol: GridConfig, pixel_mm: float) -> tuple[int, ...]:
    return tuple(max(1, round(size / pixel_mm)) for size in protocol.sizes_mm)


def slice_context(
    hu: npt.NDArray, mask: npt.NDArray[np.bool_], model_grid: ModelGrid, z: int
) -> SliceContext:
    """One canonical native slice with its neighbours, on the model grid."""
    return SliceContext(
        index=z,
        image=model_grid.image_to_model(hu[z]),
        brain=model_grid.mask_to_model(mask[z]),
        below=model_grid.image_to_model(hu[z - 1]) if z > 0 else None,
        above=model_grid.image_to_model(hu[z + 1]) if z + 1 < len(hu) else None,
    )
