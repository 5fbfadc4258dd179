"""``reinpaint``: complete one region several times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.brain import brain_mask
from napari_rsna_inpaint.detection.grid import CPU_BATCH, brain_grid, slice_context
from napari_rsna_inpaint.diffusion.model import load_denoiser
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.engine import Job, complete, job_seed
from napari_rsna_inpaint.inpaint.protocols import Sampling
from napari_rsna_inpaint.volume import CTVolume

#: One completion of a region: few steps suffice when they are equal in log-SNR.
REGION_SAMPLING = Sampling(method="dpm++", steps=8, spacing="log_snr")


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
    config = denoiser.config
    canonical_brain = volume.to_canonical(brain)
    grid = brain_grid(volume, canonical_brain, config)
    hu, holes = volume.to_canonical(volume.hu), volume.to_canonical(hole_native)

    def hidden(z: int) -> npt.NDArray[np.bool_]:
        touched = grid.average(holes[z].astype(np.float32)) > 0
        return ndimage.binary_dilation(touched, np.ones((3, 3)))

    jobs = []
    for z in map(volume.canonical_slice, slices):
        context = slice_context(hu, canonical_brain, grid, z)
        if context.below is not None:
            context.below[hidden(z - 1)] = config.hu_center
        if context.above is not None:
            context.above[hidden(z + 1)] = config.hu_center
        hole = hidden(z) & context.brain
        jobs += [Job(context, hole, job_seed(seed, z, 0, k)) for k in range(samples)]
    out = np.repeat(volume.hu[slices].astype(np.float32)[None], samples, axis=0)
    results = complete(jobs, denoiser, sampling, batch_size=CPU_BATCH, cancelled=cancelled)
    in_plane = tuple(axis - 1 for axis in volume.canonical_flips if axis > 0)
    for number, (job, completion) in enumerate(results):
        row, k = divmod(number, samples)
        residual = np.where(job.hole, job.context.image - completion, 0).astype(np.float32)
        native = np.flip(grid.to_native(residual), in_plane)
        inside = hole_native[slices[row]]
        out[k, row] -= np.where(inside, native, 0)
        if on_progress is not None:
            on_progress(number + 1, len(jobs))
    original = volume.hu[slices].astype(np.float32)
    return Reinpainting(
        completions=out,
        slices=tuple(slices),
        mean=out.mean(0),
        spread=out.std(0),
        minimum_distance_hu=np.abs(out - original).min(0),
    )
