"""``reinpaint``: complete one region several times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.brain import brain_mask
from napari_rsna_inpaint.detection.grid import brain_grid, slice_context
from napari_rsna_inpaint.diffusion.model import ModelConfig, load_denoiser
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.engine import Job, SliceContext, complete, job_seed
from napari_rsna_inpaint.inpaint.protocols import Sampling
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

#: The fewest steps whose completions miss by as much and differ by as much as those of 50 DDIM
#: steps; with fewer the completions grow alike.
REGION_SAMPLING = Sampling(method="dpm++", steps=6, spacing="log_snr")

#: ``(k, slices, completion)``: number of a completion, its slices, ``(z, y, x)`` float32 HU.
OnCompletion = Callable[[int, tuple[int, ...], npt.NDArray[np.float32]], None]


@dataclass(frozen=True)
class Reinpainting:
    """Completions of a region on the volume's own grid.

    Attributes
    ----------
    completions
        ``(k, z, y, x)`` float32 HU over ``slices`` only; the original outside the region.
    slices
        Indices along ``z`` of the volume, increasing.
    mean, spread
        ``(z, y, x)`` float32 HU over the same slices: average and standard deviation.
    minimum_distance_hu
        ``(z, y, x)`` float32: the smallest absolute difference between the original and any
        completion (minimum completion distance, pixelwise).
    """

    completions: npt.NDArray[np.float32]
    slices: tuple[int, ...]
    mean: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]
    minimum_distance_hu: npt.NDArray[np.float32]


def reinpaint(
    volume: CTVolume,
    region: npt.NDArray,
    *,
    samples: int = 4,
    model: str | Path | None = None,
    device: str = "auto",
    backend: str = "torch",
    seed: int = 0,
    sampling: Sampling = REGION_SAMPLING,
    mask: npt.NDArray[np.bool_] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_completion: OnCompletion | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Reinpainting:
    """Draw ``samples`` healthy completions of a region.

    Parameters
    ----------
    region
        ``(z, y, x)``, non-zero where the image is to be completed (hole = 1). Only its part
        inside the brain mask is completed. The region is hidden in the slices below and
        above as well, and hidden with a margin of a model pixel, so that none of what it
        holds can be copied.
    mask
        Brain mask ``(z, y, x)`` if it is known already.
    on_progress
        Called after every completed slice with the number of those done and of all.
    on_completion
        Called with every completion as soon as its last slice is done: its number from 0, the
        slices as in `Reinpainting`, and its part of ``completions``.

    Raises
    ------
    InputRefused
        If the region has another shape or does not meet the brain.
    Cancelled
        When ``cancelled()`` returned True.
    """
    volume = volume.finite()
    if region.shape != volume.hu.shape:
        raise InputRefused(
            f"The region has shape {region.shape}, the scan {volume.hu.shape}; "
            "draw it on the same series."
        )
    brain = brain_mask(volume, cancelled=cancelled) if mask is None else mask
    hole_native = (region != 0) & brain
    slices = [int(z) for z in np.flatnonzero(hole_native.any((1, 2)))]
    if not slices:
        raise InputRefused("The region does not meet the brain; draw it inside the skull.")
    denoiser = load_denoiser(model, device=device, backend=backend)
    grid, hidden = _hide(volume, hole_native, brain, slices, denoiser.config)
    # One completion after the other, each through all slices.
    jobs = [
        Job(context, hole, job_seed(seed, context.index, 0, k))
        for k in range(samples)
        for context, hole in hidden
    ]
    original = volume.hu[slices].astype(np.float32)
    out = np.repeat(original[None], samples, axis=0)
    results = complete(
        jobs, denoiser, sampling, batch_size=denoiser.images_at_once, cancelled=cancelled
    )
    in_plane = tuple(axis - 1 for axis in volume.canonical_flips if axis > 0)
    for number, (job, completion) in enumerate(results):
        k, row = divmod(number, len(slices))
        residual = np.where(job.hole, job.context.image - completion, 0).astype(np.float32)
        native = np.flip(grid.to_native(residual), in_plane)
        out[k, row] -= np.where(hole_native[slices[row]], native, 0)
        if on_progress is not None:
            on_progress(number + 1, len(jobs))
        if on_completion is not None and row == len(slices) - 1:
            on_completion(k, tuple(slices), out[k])
    return Reinpainting(
        completions=out,
        slices=tuple(slices),
        mean=out.mean(0),
        spread=out.std(0),
        minimum_distance_hu=np.abs(out - original).min(0),
    )


def _hide(
    volume: CTVolume,
    region: npt.NDArray[np.bool_],
    brain: npt.NDArray[np.bool_],
    slices: list[int],
    config: ModelConfig,
) -> tuple[ModelGrid, list[tuple[SliceContext, npt.NDArray[np.bool_]]]]:
    """Model grid, and on it the slices with what the network may see and the hole ``(y, x)``.

    All arrays are native ``(z, y, x)``. The region is hidden in the neighbour slices.
    """
    hu, region, brain = map(volume.to_canonical, (volume.hu, region, brain))
    # All of the slice, not only what lies around the region: with little but brain in view
    # the completions scatter.
    grid = brain_grid(volume, brain, config)

    def touched(z: int) -> npt.NDArray[np.bool_]:
        covered = grid.average(region[z].astype(np.float32)) > 0
        return ndimage.binary_dilation(covered, np.ones((3, 3)))

    hidden = []
    for z in map(volume.canonical_slice, slices):
        context = slice_context(hu, brain, grid, z)
        if context.below is not None:
            context.below[touched(z - 1)] = config.hu_center
        if context.above is not None:
            context.above[touched(z + 1)] = config.hu_center
        hidden.append((context, touched(z) & context.brain))
    return grid, hidden
