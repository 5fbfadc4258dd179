"""How near a completion is to the truth, as the BraTS challenge measures it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import InputRefused

#: Percentiles of the voided image that become 0 and 1.
PERCENTILES = (0.5, 99.5)
#: Standard deviation and radius of the Gaussian window of the SSIM, voxels.
_SIGMA, _RADIUS = 1.5, 5

NAMES = ("ssim", "psnr", "psnr_01", "mse", "rmse", "mae", "ssim_max", "psnr_max", "mse_max")

FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]


def score(
    made: FloatArray, truth: FloatArray, voided: FloatArray, mask: BoolArray
) -> dict[str, float]:
    """Measures of a completion in a mask.

    Both images are 0 outside of the mask. ``ssim``, ``psnr``, ``psnr_01``, ``mse``, ``rmse`` and
    ``mae`` are those of the challenge's own package (BraTS-inpainting/inpainting,
    ``challenge_metrics_2023``): images are scaled so that the `PERCENTILES` of all voxels of the
    voided image, at least 0, become 0 and 1, and clipped. ``ssim_max``, ``psnr_max`` and
    ``mse_max`` are those by which the published system measures itself: images are divided by the
    largest true value in the mask.

    - SSIM: mean over the mask of the map of every plane of the first stored axis (as the
      challenge's package does), Gaussian window of sigma 1.5 and 11 voxels, k 0.01 and 0.03; data
      range is that of the image with the larger one.
    - MSE, RMSE, MAE: over the voxels of the mask.
    - PSNR: 10 log10(range^2 / MSE); range is the largest true value in the mask in ``psnr``, 1 in
      ``psnr_01``, largest minus smallest true value in the mask in ``psnr_max``. Infinite for a
      perfect completion.

    Parameters
    ----------
    made, truth, voided
        ``(i, j, k)`` intensities as stored, without a change of axes.
    mask
        The same, bool.

    Raises
    ------
    InputRefused
        If the mask is empty, or the images are.
    """
    if not mask.any():
        raise InputRefused("The mask to score in is empty.")
    low, high = np.percentile(voided, PERCENTILES)
    low = max(float(low), 0.0)
    largest = float(truth[mask].max())
    if not high > low or largest <= 0:
        raise InputRefused("The image is empty, so there is nothing to score against.")
    result = {}
    true, own = (((np.where(mask, v, 0.0) - low) / (high - low)).clip(0, 1) for v in (truth, made))
    difference = own[mask] - true[mask]
    mse = float(np.square(difference).mean())
    result["ssim"] = ssim_in_mask(own, true, mask)
    result["psnr"] = _psnr(mse, float(true[mask].max()))
    result["psnr_01"] = _psnr(mse, 1.0)
    result["mse"] = mse
    result["rmse"] = math.sqrt(mse)
    result["mae"] = float(np.abs(difference).mean())

    true, own = (np.where(mask, v, 0.0) / largest for v in (truth, made))
    mse = float(np.square(own[mask] - true[mask]).mean())
    result["ssim_max"] = ssim_in_mask(own, true, mask)
    result["psnr_max"] = _psnr(mse, float(np.ptp(true[mask])))
    result["mse_max"] = mse
    return result


def ssim_in_mask(made: FloatArray, truth: FloatArray, mask: BoolArray) -> float:
    """Mean of the structural similarity map over a mask, see `score`."""
    from skimage.metrics import structural_similarity

    data_range = max(float(np.ptp(made)), float(np.ptp(truth)))
    if data_range == 0:
        return 1.0
    # only these planes have a say; mirrored at the edge without repeating it, as torchmetrics does
    planes = np.flatnonzero(mask.any((1, 2)))
    border = ((0, 0), (_RADIUS, _RADIUS), (_RADIUS, _RADIUS))
    first, second = (
        np.pad(image[planes].astype(np.float64), border, mode="reflect") for image in (made, truth)
    )
    _, similarity = structural_similarity(
        first,
        second,
        data_range=data_range,
        gaussian_weights=True,
        sigma=_SIGMA,
        use_sample_covariance=False,
        channel_axis=0,
        full=True,
    )
    inner = similarity[:, _RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    return float(inner[mask[planes]].mean())


def _psnr(mse: float, data_range: float) -> float:
    if mse == 0:
        return math.inf
    return 10 * math.log10(data_range**2 / mse) if data_range > 0 else -math.inf
