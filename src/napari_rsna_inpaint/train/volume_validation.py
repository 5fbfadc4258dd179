"""What the averaged network of volumes makes of held-out healthy blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.detection.filters import SMOOTHING_MM, smooth_inside
from napari_rsna_inpaint.diffusion.wavelet_model import WaveletDenoiser, WaveletModelConfig
from napari_rsna_inpaint.evaluate.lesions import HU
from napari_rsna_inpaint.inpaint.boxes import box_holes
from napari_rsna_inpaint.inpaint.volumetric import VolumeSampling, complete_blocks
from napari_rsna_inpaint.train.lesion_contrast import (
    BLEED_RADIUS_MM,
    EDGE,
    MAX_RADIUS_MM,
    MIN_DIFFERENCE_HU,
    MIN_SPREAD_HU,
    SQUARE_MM,
)
from napari_rsna_inpaint.train.method import Picture
from napari_rsna_inpaint.train.volume_blocks import HealthyBlocks, TissueBlock
from napari_rsna_inpaint.train.volume_holes import ellipsoid

FIGURES = ("healthy_mae_hu", "lesion_contrast", "score")


class VolumeValidation:
    """The same held-out blocks and bleeds every time.

    Parameters
    ----------
    blocks
        Of series that are not trained on; None gives figures that are NaN.
    count
        Number of blocks looked at.
    section_mm
        Distance of sections that the shape of bleeds is made for.
    sampling
        How holes are filled.
    """

    def __init__(
        self,
        blocks: HealthyBlocks | None,
        config: WaveletModelConfig,
        *,
        count: int,
        section_mm: float,
        sampling: VolumeSampling,
        seed: int,
    ) -> None:
        self._config = config
        self._sampling = sampling
        self._examples: list[tuple[TissueBlock, TissueBlock, npt.NDArray[np.bool_]]] = []
        if blocks is None:
            return
        spacing = (section_mm, config.pixel_mm)
        for number in np.linspace(0, len(blocks) - 1, min(count, len(blocks))).round():
            block = blocks.block(int(number))
            rng = np.random.default_rng([seed, int(number), 1])
            self._examples.append((block, *paint_bleed(block, spacing, rng)))

    def figures(self, denoiser: WaveletDenoiser) -> dict[str, float]:
        """Errors of completions in boxes of 32 mm through the block, as the detector hides them.

        Returns
        -------
        ``healthy_mae_hu``, the mean absolute error in healthy brain; ``lesion_contrast``, how
        far the residual of painted bleeds stands out (see `lesion_contrast`); ``score``, their
        ratio.
        """
        if not self._examples:
            return dict.fromkeys(FIGURES, math.nan)
        errors, bleeds, normal = [], [], []
        for block, painted, lesion in self._examples:
            residual = self._residual(painted, denoiser)
            away = block.brain & ~ndimage.binary_dilation(lesion, iterations=4 * EDGE)
            errors.append(np.abs(residual[away]))
            sigma = SMOOTHING_MM / self._config.pixel_mm
            smooth = np.stack(
                [
                    smooth_inside(plane, brain, sigma)
                    for plane, brain in zip(residual, block.brain, strict=True)
                ]
            )
            bleeds.append(smooth[lesion])
            normal.append(smooth[away])
        bleed, healthy = np.concatenate(bleeds), np.concatenate(normal)
        mae = float(np.concatenate(errors).mean())
        contrast = float((bleed.mean() - healthy.mean()) / max(healthy.std(), MIN_SPREAD_HU))
        return dict(zip(FIGURES, (mae, contrast, contrast / mae), strict=True))

    def pictures(self, denoiser: WaveletDenoiser, n: int = 4) -> list[Picture]:
        """Middle sections of some blocks with a quarter of the brain completed."""
        shown = self._examples[:: max(1, len(self._examples) // n)][:n]
        pictures = []
        for block, _, _ in shown:
            hole = next(self._holes(block))
            made = self._completed(block, hole, denoiser)
            z = len(hole) // 2
            pictures.append((block.hu[z], hole[z], made[z]))
        return pictures

    def _holes(self, block: TissueBlock) -> Iterator[npt.NDArray[np.bool_]]:
        side = round(SQUARE_MM / self._config.pixel_mm)
        for boxes in box_holes((side,), 0, ((0.0, 0.0),), 2):
            hole = boxes.mask(block.brain.shape, 0) & block.brain
            if hole.any():
                yield hole

    def _residual(self, block: TissueBlock, denoiser: WaveletDenoiser) -> npt.NDArray[np.float32]:
        residual = np.zeros_like(block.hu)
        shown = block.hu.clip(*self._config.hu_window)
        for hole in self._holes(block):
            residual[hole] = (shown - self._completed(block, hole, denoiser))[hole]
        return residual

    def _completed(
        self, block: TissueBlock, hole: npt.NDArray[np.bool_], denoiser: WaveletDenoiser
    ) -> npt.NDArray[np.float32]:
        condition, _ = block.condition(hole, self._config)
        return complete_blocks(condition, denoiser, self._sampling, [0])[0]


def paint_bleed(
    block: TissueBlock, spacing_mm: tuple[float, float], rng: np.random.Generator
) -> tuple[TissueBlock, npt.NDArray[np.bool_]]:
    """Paint one bleed into a block, as `lesion_contrast.paint_bleed` does into a slice.

    Parameters
    ----------
    spacing_mm
        Distance of sections, size of pixels.

    Returns
    -------
    The painted block and the bleed, ``(z, y, x)`` bool, never empty.
    """
    inside = np.argwhere(block.brain)
    center = inside[rng.integers(len(inside))]
    median, spread = BLEED_RADIUS_MM
    radius = min(rng.lognormal(np.log(median), spread), MAX_RADIUS_MM)
    radii = (radius / spacing_mm[0], radius / spacing_mm[1], radius / spacing_mm[1])
    lesion = ellipsoid(block.brain.shape, center, radii, rng) & block.brain
    lesion[tuple(center)] = True
    amount = ndimage.gaussian_filter(lesion.astype(np.float32), (0, EDGE, EDGE)) * block.brain
    covered = float(block.hu[lesion].mean())
    difference = max(rng.normal(*HU["bhsd"]["intraparenchymal"]) - covered, MIN_DIFFERENCE_HU)
    hu = (block.hu + difference * amount).astype(np.float32)
    return replace(block, hu=hu), lesion
