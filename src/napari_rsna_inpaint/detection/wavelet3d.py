"""Detector ``wavelet3d``: boxes of the head completed by a wavelet model of volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from napari_rsna_inpaint.detection.base import OnStep, SliceScores
from napari_rsna_inpaint.detection.config import DetectorConfig
from napari_rsna_inpaint.detection.model_detector import ModelDetector
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.detection.square_metrics import Squares, measure_squares
from napari_rsna_inpaint.diffusion.wavelet_model import WaveletModelConfig, load_wavelet_denoiser
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.blocks import (
    Block,
    BoolVolume,
    FloatVolume,
    aligned_block,
    block_of,
    cut_block,
    join_conditions,
)
from napari_rsna_inpaint.inpaint.boxes import BoxHoles, box_holes
from napari_rsna_inpaint.inpaint.engine import job_seed
from napari_rsna_inpaint.inpaint.grid import GridHole
from napari_rsna_inpaint.inpaint.protocols import CORNER, DIAGONAL
from napari_rsna_inpaint.inpaint.volumetric import VolumeSampling, complete_blocks

#: Blocks in one network call on a GPU.
GPU_BLOCKS = 8


class Wavelet3dConfig(DetectorConfig):
    """What is hidden, how it is filled, and how often."""

    sizes_mm: tuple[float, ...] = Field((32.0,), description="sides of the boxes in plane, mm")
    depth_sections: int = Field(
        0,
        ge=0,
        le=64,
        description="depth of the boxes, sections; 0 hides columns through the whole head, so that "
        "a bleed cannot be copied from the sections next door",
    )
    offsets: tuple[tuple[float, float], ...] = Field(
        DIAGONAL, description="(y, x) shifts of the tiling, as fractions of the size"
    )
    period: int = Field(
        2, ge=2, le=4, description="every period-th box is hidden at once, in all directions"
    )
    sampling: VolumeSampling = Field(VolumeSampling(), description="how a box is filled")
    samples: int = Field(1, ge=1, le=64, description="completions drawn for every box, averaged")


#: From an answer at once to the published sampling of 1000 ancestral steps.
PRESETS: dict[str, Wavelet3dConfig] = {
    "interactive": Wavelet3dConfig(offsets=CORNER, sampling=VolumeSampling(method="one_step")),
    "fast": Wavelet3dConfig(),
    "full": Wavelet3dConfig(
        sizes_mm=(16.0, 32.0, 64.0), sampling=VolumeSampling(method="dpm++", steps=6)
    ),
    "reference": Wavelet3dConfig(sampling=VolumeSampling(method="ddpm", steps=1000)),
}


class Wavelet3dDetector(ModelDetector):
    """Hides every part of the brain in turn, in three dimensions, and measures what comes back.

    Blocks of sections are completed at once. Their places are fixed from the lowest section on,
    so that a section does not depend on which others are asked for.
    """

    name = "wavelet3d"
    title = "3-D wavelet diffusion"
    summary = (
        "Hides boxes of the head and lets a wavelet diffusion model of healthy volumes fill them "
        "in three dimensions; its two-step sampling is fast."
    )
    source = (
        "Ferreira et al. 2024 (Faking_it, arXiv 2411.04630); Friedrich et al. 2024 (WDM); "
        "Durrer et al. 2025 (fastWDM3D)"
    )
    method = "wavelet3d"
    model_config_type = WaveletModelConfig
    presets = PRESETS
    config: Wavelet3dConfig

    def __init__(
        self,
        protocol: str,
        config: Wavelet3dConfig | None = None,
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
        self._denoiser = load_wavelet_denoiser(self.folder, device)
        few = self.config.sampling.method in {"one_step", "two_step"}
        if few and self._denoiser.config.mode == "default":
            raise InputRefused(
                f"The model {self.folder.name!r} (mode default) sees known tissue through noise, "
                "and nothing of it in one or two steps; choose --protocol full."
            )
        sides = tuple(max(1, round(size / self.pixel_mm)) for size in self.config.sizes_mm)
        self._holes = list(
            box_holes(sides, self.config.depth_sections, self.config.offsets, self.config.period)
        )

    def run(
        self,
        scan: Scan,
        *,
        indices: Sequence[int],
        seed: int,
        on_step: OnStep | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[SliceScores]:
        """Yield every section as soon as its block is finished (see ``Detector``)."""
        head = _Head.of(scan)
        blocks = {z: block_of(z, self._denoiser.config) for z in indices}
        plans = {
            number: self._plan(head, aligned_block(number, self._denoiser.config))
            for number in set(blocks.values())
        }
        per_hole = self.config.samples * self.config.sampling.evaluations
        total = per_hole * sum(len(plan) for plan in plans.values())
        done = 0

        def count(n: int) -> None:
            nonlocal done
            done += n
            if on_step is not None:
                on_step(done, total)

        finished: dict[int, SliceScores] = {}
        for z in indices:
            if z not in finished:
                number = blocks[z]
                collector = _Collector(head, aligned_block(number, self._denoiser.config), self)
                made = self._completions(head, number, plans[number], seed, count, cancelled)
                for hole in plans[number]:
                    collector.add(hole, [next(made) for _ in range(self.config.samples)])
                finished |= {k: collector.scores(k) for k in collector.sections if k in blocks}
            yield finished.pop(z)

    def _plan(self, head: _Head, block: Block) -> list[BoxHoles]:
        """The holes that meet the brain where the block contributes."""
        first, last = _core(block, head)
        brain = head.brain[first:last]
        return [hole for hole in self._holes if (hole.mask(brain.shape, first) & brain).any()]

    def _completions(
        self,
        head: _Head,
        number: int,
        holes: Sequence[BoxHoles],
        seed: int,
        count: Callable[[int], None],
        cancelled: Callable[[], bool] | None,
    ) -> Iterator[FloatVolume]:
        """``(D, H, W)`` HU: every sample of the first hole, then of the second, ..."""
        block = aligned_block(number, self._denoiser.config)
        jobs = [(hole, sample) for hole in holes for sample in range(self.config.samples)]
        on_gpu = self._denoiser.device.type == "cuda"
        size = (self.batch_size or GPU_BLOCKS) if on_gpu else 1
        for start in range(0, len(jobs), size):
            batch = jobs[start : start + size]
            conditions = [
                cut_block(
                    head.image,
                    hole.mask(head.brain.shape, 0) & head.brain,
                    head.brain,
                    block,
                    self._denoiser.config,
                )
                for hole, _ in batch
            ]
            yield from complete_blocks(
                join_conditions(conditions),
                self._denoiser,
                self.config.sampling,
                [job_seed(seed, number, hole.number, sample) for hole, sample in batch],
                on_evaluations=count,
                cancelled=cancelled,
            )

    def provenance(self) -> dict[str, Any]:
        """Model, parameters and device of this detector."""
        return {
            **super().provenance(),
            "mode": self._denoiser.config.mode,
            "runtime": f"torch {torch.__version__}",
        }


@dataclass(frozen=True, eq=False)
class _Head:
    """All sections of a scan on the model grid, ``(z, y, x)`` HU and bool."""

    image: FloatVolume
    brain: BoolVolume

    @classmethod
    def of(cls, scan: Scan) -> _Head:
        sections = range(len(scan.sections))
        return cls(
            np.stack([scan.context(z).image for z in sections]),
            np.stack([scan.brain(z) for z in sections]),
        )


def _core(block: Block, head: _Head) -> tuple[int, int]:
    """First section that a block contributes, and the one after the last, inside the head."""
    return max(0, block.core[0]), min(len(head.image), block.core[1])


class _Collector:
    """Takes in all completions of a block, hole by hole.

    The residual of a voxel is averaged over all boxes of one size that covered it, then over
    the sizes.
    """

    def __init__(self, head: _Head, block: Block, detector: Wavelet3dDetector) -> None:
        first, last = _core(block, head)
        self.sections = range(first, last)
        self._skip = first - block.start
        self._image = head.image[first:last]
        self._brain = head.brain[first:last]
        scales = len(detector.scale_names)
        self._total = np.zeros((scales, *self._image.shape), np.float32)
        self._count = np.zeros_like(self._total)
        self._minimum = np.full(self._image.shape, np.inf, np.float32)
        self._squares: dict[int, list[Squares]] = {z: [] for z in self.sections}

    def add(self, hole: BoxHoles, completions: Sequence[FloatVolume]) -> None:
        """Take in the completions ``(D, H, W)`` HU of a hole."""
        depth, height, width = self._image.shape
        mask = hole.mask(self._image.shape, self.sections.start) & self._brain
        made = np.stack(completions)[:, self._skip : self._skip + depth, :height, :width]
        differences = self._image - made
        nearest = np.take_along_axis(differences, np.abs(differences).argmin(0)[None], 0)[0]
        nearer = mask & (np.abs(nearest) < np.abs(self._minimum))
        self._minimum[nearer] = nearest[nearer]
        self._total[hole.scale][mask] += differences.mean(0)[mask]
        self._count[hole.scale][mask] += 1
        mean = made.mean(0)
        for row, z in enumerate(self.sections):
            if mask[row].any():
                self._squares[z].append(self._measured(hole, mask[row], row, mean[row]))

    def _measured(
        self, hole: BoxHoles, plane: npt.NDArray[np.bool_], row: int, mean: npt.NDArray[np.float32]
    ) -> Squares:
        """The cuts of the boxes through a section, measured as squares."""
        squares = GridHole(plane, hole.scale, hole.number)
        return measure_squares(
            squares, hole.side, hole.offset, self._image[row][plane], mean[plane]
        )

    def scores(self, z: int) -> SliceScores:
        """What was found in a section."""
        row = z - self.sections.start
        count = self._count[:, row]
        scales = (self._total[:, row] / np.maximum(count, 1)).astype(np.float32)
        covered = (count > 0).sum(0)
        residual = (scales.sum(0) / np.maximum(covered, 1)).astype(np.float32)
        minimum = np.where(covered > 0, self._minimum[row], 0).astype(np.float32)
        if not self._squares[z]:
            return SliceScores(z, residual, scales, minimum)
        return SliceScores(z, residual, scales, minimum, np.concatenate(self._squares[z]))
