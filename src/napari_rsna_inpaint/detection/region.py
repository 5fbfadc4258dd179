"""``reinpaint``: complete one region several times."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brain import PackedMask, packed_brain_mask
from napari_rsna_inpaint.detection.model_detector import brain_grid
from napari_rsna_inpaint.detection.names import REGION_DETECTORS
from napari_rsna_inpaint.detection.region3d import volume_residuals
from napari_rsna_inpaint.detection.region_holes import (
    BoolArray,
    holes_in_brain,
    pack_mask,
    touched_pixels,
    turned,
)
from napari_rsna_inpaint.diffusion.model import BatchedDenoiser, ModelConfig, load_denoiser
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.engine import Job, SliceContext, complete, job_seed
from napari_rsna_inpaint.inpaint.protocols import Sampling
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

#: The fewest steps whose completions miss by as much and differ by as much as those of 50 DDIM
#: steps; with fewer the completions grow alike.
REGION_SAMPLING = Sampling(method="dpm++", steps=6, spacing="log_snr")

FloatArray = npt.NDArray[np.float32]

#: ``(k, slices, completion)``: number of a completion, its slices, ``(z, y, x)`` float32 HU.
OnCompletion = Callable[[int, tuple[int, ...], FloatArray], None]


@dataclass(frozen=True)
class Reinpainting:
    """Completions of a region on the volume's own grid.

    Attributes
    ----------
    completions
        ``(k, z, y, x)`` float32 HU over ``slices`` only; the original outside the region.
    slices
        Indices along ``z`` of the volume, increasing.
    region
        ``(z, y, x)`` bool over the same slices: what was completed, the part of the region
        inside the brain.
    mean, spread
        ``(z, y, x)`` float32 HU over the same slices: average and standard deviation.
    minimum_distance_hu
        ``(z, y, x)`` float32: the smallest absolute difference between the original and any
        completion (minimum completion distance, pixelwise).
    seed
        What they were drawn with.
    """

    completions: FloatArray
    slices: tuple[int, ...]
    region: BoolArray
    mean: FloatArray
    spread: FloatArray
    minimum_distance_hu: FloatArray
    seed: int


def reinpaint(
    volume: CTVolume,
    region: npt.NDArray,
    *,
    detector: str = "grid",
    samples: int = 4,
    model: str | Path | None = None,
    device: str = "auto",
    backend: str = "torch",
    seed: int = 0,
    sampling: Sampling = REGION_SAMPLING,
    mask: BoolArray | PackedMask | None = None,
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
    detector
        One of `names.REGION_DETECTORS`. ``wavelet3d`` completes all slices of the region
        together; it has the backend ``torch`` only and a sampling of its own
        (`region3d.REGION_SAMPLING_3D`).
    sampling
        Of the detector ``grid``.
    mask
        Brain mask if it is known already: ``(z, y, x)`` on the grid of the volume, or packed
        (see `packed_brain_mask`).
    on_progress
        Called after every completed slice (``wavelet3d``: network evaluation) with the number of
        those done and of all.
    on_completion
        Called with every completion as soon as its last slice is done: its number from 0, the
        slices as in `Reinpainting`, and its part of ``completions``.

    Raises
    ------
    InputRefused
        If the region has another shape or does not meet the brain, or the detector, its model
        or its backend is not to be had.
    Cancelled
        When ``cancelled()`` returned True.
    """
    if detector not in REGION_DETECTORS:
        raise InputRefused(
            f"The detector {detector!r} cannot complete a region; "
            f"choose {' or '.join(REGION_DETECTORS)}."
        )
    if detector == "wavelet3d" and backend != "torch":
        raise InputRefused(
            f"The detector 'wavelet3d' runs by the backend torch, not by {backend!r}."
        )
    volume = volume.finite()
    if region.shape != volume.hu.shape:
        raise InputRefused(
            f"The region has shape {region.shape}, the scan {volume.hu.shape}; "
            "draw it on the same series."
        )
    if mask is None:
        mask = packed_brain_mask(volume, cancelled=cancelled)
    brain = mask if isinstance(mask, PackedMask) else pack_mask(volume, mask)
    holes = holes_in_brain(volume, region, brain)
    if not holes:
        raise InputRefused("The region does not meet the brain; draw it inside the skull.")
    slices = tuple(holes)
    original = volume.hu[list(slices)].astype(np.float32)
    out = np.repeat(original[None], samples, axis=0)

    def take_away(k: int, row: int, residual: FloatArray) -> None:
        """Put a completed slice into completion ``k``, from its native residual."""
        out[k, row] -= np.where(holes[slices[row]], residual, 0)
        if on_completion is not None and row == len(slices) - 1:
            on_completion(k, slices, out[k])

    if detector == "wavelet3d":
        completions = volume_residuals(
            volume,
            holes,
            brain,
            samples=samples,
            seed=seed,
            model=model,
            device=device,
            on_progress=on_progress,
            cancelled=cancelled,
        )
        for k, residuals in enumerate(completions):
            for row, z in enumerate(slices):
                take_away(k, row, residuals[z])
    else:
        denoiser = _one_at_a_time(load_denoiser(model, device=device, backend=backend))
        grid, hidden = _hide(volume, holes, brain, denoiser.config)
        # One completion after the other, each through all slices.
        jobs = [
            Job(context, hole, job_seed(seed, context.index, 0, k))
            for k in range(samples)
            for context, hole in hidden
        ]
        results = complete(
            jobs, denoiser, sampling, batch_size=denoiser.images_at_once, cancelled=cancelled
        )
        for number, (job, completion) in enumerate(results):
            residual = np.where(job.hole, job.context.image - completion, 0).astype(np.float32)
            native = turned(volume, grid.to_native(residual))
            if on_progress is not None:
                on_progress(number + 1, len(jobs))
            take_away(*divmod(number, len(slices)), native)
    return Reinpainting(
        completions=out,
        slices=slices,
        region=np.stack(list(holes.values())),
        mean=out.mean(0),
        spread=out.std(0),
        minimum_distance_hu=np.abs(out - original).min(0),
        seed=seed,
    )


def _one_at_a_time(denoiser: BatchedDenoiser) -> BatchedDenoiser:
    """The same network; on a CPU it evaluates single images.

    Four at once take 8 % less time, but then the first completion comes with the fourth.
    """
    if denoiser.images_at_once is None:
        return denoiser
    single = copy.copy(denoiser)
    single.images_at_once = 1
    return single


def _hide(
    volume: CTVolume, holes: dict[int, BoolArray], brain: PackedMask, config: ModelConfig
) -> tuple[ModelGrid, list[tuple[SliceContext, BoolArray]]]:
    """Model grid, and on it the slices with what the network may see and the hole ``(y, x)``.

    The region is hidden in the neighbour slices.
    """
    hu = volume.to_canonical(volume.hu)
    # All of the slice, not only what lies around the region: with little but brain in view
    # the completions scatter.
    grid = brain_grid(volume, brain.outline()[None], config)

    def touched(z: int) -> BoolArray:
        return touched_pixels(volume, holes, grid, z)

    def neighbour(z: int) -> FloatArray | None:
        if not 0 <= z < len(hu):
            return None
        return np.where(touched(z), np.float32(config.hu_center), grid.image_to_model(hu[z]))

    hidden = []
    for z in map(volume.canonical_slice, holes):
        context = SliceContext(
            index=z,
            image=grid.image_to_model(hu[z]),
            brain=grid.mask_to_model(brain[z]),
            below=neighbour(z - 1),
            above=neighbour(z + 1),
        )
        hidden.append((context, touched(z) & context.brain))
    return grid, hidden
