"""Random fields and the separation of tissue from noise, for synthetic bleeds."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import gaussian_filter

FloatArray = npt.NDArray[np.float32]

_STEP_MM = 1.5  # sampling of the fractal fields
_WINDOW_MM = 3.5  # half width of the window of `tissue`
_SAMPLES = 3  # samples of that window on each side
_SOFT_HU = (-30.0, 70.0)  # bounds of what the brain and its fluids hold
_RANGE_HU = 10.0  # pixels that differ more belong to another tissue


def fractal(
    rng: np.random.Generator,
    coordinates: tuple[FloatArray, FloatArray, FloatArray],
    scale_mm: float,
    smoothness: float = 2.0,
) -> FloatArray:
    """Smooth random field of unit variance with a power-law spectrum below a scale.

    Parameters
    ----------
    coordinates
        Positions ``(z, y, x)`` in mm, of shapes that broadcast to the result.
    scale_mm
        Longest wavelength; the shortest is twice 1.5 mm.

    smoothness
        The amplitude falls with frequency to this power; at 1.5 every octave has the same
        power, more is smoother.

    Returns
    -------
    Field of the broadcast shape.
    """
    lower = [float(axis.min()) for axis in coordinates]
    length = [float(axis.max()) - low for axis, low in zip(coordinates, lower, strict=True)]
    # The field is periodic: a margin of one scale keeps opposite ends independent.
    size = [math.ceil((mm + scale_mm) / _STEP_MM) + 2 for mm in length]
    axes = [fft.fftfreq(n, _STEP_MM) for n in size[:-1]] + [fft.rfftfreq(size[-1], _STEP_MM)]
    frequency = np.sqrt(sum(np.square(f) for f in np.ix_(*axes)))
    gain = np.maximum(frequency, 1e-6) ** -smoothness * (frequency >= 0.5 / scale_mm)
    noise = fft.irfftn(fft.rfftn(rng.standard_normal(size)) * gain, size)
    noise = (noise / max(noise.std(), 1e-9)).astype(np.float32)
    # Tilted slices are shifted a little against each other, which a texture need not follow.
    z, y, x = (
        _linear((axis.mean(axis=other) - low) / _STEP_MM, n)
        for axis, other, low, n in zip(
            coordinates, ((1, 2), (0, 2), (0, 1)), lower, size, strict=True
        )
    )
    planes = np.tensordot(z, noise, axes=1)
    return y @ planes @ x.T


def _linear(at: npt.NDArray, count: int) -> FloatArray:
    """Matrix ``(len(at), count)`` of linear interpolation at fractional indices."""
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count))).astype(np.float32)


def tissue(hu: npt.NDArray, step: tuple[float, float]) -> FloatArray:
    """Image without its noise, slice by slice; edges between tissues stay.

    A joint bilateral filter (Petschnigg et al. 2004) whose guide is the lightly smoothed
    image itself.

    Parameters
    ----------
    hu
        ``(z, y, x)`` HU.
    step
        Pixel size ``(y, x)``, mm.

    Returns
    -------
    ``(z, y, x)`` float32 HU. Bone, calcifications and air take no part; they hold the
    tissue around them, or -30 or 70 HU where there is none.
    """
    image = np.clip(hu, *_SOFT_HU).astype(np.float32)
    soft = (image > _SOFT_HU[0]) & (image < _SOFT_HU[1])
    known = soft.astype(np.float32)
    sigma = (0, *(max(0.7 / mm, 0.8) for mm in step))
    near = gaussian_filter(known, sigma)
    guide = np.where(near > 0.02, gaussian_filter(image * known, sigma) / (near + 1e-6), image)
    stride = [max(1, round(_WINDOW_MM / _SAMPLES / mm)) for mm in step]
    reach = [_SAMPLES * n for n in stride]
    pad = ((0, 0), (reach[0], reach[0]), (reach[1], reach[1]))
    images, guides, knowns = (np.pad(part, pad, mode="edge") for part in (image, guide, known))
    total = np.float32(1e-3) * guide
    norm = np.full_like(image, 1e-3)
    height, width = image.shape[1:]
    for row in range(0, 2 * reach[0] + 1, stride[0]):
        for column in range(0, 2 * reach[1] + 1, stride[1]):
            window = np.s_[:, row : row + height, column : column + width]
            weight = (guides[window] - guide) * np.float32(1 / _RANGE_HU)
            weight *= weight
            np.subtract(1, weight, out=weight)
            np.maximum(weight, 0, out=weight)
            weight *= knowns[window]
            total += weight * images[window]
            norm += weight
    return total / norm
