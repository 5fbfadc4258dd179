"""A scan on the model grid: residuals in, evidence and candidates out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

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
from napari_rsna_inpaint.inpaint.engine import SliceContext
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

FloatArray = npt.NDArray[np.float32]

#: Thinner slices are averaged to sections of this thickness: the model has learned from thick
#: ones, and thin ones are noise to it.
SECTION_MM = 2.5


class Planar(Protocol):
    """A mask of which planes can be had: an array ``(z, y, x)`` or a `PackedMask`."""

    def __getitem__(self, z: int, /) -> npt.NDArray[np.bool_]:
        """Plane ``(y, x)``."""


class Scan:
    """What is known of a scan besides its residuals, all on the model grid.

    Parameters
    ----------
    volume
        Series in HU.
    mask
        Canonical ``(z, y, x)`` brain mask.
    grid, pixel_mm
        Model grid of its slices and size of its pixels.

    Attributes
    ----------
    sections
        Canonical slices that are averaged into each section, from below; mostly one.
    section_of
        ``(z,)`` number of the section of every canonical slice.
    with_brain
        Numbers of the sections with brain.
    residuals
        ``(y, x)`` HU by section, original minus completion, or the deviation that a detector
        has judged in its place; filled by the caller.
    """

    def __init__(self, volume: CTVolume, mask: Planar, grid: ModelGrid, pixel_mm: float) -> None:
        self.pixel_mm = pixel_mm
        self.sections = volume.slabs(SECTION_MM)
        lengths = [section.stop - section.start for section in self.sections]
        self.section_of = np.repeat(np.arange(len(lengths)), lengths)
        hu = volume.to_canonical(volume.hu)
        self._image = np.stack([grid.image_to_model(_mean(hu[one])) for one in self.sections])
        self._brain = np.stack([section_mask(mask, one, grid) for one in self.sections])
        self.with_brain = [int(k) for k in np.flatnonzero(self._brain.any((1, 2)))]
        self.residuals: dict[int, FloatArray] = {}
        spacing = (volume.spacing[0] * lengths[0], pixel_mm, pixel_mm)
        self._distance = bone_distance(self._image, self._brain, spacing)
        self._opposite = opposite(self._brain, pixel_mm)
        z_mm = volume.slice_z_mm
        height = {
            k: np.mean([z_mm[volume.canonical_slice(z)] for z in _numbers(self.sections[k])])
            for k in self.with_brain
        }
        top = height[self.with_brain[-1]] if len(self.with_brain) > 1 else np.nan
        self._below_top = {k: abs(float(top - height[k])) for k in self.with_brain}

    @property
    def shape(self) -> tuple[int, int]:
        """``(y, x)`` of a section on the model grid."""
        return self._image.shape[1], self._image.shape[2]

    def context(self, z: int) -> SliceContext:
        """A section with its neighbours, as the network is to see it."""
        return SliceContext(
            index=z,
            image=self._image[z],
            brain=self._brain[z],
            below=self._image[z - 1] if z > 0 else None,
            above=self._image[z + 1] if z + 1 < len(self._image) else None,
        )

    def brain(self, z: int) -> npt.NDArray[np.bool_]:
        """``(y, x)`` brain mask of a section."""
        return self._brain[z]

    def bone_distance(self, z: int) -> FloatArray:
        """``(y, x)`` distance of a section to bone, mm (see `filters.bone_distance`)."""
        return self._distance[z]

    def noise(self, z: int) -> float:
        """Mean noise of a section, HU."""
        return slice_noise(self.residuals[z], self._image[z], self._brain[z], self.pixel_mm)

    def healthy_pixels(self, z: int, noise_hu: float) -> HealthyPixels:
        """Brain pixels of a section for calibration."""
        return healthy_pixels(
            self.residuals[z],
            self._image[z],
            self._brain[z],
            self._distance[z],
            noise_hu,
            self.pixel_mm,
        )

    def evidence(self, z: int, norms: Norms) -> Evidence:
        """Evidence maps of a section."""
        return slice_evidence(
            self.residuals[z],
            self._image[z],
            self._brain[z],
            self._distance[z],
            norms,
            self.pixel_mm,
        )

    def candidates(self, z: int, evidence: Evidence, neighbours: list[Evidence]) -> list[Candidate]:
        """Candidates of a section; ``neighbours`` are those below and above, where known."""
        return find_candidates(
            evidence, neighbours, self._opposite, self._below_top[z], self.pixel_mm
        )

    def judged(self, norms: Norms) -> Iterator[tuple[int, Evidence, list[Candidate]]]:
        """Every section that has a residual, from below, with its evidence and candidates."""
        window: dict[int, Evidence] = {}
        for z in sorted(self.residuals):
            window = {
                near: window[near] if near in window else self.evidence(near, norms)
                for near in (z - 1, z, z + 1)
                if near in self.residuals
            }
            neighbours = [one for near, one in window.items() if near != z]
            yield z, window[z], self.candidates(z, window[z], neighbours)


def _numbers(section: slice) -> range:
    return range(section.start, section.stop)


def _mean(planes: npt.NDArray) -> npt.NDArray:
    """Mean ``(y, x)`` of slices ``(z, y, x)``, HU."""
    return planes[0] if len(planes) == 1 else planes.mean(0, dtype=np.float32)


def section_mask(mask: Planar, section: slice, grid: ModelGrid) -> npt.NDArray[np.bool_]:
    """Where at least half of a model pixel of a section lies in a mask, ``(y, x)``."""
    planes = [mask[z] for z in _numbers(section)]
    if len(planes) == 1:
        return grid.mask_to_model(planes[0])
    return grid.average(np.mean(planes, axis=0, dtype=np.float32)) >= 0.5
