"""Does the residual show a bleed? Measured on bleeds painted into healthy slices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from napari_rsna_inpaint.detection.filters import SMOOTHING_MM, smooth_inside
from napari_rsna_inpaint.diffusion.model import Condition, ImageModelConfig
from napari_rsna_inpaint.evaluate.lesions import HU
from napari_rsna_inpaint.inpaint.grid import grid_holes
from napari_rsna_inpaint.train.dataset import Triplet
from napari_rsna_inpaint.train.holes import blob

#: A painted bleed is at least this much denser than what it covers, HU.
MIN_DIFFERENCE_HU = 8.0
#: Median radius, mm, and spread of its logarithm; no bleed is larger than the maximum.
BLEED_RADIUS_MM, MAX_RADIUS_MM = (9.0, 0.5), 30.0
#: Width of the soft edge, pixels.
EDGE = 1
#: Squares that hide the bleed piece by piece, mm; the rest of it stays visible as in use.
SQUARE_MM = 32.0
#: A healthy residual that spreads less than this counts as this, HU.
MIN_SPREAD_HU = 0.1

#: Residual HU, brain and painted bleed of a slice, ``(y, x)`` each.
PaintedResidual = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


def paint_bleed(
    triplet: Triplet, pixel_mm: float, rng: np.random.Generator
) -> tuple[Triplet, npt.NDArray[np.bool_]]:
    """Paint one bleed into a slice and, as it reaches on, into its neighbours.

    Its mean HU is drawn as for bleeds of the BHSD data set. Texture and noise of the tissue
    stay, so that only the HU give the bleed away.

    Returns
    -------
    The painted triplet and the bleed, ``(y, x)`` bool, never empty.
    """
    inside = np.argwhere(triplet.brain)
    center = inside[rng.integers(len(inside))]
    median, spread = BLEED_RADIUS_MM
    radius = min(rng.lognormal(np.log(median), spread), MAX_RADIUS_MM) / pixel_mm
    lesion = blob(triplet.brain.shape, center, radius, rng) & triplet.brain
    lesion[tuple(center)] = True
    amount = ndimage.gaussian_filter(lesion.astype(np.float32), EDGE) * triplet.brain
    covered = float(triplet.hu[1].numpy()[lesion].mean())
    difference = max(rng.normal(*HU["bhsd"]["intraparenchymal"]) - covered, MIN_DIFFERENCE_HU)
    return replace(triplet, hu=triplet.hu + difference * torch.from_numpy(amount)), lesion


def lesion_contrast(
    triplets: Iterable[Triplet],
    config: ImageModelConfig,
    complete: Callable[[Condition], Tensor],
    seed: int,
) -> float:
    """How far the residual of bleeds stands out from that of healthy brain.

    One bleed is painted into every slice and hidden by a grid of 32 mm squares, every second
    one at a time, until all brain has been hidden once. The contrast is

        (mean residual in bleeds - mean in healthy brain) / standard deviation in healthy brain

    of the signed residual after the smoothing of the heatmap, over the pixels of all slices.
    It falls when a completion copies the bleed, and when it fails in healthy brain.

    Parameters
    ----------
    complete
        Condition to completed HU, ``(N, 1, y, x)`` both.
    """
    size = round(SQUARE_MM / config.pixel_mm)

    def residuals() -> Iterator[PaintedResidual]:
        for number, triplet in enumerate(triplets):
            rng = np.random.default_rng([seed, number])
            painted, lesion = paint_bleed(triplet, config.pixel_mm, rng)
            holes = [h.mask for h in grid_holes(painted.brain, (size,), ((0.0, 0.0),), period=2)]
            conditions = [painted.condition(hole, config) for hole in holes]
            completed = complete(join(conditions))[:, 0].numpy()
            shown = painted.hu[1].clamp(*config.hu_window).numpy()
            residual = np.zeros_like(shown)
            for hole, completion in zip(holes, completed, strict=True):
                residual[hole] = (shown - completion)[hole]
            yield residual, painted.brain, lesion

    return contrast(residuals(), config.pixel_mm)


def contrast(residuals: Iterable[PaintedResidual], pixel_mm: float) -> float:
    """How far residuals in painted bleeds stand out, see `lesion_contrast`."""
    bleeds, healthy = [], []
    for residual, brain, lesion in residuals:
        smooth = smooth_inside(residual, brain, SMOOTHING_MM / pixel_mm)
        bleeds.append(smooth[lesion])
        touched = ndimage.binary_dilation(lesion, iterations=4 * EDGE)
        healthy.append(smooth[brain & ~touched])
    bleed, normal = np.concatenate(bleeds), np.concatenate(healthy)
    return float((bleed.mean() - normal.mean()) / max(normal.std(), MIN_SPREAD_HU))


def join(conditions: list[Condition]) -> Condition:
    """One batch of several."""
    names = vars(conditions[0])
    return Condition(**{n: torch.cat([getattr(c, n) for c in conditions]) for n in names})
