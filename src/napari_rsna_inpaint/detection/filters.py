"""What a slice is filtered with before it is judged, and how far everything is from bone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

BONE_HU = 100.0
#: Sigma by which residual and evidence are smoothed, mm.
SMOOTHING_MM = 1.5
#: Side of the median filter of the HU, mm.
MEDIAN_MM = 4.5
#: Blood lies in this range; above is bone and calcification, below is brain or water.
BLOOD_HU = (38.0, 105.0)
#: Denser than any blood: calcification or metal. Its partial volume and streaks have the HU of
#: blood, so nothing within this distance counts as blood.
DENSE_HU, DENSE_MARGIN_MM = 120.0, 3.0
#: A residual beyond this adds no suspicion; calcification would outshine its surroundings.
RESIDUAL_CAP_HU = 50.0

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


def bone_distance(
    image: FloatArray, brain: BoolArray, spacing: tuple[float, float, float]
) -> npt.NDArray[np.float32]:
    """Distance of every model pixel to the nearest bone, ``(z, y, x)`` mm.

    Bone is whatever is denser than 100 HU outside the brain mask, so that calcification and
    dense blood do not count. Bone in the slices above and below counts as well: it reaches
    into a thick slice by partial volume. Without any bone everything is 100 mm away.

    Parameters
    ----------
    image, brain
        ``(z, y, x)`` HU and brain mask on the model grid, all slices of the scan.
    spacing
        ``(z, y, x)`` mm.
    """
    no_bone = (image < BONE_HU) | brain
    if no_bone.all():
        return np.full(no_bone.shape, 100.0, np.float32)
    nearest = ndimage.distance_transform_edt(
        no_bone, sampling=spacing, return_distances=False, return_indices=True
    )
    # Plane by plane: all distances at once would take many times the memory of the scan.
    out = np.empty(no_bone.shape, np.float32)
    own = np.indices(no_bone.shape[1:])
    for z, plane in enumerate(out):
        steps = [nearest[0, z] - z, nearest[1, z] - own[0], nearest[2, z] - own[1]]
        plane[:] = np.sqrt(sum((step * mm) ** 2 for step, mm in zip(steps, spacing, strict=True)))
    return out


def smooth_inside(values: FloatArray, brain: BoolArray, sigma: float) -> FloatArray:
    """Gaussian smoothing of ``(y, x)`` values within the brain; ``sigma`` in pixels."""
    weight = ndimage.gaussian_filter(brain.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(brain, values, 0).astype(np.float32), sigma)
    return np.where(brain, total / np.maximum(weight, 1e-6), 0).astype(np.float32)


def capped(residual: FloatArray) -> FloatArray:
    """Residual within the range in which it tells bleeds apart, HU."""
    return np.clip(residual, -RESIDUAL_CAP_HU, RESIDUAL_CAP_HU)


def median_hu(image: FloatArray, brain: BoolArray, pixel_mm: float) -> FloatArray:
    """Median-filtered HU of one slice, ``(y, x)``, at most ``DENSE_HU``."""
    size = max(3, round(MEDIAN_MM / pixel_mm) | 1)
    # Bone would leak into the median at the border: fill with the mean of the brain.
    inside = np.where(brain, np.minimum(image, DENSE_HU), image[brain].mean() if brain.any() else 0)
    return ndimage.median_filter(inside, size).astype(np.float32)


def near_dense(image: FloatArray, brain: BoolArray, pixel_mm: float) -> BoolArray:
    """Where calcification or metal inside the brain is within ``DENSE_MARGIN_MM``, ``(y, x)``."""
    dense = brain & (image > DENSE_HU)
    if not dense.any():
        return dense
    return ndimage.distance_transform_edt(~dense, sampling=pixel_mm) <= DENSE_MARGIN_MM
