"""What everything is measured on: a scan, its middle slice, and that slice with a bleed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brain import brain_mask
from napari_rsna_inpaint.detection.grid import protocol_holes, slice_context
from napari_rsna_inpaint.detection.model_detector import brain_grid
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.diffusion.model import ModelConfig
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.lesions import insert_bleed
from napari_rsna_inpaint.evaluate.metrics import Sweep
from napari_rsna_inpaint.inpaint.engine import Job, SliceContext, job_seed
from napari_rsna_inpaint.inpaint.protocols import PROTOCOLS
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

FloatImages = npt.NDArray[np.float32]
BoolImages = npt.NDArray[np.bool_]

BLEED_ML = 10.0
#: The bleed must cover so much of the middle slice; so many places are tried.
_BLEED_MM2, _PLACES = 100.0, 60


@dataclass(frozen=True, eq=False)
class HiddenSlice:
    """One slice, hidden in several phases that together cover its brain once.

    Attributes
    ----------
    context
        The slice on the model grid.
    holes
        ``(n, y, x)``, one phase each, hole = 1.
    lesion
        ``(y, x)``, True in a synthetic bleed; empty without one.
    """

    context: SliceContext
    holes: BoolImages
    lesion: BoolImages

    @property
    def jobs(self) -> list[Job]:
        """One completion a phase."""
        z = self.context.index
        return [Job(self.context, hole, job_seed(0, z, k)) for k, hole in enumerate(self.holes)]

    def residual(self, completions: FloatImages, config: ModelConfig) -> FloatImages:
        """``(y, x)`` original minus completion, HU, 0 where nothing was hidden.

        The original is clipped to the model's HU window, which no completion can leave.
        """
        original = np.clip(self.context.image, *config.hu_window)
        return np.where(self.holes, original - completions, 0).sum(0).astype(np.float32)

    def mean_absolute_error(self, completions: FloatImages, config: ModelConfig) -> float:
        """Over all hidden pixels, HU."""
        residual = self.residual(completions, config)
        return float(np.abs(residual)[self.holes.any(0)].mean())

    def lesion_auroc(self, completions: FloatImages, config: ModelConfig) -> float:
        """AUROC of the signed residual: pixels of the bleed against the rest of the brain."""
        hidden = self.holes.any(0)
        residual = self.residual(completions, config)
        return float(Sweep.of(residual[hidden], self.lesion[hidden]).auroc())


@dataclass(frozen=True, eq=False)
class Subject:
    """A scan with its brain mask, and its middle slice without and with a synthetic bleed.

    Attributes
    ----------
    mask
        ``(z, y, x)`` on the grid of ``volume``.
    brains
        ``(y, x)`` brain masks on the model grid of all slices with brain, thin slices averaged
        as ``detect`` does.
    plain, bled
        ``bled`` is None where no place for the bleed was found.
    """

    volume: CTVolume
    mask: BoolImages
    grid: ModelGrid
    brains: list[BoolImages]
    plain: HiddenSlice
    bled: HiddenSlice | None


def make_subject(volume: CTVolume, config: ModelConfig) -> Subject:
    """Find brain and middle slice, and put the bleed in.

    Raises
    ------
    InputRefused
        If there is no brain in the volume.
    """
    volume = volume.finite()
    mask = brain_mask(volume)
    canonical_mask = volume.to_canonical(mask)
    grid = brain_grid(volume, canonical_mask, config)
    scan = Scan(volume, canonical_mask, grid, config.pixel_mm)
    if not scan.with_brain:
        raise InputRefused("No brain was found in this series; is it an axial head CT?")
    middle = scan.sections[scan.with_brain[len(scan.with_brain) // 2]]
    z = (middle.start + middle.stop - 1) // 2

    def hidden(of: CTVolume, lesion: BoolImages) -> HiddenSlice:
        context = slice_context(of.to_canonical(of.hu), canonical_mask, grid, z)
        # the four phases of the 32 mm grid
        holes = protocol_holes(context.brain, PROTOCOLS["interactive"], config.pixel_mm)
        return HiddenSlice(context, np.stack([hole.mask for hole in holes]), lesion)

    bleed = _insert(volume, mask, grid, z, config.pixel_mm)
    return Subject(
        volume=volume,
        mask=mask,
        grid=grid,
        brains=[scan.brain(k) for k in scan.with_brain],
        plain=hidden(volume, np.zeros(grid.shape, bool)),
        bled=None if bleed is None else hidden(*bleed),
    )


def _insert(
    volume: CTVolume, mask: BoolImages, grid: ModelGrid, z: int, pixel_mm: float
) -> tuple[CTVolume, BoolImages] | None:
    """The scan with the first bleed that reaches slice ``z``, and its mask there."""
    for seed in range(_PLACES):
        rng = np.random.default_rng(seed)
        try:
            bled, lesion, _ = insert_bleed(
                volume, mask, rng, subtype="intraparenchymal", volume_ml=BLEED_ML
            )
        except InputRefused:
            return None
        in_slice = grid.mask_to_model(volume.to_canonical(lesion)[z])
        if in_slice.sum() * pixel_mm**2 >= _BLEED_MM2:
            return bled, in_slice
    return None
