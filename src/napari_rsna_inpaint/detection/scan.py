"""A scan on the model grid: residuals in, evidence and candidates out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.candidates import Candidate, find_candidates
from napari_rsna_inpaint.detection.evidence import (
    Evidence,
    healthy_pixels,
    slice_evidence,
    slice_noise,
)
from napari_rsna_inpaint.detection.filters import bone_distance
from napari_rsna_inpaint.detection.norms import HealthyPixels, Norms
from napari_rsna_inpaint.detection.symmetry import opposite
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

FloatArray = npt.NDArray[np.float32]


class Scan:
    """What is known of a scan besides its residuals, all on the model grid.

    Parameters
    ----------
    volume
        Series in HU.
    mask
        Canonical ``(z, y, x)`` brain mask.

    Attributes
    ----------
    slices
        Canonical indices of the slices with brain.
    residuals
        ``(y, x)`` HU by canonical index, original minus completion; filled by the caller.
    """

    def __init__(
        self, volume: CTVolume, mask: npt.NDArray[np.bool_], grid: ModelGrid, pixel_mm: float
    ) -> None:
        self.pixel_mm = pixel_mm
        self._image, self._brain = grid.scan_to_model(volume.to_canonical(volume.hu), mask)
        self.slices = [int(z) for z in np.flatnonzero(self._brain.any((1, 2)))]
        self.residuals: dict[int, FloatArray] = {}
        spacing = (volume.spacing[0], pixel_mm, pixel_mm)
        self._distance = bone_distance(self._image, self._brain, spacing)
        self._opposite = opposite(self._brain, pixel_mm)
        z_mm = volume.slice_z_mm
        height = {z: z_mm[volume.canonical_slice(z)] for z in self.slices}
        top = height[self.slices[-1]] if len(self.slices) > 1 else np.nan
        self._below_top = {z: abs(float(top - height[z])) for z in self.slices}

    def brain(self, z: int) -> npt.NDArray[np.bool_]:
        """``(y, x)`` brain mask of a slice."""
        return self._brain[z]

    def noise(self, z: int) -> float:
        """Mean noise of a slice, HU."""
        return slice_noise(self.residuals[z], self._image[z], self._brain[z], self.pixel_mm)

    def healthy_pixels(self, z: int, noise_hu: float) -> HealthyPixels:
        """Brain pixels of a slice for calibration."""
        return healthy_pixels(
            self.residuals[z],
            self._image[z],
            self._brain[z],
            self._distance[z],
            noise_hu,
            self.pixel_mm,
        )

    def evidence(self, z: int, norms: Norms) -> Evidence:
        """Evidence maps of a slice."""
        return slice_evidence(
            self.residuals[z],
            self._image[z],
            self._brain[z],
            self._distance[z],
            norms,
            self.pixel_mm,
        )

    def candidates(self, z: int, evidence: Evidence, neighbours: list[Evidence]) -> list[Candidate]:
        """Candidates of a slice; ``neighbours`` are those below and above, where known."""
        return find_candidates(
            evidence, neighbours, self._opposite, self._below_top[z], self.pixel_mm
        )

    def judged(self, norms: Norms) -> Iterator[tuple[int, Evidence, list[Candidate]]]:
        """Every slice that has a residual, from below, with its evidence and candidates."""
        window: dict[int, Evidence] = {}
        for z in sorted(self.residuals):
            window = {
                near: window[near] if near in window else self.evidence(near, norms)
                for near in (z - 1, z, z + 1)
                if near in self.residuals
            }
            neighbours = [one for near, one in window.items() if near != z]
            yield z, window[z], self.candidates(z, window[z], neighbours)
