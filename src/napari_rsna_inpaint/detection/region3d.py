"""Completions of one region in three dimensions, by a wavelet model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brain import PackedMask
from napari_rsna_inpaint.detection.model_detector import brain_grid
from napari_rsna_inpaint.detection.region_holes import BoolArray, touched_pixels, turned
from napari_rsna_inpaint.detection.scan import SECTION_MM, section_mask
from napari_rsna_inpaint.diffusion.wavelet_model import load_wavelet_denoiser
from napari_rsna_inpaint.inpaint.volumetric import VolumeSampling, iterate_completions
from napari_rsna_inpaint.volume import CTVolume

#: As for single slices: few steps, and completions that differ.
REGION_SAMPLING_3D = VolumeSampling(method="dpm++", steps=6)


def volume_residuals(
    volume: CTVolume,
    holes: dict[int, BoolArray],
    brain: PackedMask,
    *,
    samples: int,
    seed: int,
    model: str | Path | None = None,
    device: str = "auto",
    sampling: VolumeSampling = REGION_SAMPLING_3D,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[dict[int, npt.NDArray[np.float32]]]:
    """What each of ``samples`` completions takes away from the slices of the volume.

    Thin slices are averaged to sections, as for the detector; each of them gets the residual
    of its section, and keeps what sets it apart from the section.

    Parameters
    ----------
    holes
        Part of the region inside the brain by slice of the volume, ``(y, x)`` each.
    on_progress
        ``(done, total)`` network evaluations, after each.

    Yields
    ------
    By slice of ``holes``: ``(y, x)`` float32 HU, original minus completion.

    Raises
    ------
    InputRefused
        If model or device is not to be had.
    Cancelled
        When ``cancelled()`` returned True.
    """
    denoiser = load_wavelet_denoiser(model, device)
    grid = brain_grid(volume, brain.outline()[None], denoiser.config)
    hu = volume.to_canonical(volume.hu)
    sections = volume.slabs(SECTION_MM)
    image = np.stack([grid.image_to_model(hu[one].mean(0, dtype=np.float32)) for one in sections])
    inside = np.stack([section_mask(brain, one, grid) for one in sections])
    hidden = np.stack(
        [
            np.logical_or.reduce(
                [touched_pixels(volume, holes, grid, z) for z in range(one.start, one.stop)]
            )
            for one in sections
        ]
    )
    hidden &= inside
    section_of = {z: k for k, one in enumerate(sections) for z in range(one.start, one.stop)}
    for completion in iterate_completions(
        image,
        hidden,
        inside,
        denoiser,
        sampling,
        seed=seed,
        samples=samples,
        on_step=on_progress,
        cancelled=cancelled,
    ):
        residual = image - completion
        yield {
            z: turned(volume, grid.to_native(residual[section_of[volume.canonical_slice(z)]]))
            for z in holes
        }
