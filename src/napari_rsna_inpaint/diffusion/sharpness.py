"""How blurred a head CT is, guessed from the edge of its skull."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.errors import InputRefused

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

#: Slices with less brain have a slanting skull, mm2.
MIN_BRAIN_MM2 = 5000.0
#: Across the border of the brain, from the inside: the profile, and where it is brain alone, mm.
PROFILE_MM, BRAIN_MM = (-6.0, 8.0), (-6.0, -4.0)
PROFILE_STEP_MM = 0.25
#: Lower edges are dura or thin bone, HU.
MIN_EDGE_HU = 400.0
#: Fewer edges tell nothing.
MIN_EDGES = 200
#: Bone that slants through a thick slice looks blurred: the sharper edges count.
SHARP_QUANTILE = 0.25
#: Edge spread of sharp scans (see `edge_spread_mm`), and after Gaussian blurs of these sigmas:
#: means of 8 healthy scans of about 5 mm. Spreads do not add up as those of single edges would,
#: since bone is no thicker than a strong blur.
EDGE_MM = (0.77, 0.85, 1.00, 1.13, 1.41, 1.67, 1.93)
SIGMA_MM = (0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5)


def edge_spread_mm(slices: Iterable[tuple[FloatImage, Mask]], pixel_mm: float) -> float:
    """Width of the edge between brain and inner table of the skull.

    An edge of height ``h`` that is blurred by a Gaussian rises with at most
    ``h / (sigma sqrt(2 pi))``: every profile across the edge gives a sigma, and the lower
    quartile of them is taken.

    Parameters
    ----------
    slices
        Image ``(y, x)`` HU and brain mask ``(y, x)`` of each slice, on square pixels.

    Returns
    -------
    Sigma, mm: that of the scanner, of the pixels and of any further blur together.

    Raises
    ------
    InputRefused
        If too little skull around enough brain is seen.
    """
    found = [
        _edges(image, brain, pixel_mm)
        for image, brain in slices
        if brain.sum() * pixel_mm**2 >= MIN_BRAIN_MM2
    ]
    edges = np.concatenate([np.zeros(0), *found])
    if len(edges) < MIN_EDGES:
        raise InputRefused(
            "The blur cannot be estimated, since too little skull is seen; give its sigma."
        )
    return float(np.quantile(edges, SHARP_QUANTILE))


def extra_sigma_mm(slices: Iterable[tuple[FloatImage, Mask]], pixel_mm: float) -> float:
    """Sigma of the Gaussian that would blur a usual scan as much as this one, 0 to 2.5 mm.

    An estimate, made for pixels of 1 mm: in ten scans that it was not fitted on, blurred by 1.0
    to 2.0 mm, it was wrong by 0.18 mm (root mean square); unblurred they gave 0 to 0.53 mm.

    Parameters, errors: as in `edge_spread_mm`.
    """
    return float(np.interp(edge_spread_mm(slices, pixel_mm), EDGE_MM, SIGMA_MM))


def _edges(image: FloatImage, brain: Mask, pixel_mm: float) -> npt.NDArray[np.float64]:
    """Sigma of every edge along the border of the brain, ``(n,)`` mm."""
    depth = ndimage.distance_transform_edt(brain) - ndimage.distance_transform_edt(~brain)
    depth = ndimage.gaussian_filter(depth, 2.0 / pixel_mm)
    border = np.nonzero(np.abs(depth) < 0.7)
    slope = np.stack([part[border] for part in np.gradient(depth)])
    outward = -slope / np.maximum(np.linalg.norm(slope, axis=0), 1e-6)
    along = np.arange(PROFILE_MM[0], PROFILE_MM[1] + 1e-6, PROFILE_STEP_MM)
    where = np.stack(border)[..., None] + outward[..., None] * along / pixel_mm
    profiles = ndimage.map_coordinates(image, where, order=3, mode="nearest")
    within = (along >= BRAIN_MM[0]) & (along <= BRAIN_MM[1])
    low = np.median(profiles[:, within], axis=1)
    outer = np.where(along >= -2, profiles, -np.inf)
    top = outer.max(1)
    rising = np.arange(len(along)) <= outer.argmax(1)[:, None]
    steepest = np.where(rising, np.gradient(profiles, PROFILE_STEP_MM, axis=1), 0).max(1)
    high = top - low > MIN_EDGE_HU
    return (top - low)[high] / (np.sqrt(2 * np.pi) * np.maximum(steepest[high], 1.0))
